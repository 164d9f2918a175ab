"""resolving — a person's choice becomes the next version, made of all that there were.

https://hl7.org/fhir/R4/http.html#concurrency
https://hl7.org/fhir/R4/http.html#update

Whoever chooses names the versions they saw: where another has come meanwhile they are asked to look
again, so that nothing is overwritten that nobody has seen. The same choice made twice, or at two
places, is one version.
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.foundation.outcome import Conflict as Refused
from fhir_server.foundation.outcome import Forbidden, Invalid, Issue, NotFound
from fhir_server.foundation.resource import Key, Resource
from fhir_server.interaction import aiming, writing
from fhir_server.interaction.context import Answer, Circumstances, Server
from fhir_server.interaction.reaching import those_within
from fhir_server.interaction.update import demand_id
from fhir_server.interaction.writing import Proposal, settled
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import NewVersion, Stored, Unit
from fhir_server.sync.conflicts.conflict import lineage_of
from fhir_server.sync.conflicts.keeping import kept
from fhir_server.sync.conflicts.provenance import CHOSEN, of_several
from fhir_server.sync.lineage import Known, Lineage, Rev, State

MOST_HEADS = 32  # versions that are chosen between at once


@dataclass(frozen=True, slots=True)
class Choice:
    """seen: the versions the person saw. One of them is chosen, or what the resource shall be."""

    key: Key
    seen: frozenset[Rev]
    rev: Rev | None = None
    resource: Resource | None = None


async def resolved(server: Server, choice: Choice, circumstances: Circumstances) -> Answer:
    """Raises NotFound, Invalid, Unprocessable, Forbidden, and Conflict where others have come."""
    warnings: tuple[Issue, ...] = ()
    content: Resource | None = None
    if choice.resource is not None:
        content, warnings = await writing.checked(
            server, choice.resource, choice.key.type, circumstances
        )
        demand_id(content, choice.key.id)

    async def propose() -> Proposal:
        return await proposed(server, choice, content, circumstances)

    return writing.with_warnings(await settled(server, circumstances, propose), warnings)


async def proposed(
    server: Server, choice: Choice, content: Resource | None, circumstances: Circumstances
) -> Proposal:
    key = choice.key
    stored = await aiming.newest(server, circumstances, key, "update")
    if stored is None:
        raise NotFound(f"`{key}` is not here.")
    lineage = await lineage_of(server, key)
    seen = await _reached(server, choice, circumstances)
    if choice.rev is not None:
        chosen = seen[choice.rev]
        content = None if chosen.deleted else resource_of(chosen)
    if content is None and await aiming.newest(server, circumstances, key, "delete") is None:
        raise NotFound(f"`{key}` is not here.")
    version = _made(server, circumstances, key, tuple(sorted(choice.seen)), content, stored)
    rev = writing.written_id(version)
    if rev in lineage.versions and lineage.versions[rev].state is not State.STUB:
        status = 204 if stored.deleted else 200  # it was chosen so before
        return Proposal(Unit(()), lambda _now: writing.unwritten(stored, status))
    await _demand_seen(server, choice, lineage, circumstances)
    state = State.DELETED if content is None else State.ALIVE
    after = lineage.with_version(rev, Known(tuple(sorted(choice.seen)), state))
    keeping = await kept(server, circumstances, key, after, {rev: content})
    unit = Unit((version,), side=keeping.side, expects=keeping.expects)
    told = writing.with_id(
        of_several(version, choice.seen, circumstances.caller, CHOSEN), server.new_id()
    )
    provenance = writing.new_version(server, circumstances, told, "POST", None)
    return Proposal(
        unit,
        lambda now: writing.written(version, 200 if content is not None else 204, now),
        (*keeping.versions, provenance),
        links=bool(keeping.side),  # a hub, on which nobody was linked while it lasted
    )


def _made(
    server: Server,
    circumstances: Circumstances,
    key: Key,
    parents: tuple[Rev, ...],
    content: Resource | None,
    stored: Stored,
) -> NewVersion:
    if content is None:
        return writing.deletion(server, stored, parents)
    named = writing.with_id(content, key.id)
    return writing.new_version(server, circumstances, named, "PUT", stored, parents)


async def _reached(
    server: Server, choice: Choice, circumstances: Circumstances
) -> dict[Rev, Stored]:
    """The versions the person says they saw. What they may not see is as if it were not there."""
    wanted = [(choice.key, rev) for rev in choice.seen]
    found = await server.store.at_versions(wanted, circumstances.reach("read"))
    within = await those_within(server, circumstances, "read", found)
    seen = {stored.version_id: stored for stored in within}
    for rev in sorted(choice.seen - seen.keys()):
        raise Invalid(
            f"`{choice.key}/_history/{rev}` is not here. Name in `head` the versions that the Task"
            " of the conflict names.",
            expression="http.head",
        )
    return seen


async def _demand_seen(
    server: Server, choice: Choice, lineage: Lineage, circumstances: Circumstances
) -> None:
    """Raises Conflict unless the heads are just those the person saw."""
    heads = set(lineage.heads())
    if choice.seen == heads and len(heads) > 1:
        return
    if len(heads) < 2:
        raise Refused(f"`{choice.key}` is in no conflict: there is one version, and it is shown.")
    wanted = [(choice.key, rev) for rev in heads]
    stored = await server.store.at_versions(wanted, circumstances.reach("read"))
    within = await those_within(server, circumstances, "read", stored)
    if len(within) < len(heads):
        raise Forbidden(
            f"There is a version of `{choice.key}` that you may not see, so the choice is not"
            " yours. Who sees them all can make it."
        )
    told = ", ".join(f"`{one.version_id}`" for one in within)
    raise Refused(
        f"The versions of `{choice.key}` to choose between are {told}, and not those you saw. Look"
        " at them, and choose again.",
        vietnamese="Đã có bản khác với những bản bạn đã xem. Xin xem lại rồi chọn lại.",
    )
