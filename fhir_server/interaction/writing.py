"""writing — what create, update, patch, delete and transaction have in common.

https://hl7.org/fhir/R4/http.html#ops

A write looks, makes a Unit of what it saw, and commits it; where the world has moved meanwhile
the store says Stale and the write looks again. So every condition is decided inside the write
transaction, and no lock is held while a resource is validated.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from fhir_server.conformance.canonicals import CONFORMANCE_TYPES
from fhir_server.foundation.outcome import (
    Conflict,
    Invalid,
    Issue,
    PreconditionFailed,
    Unprocessable,
)
from fhir_server.foundation.resource import Key, Resource
from fhir_server.interaction import auditing, care, facility
from fhir_server.interaction.context import Answer, Circumstances, Server
from fhir_server.interaction.judging import judged
from fhir_server.interaction.reaching import allowed, readable
from fhir_server.interaction.repeating import remembering, replayed
from fhir_server.interaction.sourcing import provenances
from fhir_server.search import custom
from fhir_server.store.codec import digest_of, elements_of, resource_of, tail_of, whole
from fhir_server.store.contract import (
    NO_ROWS,
    IndexRows,
    NewVersion,
    Position,
    Stale,
    Stored,
    Unchanged,
    Unit,
    rid,
    version_id,
)

NOWHERE = Position(0, 0)
RENEWED = 8  # attempts between two looks at the rules
SERVER_META = ("versionId", "lastUpdated")  # R4 http#update: the client's are ignored


class Checked(NamedTuple):
    """A resource that may be stored, and what is to be told of it all the same."""

    resource: Resource
    warnings: tuple[Issue, ...]


async def checked(
    server: Server, resource: Resource, type: str, circumstances: Circumstances
) -> Checked:
    """The resource, if it is valid. Raises Invalid or Unprocessable with every issue found."""
    if resource.get("resourceType") != type:
        found = resource.get("resourceType")
        raise Invalid(
            f"The body is a `{found}`, the URL asks for a `{type}`. Send it to `{found}`, "
            f"or make it a `{type}`.",
            expression="resourceType",
        )
    issues = await judged(server, resource, circumstances.text)
    return Checked(resource, refuse_errors(server, issues))


def refuse_errors(server: Server, issues: list[Issue]) -> tuple[Issue, ...]:
    """The issues, if none is an error.

    Raises Invalid (400) where R4's own rules are broken, Unprocessable (422) where only those of
    a profile, or of this server, are. R4 http#create: 400 for "basic FHIR validation rules", 422
    for "applicable FHIR profiles or server business rules".
    """
    if not issues:
        return ()
    errors = [issue for issue in issues if issue.severity in ("error", "fatal")]
    for observe in server.observers:
        observe(issues)
    if any(issue.profile is None and issue.rule != custom.RULE for issue in errors):
        raise Invalid("The resource is not valid R4.", issues=issues)
    if errors:
        raise Unprocessable("The resource is not what is asked for here.", issues=issues)
    return tuple(issues)


def with_warnings(answer: Answer, warnings: tuple[Issue, ...]) -> Answer:
    return replace(answer, outcome=warnings) if warnings else answer


def with_id(resource: Resource, id: str) -> Resource:
    """The resource under this id, without what only the server may say of it."""
    told: Resource = {"resourceType": resource["resourceType"], "id": id}
    meta = resource.get("meta")
    if meta:
        kept = {name: value for name, value in meta.items() if name not in SERVER_META}
        if kept:
            told["meta"] = kept
    for name, value in resource.items():
        if name not in ("resourceType", "id", "meta"):
            told[name] = value
    return told


def new_version(
    server: Server,
    circumstances: Circumstances,
    resource: Resource,
    method: str,
    follows: Stored | None,
    parents: tuple[str, ...] | None = None,
    *,
    rows: IndexRows | None = None,
    named: tuple[int, bytes] | None = None,
) -> NewVersion:
    """The next version of a resource that already has its id (see with_id).

    parents: of which versions it is made; None: of the one it follows. rows: its index rows, where
    they were needed before. named: its generation and digest, where they were.
    """
    key = Key(resource["resourceType"], resource["id"])
    auditing.refuse_write(key.type)
    rows = server.indexer.rows(resource) if rows is None else rows
    place = facility.named(server, circumstances, resource)
    if not place and follows is None:
        place = facility.of_caller(circumstances)
    if named is None:
        made_of = made_from(follows) if parents is None else parents
        digest = digest_of(key.type, key.id, made_of, deleted=False, resource=resource)
        named = (next_generation(made_of), digest)
    return NewVersion(
        key=key,
        generation=named[0],
        digest=named[1],
        method=method,
        tail=tail_of(resource),
        rows=rows,
        before=rows_of(server, follows),
        follows=follows,
        unsure=server.live.current.building,
        facility=place,
        cares=care.brought(server, circumstances, resource, rows.owner),
        parents=parents,
    )


def deletion(server: Server, follows: Stored, parents: tuple[str, ...] | None = None) -> NewVersion:
    """The version that says the resource is gone."""
    key = follows.key
    made_of = made_from(follows) if parents is None else parents
    return NewVersion(
        key=key,
        generation=next_generation(made_of),
        digest=digest_of(key.type, key.id, made_of, deleted=True, resource=None),
        method="DELETE",
        tail=None,
        before=rows_of(server, follows),
        follows=follows,
        parents=parents,
    )


def made_from(follows: Stored | None) -> tuple[str, ...]:
    return () if follows is None else (follows.version_id,)


def next_generation(parents: Iterable[str]) -> int:
    """One more than the longest history of these has."""
    return 1 + max((int(parent.partition("-")[0]) for parent in parents), default=0)


def says(stored: Stored, content: Resource) -> bool:
    """Whether a stored version has this very content; the order of JSON's members means nothing."""
    tail = tail_of(content)
    if stored.tail is None or len(stored.tail) != len(tail):
        return False
    if stored.tail == tail:
        return True
    held, sent = (
        digest_of(stored.key.type, stored.key.id, (), deleted=False, resource=one)
        for one in (resource_of(stored), content)
    )
    return held == sent


