"""update — the next version of a resource, or its first under an id the client chose.

https://hl7.org/fhir/R4/http.html#update
https://hl7.org/fhir/R4/http.html#upsert
https://hl7.org/fhir/R4/http.html#cond-update
https://hl7.org/fhir/R4/http.html#versionaware

A resource sent again unchanged makes no new version: what a client repeats after a lost answer
is answered with the version it made the first time.
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.foundation.outcome import Invalid
from fhir_server.foundation.resource import ID, Key, Resource
from fhir_server.interaction import aiming, writing
from fhir_server.interaction.context import Answer, Circumstances, Pairs, Server
from fhir_server.interaction.writing import Proposal, settled
from fhir_server.store.contract import Assumption, Stored, Unit


@dataclass(frozen=True, slots=True)
class Ask:
    """id: from the URL; None where `condition` says which resource is meant."""

    type: str
    id: str | None
    resource: Resource
    if_match: str | None = None
    condition: Pairs | None = None


class Target:
    """What an update will follow: a key, its newest version, and what was assumed to find it."""

    __slots__ = ("assumptions", "key", "stored")

    def __init__(
        self, key: Key, stored: Stored | None, assumptions: tuple[Assumption, ...] = ()
    ) -> None:
        self.key, self.stored, self.assumptions = key, stored, assumptions


async def update(server: Server, ask: Ask, circumstances: Circumstances) -> Answer:
    """Raises Invalid, Unprocessable, PreconditionFailed, MultipleMatches, Forbidden, Conflict."""
    resource, warnings = await writing.checked(server, ask.resource, ask.type, circumstances)
    if ask.id is not None:
        demand_id(resource, ask.id)

    async def propose() -> Proposal:
        target = await aim(server, circumstances, ask)
        writing.demand_version(ask.if_match, target.stored, target.key)
        return proposed(server, circumstances, resource, target, "PUT")

    return writing.with_warnings(await settled(server, circumstances, propose), warnings)


async def aim(server: Server, circumstances: Circumstances, ask: Ask) -> Target:
    """Which resource an update means. R4 http#cond-update lists the five cases."""
    if ask.condition is None:
        assert ask.id is not None, "an update has an id or a condition"
        return await _named(server, circumstances, Key(ask.type, ask.id))
    found, assumed = await aiming.the_match(
        server, circumstances, ask.type, ask.condition, "update"
    )
    id = ask.resource.get("id")
    if found is None:
        if id is None:
            return Target(Key(ask.type, server.new_id()), None, (assumed,))
        target = await _named(server, circumstances, Key(ask.type, id))
        return Target(target.key, target.stored, (assumed,))
    if id is not None and id != found.key.id:
        raise Invalid(
            f"The criteria match `{found.key}`, but the resource's id is `{id}`. "
            "Leave the id out, or make both agree.",
            expression=f"{ask.type}.id",
        )
    return Target(found.key, found, (assumed,))


async def _named(server: Server, circumstances: Circumstances, key: Key) -> Target:
    stored = await aiming.newest(server, circumstances, key, "update")
    if stored is None:
        await aiming.demand_new(server, circumstances, key)
    return Target(key, stored)


def proposed(
    server: Server,
    circumstances: Circumstances,
    resource: Resource,
    target: Target,
    method: str,
) -> Proposal:
    """The write of this content over that target, or nothing where it is there already."""
    named = writing.with_id(resource, target.key.id)
    before = target.stored
    if before is not None and writing.says(before, named):
        circumstances.tell(before)
        unit = Unit((), target.assumptions, unchanged=(writing.still(before),))
        return Proposal(unit, lambda _now: writing.unwritten(before))
    version = writing.new_version(server, circumstances, named, method, before)
    status = writing.after_status(before)
    unit = Unit((version,), target.assumptions)
    return Proposal(unit, lambda now: writing.written(version, status, now))


def demand_id(resource: Resource, id: str) -> None:
    """R4 http#update: the body's id is that of the URL, or 400."""
    if not ID.fullmatch(id):
        raise Invalid(
            f"`{id[:80]}` is not an id: 1 to 64 letters, digits, `-` and `.` are.",
            expression=f"{resource['resourceType']}.id",
        )
    found = resource.get("id")
    if found != id:
        said = f"the body says `{found}`" if found else "the body has no `id`"
        raise Invalid(
            f"The URL says `{id}`, {said}. Both must be the same.",
            expression=f"{resource['resourceType']}.id",
        )
