"""delete — a last version that says the resource is gone; its history stays.

https://hl7.org/fhir/R4/http.html#delete
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.foundation.outcome import MultipleMatches
from fhir_server.foundation.resource import Key
from fhir_server.interaction import aiming, auditing, writing
from fhir_server.interaction.context import Answer, Circumstances, Pairs, Server
from fhir_server.interaction.writing import Proposal, settled
from fhir_server.store.contract import Assumption, Stored, Unit


@dataclass(frozen=True, slots=True)
class Ask:
    """id: from the URL; None where `condition` says which resources are meant."""

    type: str
    id: str | None
    condition: Pairs | None = None
    if_match: str | None = None


async def delete(server: Server, ask: Ask, circumstances: Circumstances) -> Answer:
    """Raises PreconditionFailed, MultipleMatches. What is not there is as good as deleted."""
    auditing.refuse_write(ask.type)

    async def propose() -> Proposal:
        if ask.condition is None:
            assert ask.id is not None, "a delete has an id or a condition"
            key = Key(ask.type, ask.id)
            stored = await aiming.newest(server, circumstances, key, "delete")
            writing.demand_version(ask.if_match, stored, key)
            return proposed(server, [stored] if stored else [], ())
        found, assumed = await condemned(server, circumstances, ask.type, ask.condition)
        return proposed(server, found, (assumed,))

    return await settled(server, circumstances, propose)


async def condemned(
    server: Server, circumstances: Circumstances, type: str, condition: Pairs
) -> tuple[list[Stored], Assumption]:
    """What a conditional delete would remove: one, or many where the server is set to allow it."""
    most = server.limits.conditional_delete if server.many_deletes else 1
    found, assumed = await aiming.matches(server, circumstances, type, condition, at_most=most + 1)
    if len(found) > most:
        bound = "conditional_delete" if server.many_deletes else "many_deletes"
        raise MultipleMatches(
            f"More than {most} {type} match `{aiming.told(condition)}`; "
            f"one delete removes at most {most} (setting `{bound}`)."
        )
    return await aiming.matched(server, circumstances, found, "delete"), assumed


def proposed(server: Server, found: list[Stored], assumptions: tuple[Assumption, ...]) -> Proposal:
    versions = tuple(writing.deletion(server, stored) for stored in found if not stored.deleted)
    unit = Unit(versions, assumptions)
    if len(versions) == 1:
        return Proposal(unit, lambda now: writing.written(versions[0], 204, now))
    before = found[0] if len(found) == 1 else None  # deleted already: it keeps its ETag
    return Proposal(
        unit, lambda _now: writing.unwritten(before, 204) if before else Answer(status=204)
    )
