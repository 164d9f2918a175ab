"""operation — `$conflict` shows the versions side by side; `$resolve-conflict` ends it.

https://hl7.org/fhir/R4/operations.html
https://hl7.org/fhir/R4/parameters.html
"""

from __future__ import annotations

from fhir_server.foundation.outcome import Forbidden, Invalid, NotFound
from fhir_server.foundation.resource import Key, literal
from fhir_server.interaction.context import Answer, Circumstances, Server
from fhir_server.interaction.reaching import those_within
from fhir_server.operation.call import Call, Given, Operation
from fhir_server.operation.parameters import answer, parameters
from fhir_server.store.contract import parse_version_id
from fhir_server.sync.conflicts import resolving
from fhir_server.sync.conflicts.conflict import Conflict, conflict_of, differing, lineage_of
from fhir_server.sync.conflicts.resolving import MOST_HEADS, Choice
from fhir_server.sync.conflicts.saying import place_said, value_said
from fhir_server.sync.conflicts.task import key_of
from fhir_server.sync.lineage import Rev

SHOW, RESOLVE = "conflict", "resolve-conflict"
DEFINITION = "https://fhir-server.example/OperationDefinition/"


async def show(server: Server, call: Call, circumstances: Circumstances) -> Answer:
    """Raises NotFound where there is no conflict; Forbidden where not all of it may be seen."""
    assert call.type is not None and call.id is not None, "it is of an instance"
    key = Key(call.type, call.id)
    conflict = await seen(server, key, circumstances)
    if conflict is None:
        raise NotFound(f"`{key}` is in no conflict.")
    return answer(parameters([*_told(server, conflict)]))


async def seen(server: Server, key: Key, circumstances: Circumstances) -> Conflict | None:
    """The conflict of a resource, as far as its caller may see all that is in it. Raises NotFound,
    Forbidden."""
    reach = circumstances.reach("read")
    if key not in await server.store.newest((key,), reach):
        raise NotFound(f"`{key}` is not here.")
    conflict = await conflict_of(server, key, await lineage_of(server, key))
    if conflict is None:
        return None
    revs = [side.rev for side in (*conflict.heads, *conflict.bases)]
    stored = await server.store.at_versions([(key, rev) for rev in revs], reach)
    within = await those_within(server, circumstances, "read", stored)
    if len(within) < len(stored) or not circumstances.access.sees_whole:
        raise Forbidden(f"There is a version of `{key}` that you may not see.")
    circumstances.tell(*within)
    return conflict


def _told(server: Server, conflict: Conflict) -> list[Given]:
    told = [Given("task", {"reference": str(key_of(conflict.key, conflict.revs))}, "Reference")]
    told += (_side("head", conflict.key, side.rev) for side in conflict.heads)
    told += (_side("base", conflict.key, side.rev) for side in conflict.bases)
    for place in differing(server.definitions, conflict):
        values = [Given("head", value_said(value), "string") for value in place.heads]
        told.append(
            Given(
                "place",
                parts=(
                    Given("path", place.path, "string"),
                    Given("name", place_said(place.path), "string"),
                    Given("apart", place.is_apart, "boolean"),
                    Given("base", value_said(place.base), "string"),
                    *values,
                ),
            )
        )
    return told


def _side(role: str, key: Key, rev: Rev) -> Given:
    return Given(role, {"reference": f"{key}/_history/{rev}"}, "Reference")


async def resolve(server: Server, call: Call, circumstances: Circumstances) -> Answer:
    """Raises what `resolved` does, and Invalid."""
    assert call.type is not None and call.id is not None, "it is of an instance"
    key = Key(call.type, call.id)
    heads = call.all("head")
    if not 2 <= len(heads) <= MOST_HEADS:
        raise Invalid(
            "Name in `head` each of the versions you saw, as the Task of the conflict does: two or"
            f" more, {MOST_HEADS} at most.",
            expression="http.head",
        )
    chosen, whole = call.one("choose"), call.one("resource")
    if (chosen is None) is (whole is None):
        raise Invalid(
            "Say in `choose` which of the versions shall hold, or in `resource` what shall; one of"
            " the two.",
            expression="http.choose",
        )
    if whole is not None and whole.resource is None:
        raise Invalid("`resource` must be a resource.", expression="http.resource")
    choice = Choice(
        key,
        frozenset(_rev(key, head) for head in heads),
        None if chosen is None else _rev(key, chosen),
        None if whole is None else whole.resource,
    )
    if choice.rev is not None and choice.rev not in choice.seen:
        raise Invalid(
            f"`{choice.rev}` is chosen, and is none of the versions in `head`.",
            expression="http.choose",
        )
    return await resolving.resolved(server, choice, circumstances)


def _rev(key: Key, given: Given) -> Rev:
    """A version as `3-k5f…`, or as a reference to it. Raises Invalid."""
    value = given.value
    text = value.get("reference") if isinstance(value, dict) else value
    told = text if isinstance(text, str) else ""
    named = literal(told)
    if named is not None and named.key == key and named.version is not None:
        told = named.version
    if parse_version_id(told) is None:
        raise Invalid(
            f"`{given.name}` is `{told[:80]}`; it is a version id, or a reference as"
            f" `{key}/_history/[version]`.",
            expression=f"http.{given.name}",
        )
    return told


OPERATIONS = (
    Operation(
        name=SHOW,
        definition=DEFINITION + SHOW,
        levels=frozenset(["instance"]),
        types=None,
        parameters=frozenset(),
        perform=show,
    ),
    Operation(
        name=RESOLVE,
        definition=DEFINITION + RESOLVE,
        levels=frozenset(["instance"]),
        types=None,
        parameters=frozenset(["head", "choose", "resource"]),
        perform=resolve,
        get=False,
    ),
)