def rows_of(server: Server, stored: Stored | None) -> IndexRows:
    """The index rows a stored version left behind."""
    if stored is None or stored.deleted:
        return NO_ROWS
    return server.indexer.rows(resource_of(stored))


def demand_version(if_match: str | None, stored: Stored | None, key: Key) -> None:
    """R4 http#versionaware: If-Match names the version the client saw, or nothing is written."""
    if if_match is None:
        return
    if stored is None:
        raise PreconditionFailed(f"`If-Match` was sent, but `{key}` does not exist.")
    if if_match not in ("*", stored.version_id):
        raise PreconditionFailed(
            f"`{key}` is at version `{stored.version_id}`, not `{if_match}`. "
            "Read it again and apply your change to what you find."
        )


# --- committing ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a write would do, and what it would answer given the time of the commit.

    own: versions that the server writes with it of its own accord: whoever asks need not be allowed
    to write them. links: its Patients are linked to those who are the same person.
    """

    unit: Unit
    answer: Callable[[int], Answer]
    own: tuple[NewVersion, ...] = ()
    links: bool = False


async def settled(
    server: Server,
    circumstances: Circumstances,
    propose: Callable[[], Awaitable[Proposal]],
) -> Answer:
    """Propose and commit until nothing has moved in between. Raises Forbidden for what the caller
    may not write; who may write, and not read, is not answered with what is there."""
    once = circumstances.once
    for attempt in range(server.limits.attempts):
        if once and (before := await replayed(server, circumstances, once)):
            return before
        rules = server.live.current.change
        try:
            proposal = await propose()
            if proposal.unit.versions or proposal.unit.side or once:
                unit = sourced(server, circumstances, proposal.unit)
                unit = await of_facilities(server, circumstances, unit)
                unit = await allowed(server, circumstances, unit)
                unit = await with_own(server, circumstances, unit, proposal.own)
                if server.linker is not None and (proposal.links or server.linker.every_write):
                    unit = await server.linker.linked(server, circumstances, unit)
                unit = replace(remembering(unit, proposal.answer, once), rules=rules)
                unit = audited(unit, circumstances)
                committed = await server.store.commit(unit)
                if circumstances.record is not None and unit.audit:
                    circumstances.record.committed()
                server.departments.forget(rid(key) for key in _organizations(unit))
                await tell_definitions(server, unit, committed.updated)
                return await readable(server, circumstances, proposal.answer(committed.updated))
            return await readable(server, circumstances, proposal.answer(0))
        except Stale:
            if attempt % RENEWED == 1 and server.following.declaring is not None:
                await server.following.declaring.refresh()  # it may be the rules that moved
            await asyncio.sleep(random.uniform(0, 0.002) * min(attempt, 25))  # noqa: S311 - no secret
    raise Conflict("Too many others are writing the same resource. Try again in a moment.")


def sourced(server: Server, circumstances: Circumstances, unit: Unit) -> Unit:
    """The unit with the Provenance of its versions, where their source is known."""
    resources = provenances(circumstances.source, circumstances.caller, unit.versions)
    added = [
        new_version(server, circumstances, with_id(one, server.new_id()), "POST", None)
        for one in resources
    ]
    return replace(unit, versions=(*unit.versions, *added)) if added else unit


async def with_own(
    server: Server, circumstances: Circumstances, unit: Unit, own: tuple[NewVersion, ...]
) -> Unit:
    if not own:
        return unit
    added = await of_facilities(server, circumstances, Unit(own))
    return replace(unit, versions=(*unit.versions, *added.versions))


async def of_facilities(server: Server, circumstances: Circumstances, unit: Unit) -> Unit:
    """The unit with what names a department put down to the facility that it is a part of."""
    places = {version.facility for version in unit.versions}
    places |= {care.facility for version in unit.versions for care in version.cares or ()}
    written = {
        rid(version.key): elements_of(as_stored(version, 0))
        for version in unit.versions
        if version.key.type == "Organization" and version.tail is not None
    }
    of = await facility.wholes(server, circumstances, places, written)
    if all(place == whole for place, whole in of.items()):
        return unit
    return replace(unit, versions=tuple(_of_whole(version, of) for version in unit.versions))


def _organizations(unit: Unit) -> list[Key]:
    return [version.key for version in unit.versions if version.key.type == "Organization"]


def _of_whole(version: NewVersion, of: Mapping[int, int]) -> NewVersion:
    cares = version.cares
    if cares is not None:  # two departments are one facility
        cares = tuple(dict.fromkeys(each._replace(facility=of[each.facility]) for each in cares))
    return replace(version, facility=of[version.facility], cares=cares)


def audited(unit: Unit, circumstances: Circumstances) -> Unit:
    """The unit with what is written down of it."""
    record = circumstances.record
    if record is None or not unit.versions:
        return unit
    return replace(unit, audit=(record.written(circumstances.caller, unit.versions),))


async def tell_definitions(server: Server, unit: Unit, updated: int) -> None:
    """A definition that was stored holds from now on."""
    definitions = [v for v in unit.versions if v.key.type in CONFORMANCE_TYPES]
    if definitions:
        await server.following.committed(as_stored(version, updated) for version in definitions)


def written(version: NewVersion, status: int, updated: int, *, with_body: bool = True) -> Answer:
    """The answer to one resource having been written; in a Bundle the body is seldom wanted."""
    body = whole(as_stored(version, updated)) if with_body and version.tail is not None else None
    return Answer(
        status=status,
        body=body,
        key=version.key,
        version_id=written_id(version),
        updated=updated,
        created=status == 201,
    )


def as_stored(version: NewVersion, updated: int) -> Stored:
    """The version as it will be read back; its position is not known here."""
    return Stored(
        key=version.key,
        position=version.follows.position if version.follows else NOWHERE,
        generation=version.generation,
        digest=version.digest,
        updated=updated,
        method=version.method,
        tail=version.tail,
    )


def unwritten(stored: Stored, status: int = 200) -> Answer:
    """The answer where nothing had to be written: the resource as it is."""
    return Answer(
        status=status,
        body=None if stored.deleted else whole(stored),
        key=stored.key,
        version_id=stored.version_id,
        updated=stored.updated,
    )


def still(stored: Stored) -> Unchanged:
    return Unchanged(stored.key, stored.position)


def written_id(version: NewVersion) -> str:
    return version_id(version.generation, version.digest)


def after_status(follows: Stored | None) -> int:
    """R4 http#update: 201 where it was created or brought back to life, else 200."""
    return 201 if follows is None or follows.deleted else 200
