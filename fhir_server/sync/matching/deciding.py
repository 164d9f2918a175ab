"""deciding — a person says that two Patients are one, or that they are two.

https://hl7.org/fhir/R4/patient.html#linking

That they are two is remembered, and obeyed by who links: what was said by a person is undone by a
person.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import orjson

from fhir_server.foundation.outcome import Invalid, NotFound
from fhir_server.foundation.resource import Key, Resource
from fhir_server.interaction import aiming
from fhir_server.interaction.context import Answer, Circumstances, Server
from fhir_server.interaction.writing import (
    Proposal,
    new_version,
    says,
    settled,
    still,
    with_id,
)
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import NewVersion, Stored, Unchanged, Unit, rid
from fhir_server.store.contract.side import APART, ApartRow, Drop, Expect, Put, Side
from fhir_server.sync.matching.linking import SEEALSO, with_links, without_link

MOST_WHY = 500  # characters
Change = Callable[[Resource, Key], Resource]


async def link(server: Server, one: Key, other: Key, circumstances: Circumstances) -> Answer:
    """They are one person. Raises NotFound, Invalid."""

    def change(patient: Resource, named: Key) -> Resource:
        return with_links(without_link(patient, named), [named])

    def side(pair: tuple[int, int]) -> Side:
        return Drop(APART, (pair,))

    return await _decided(server, one, other, circumstances, change, side)


async def unlink(
    server: Server, one: Key, other: Key, circumstances: Circumstances, why: str = ""
) -> Answer:
    """They are two people. Raises NotFound, Invalid."""
    if len(why) > MOST_WHY:
        raise Invalid(f"Say why in {MOST_WHY} characters at most.")
    caller = circumstances.caller
    facts = {"by": caller.user or caller.client, "why": why, "of": [str(one), str(other)]}

    def side(pair: tuple[int, int]) -> Side:
        at = time.time_ns() // 1_000_000
        return Put(APART, (ApartRow(*pair, at, orjson.dumps(facts).decode()),))

    return await _decided(server, one, other, circumstances, without_link, side)


async def _decided(
    server: Server,
    one: Key,
    other: Key,
    circumstances: Circumstances,
    change: Change,
    side: Callable[[tuple[int, int]], Side],
) -> Answer:
    if one == other:
        raise Invalid(f"`{one}` is named twice; name two Patients.")
    first, second = sorted((rid(one), rid(other)))

    async def propose() -> Proposal:
        keys = (one, other)
        found = await aiming.all_newest(server, circumstances, keys, "update")
        for key in keys:
            if key.type != "Patient" or key not in found or found[key].deleted:
                raise NotFound(f"`{key}` is not a Patient that is here.")
        row = (await server.store.side.rows(APART, ((first, second),))).get((first, second))
        versions: list[NewVersion] = []
        unchanged: list[Unchanged] = []
        for key, named in (keys, keys[::-1]):
            told = change(with_id(resource_of(found[key]), key.id), named)
            if _is_said(found[key], told, named):
                unchanged.append(still(found[key]))
            else:
                versions.append(new_version(server, circumstances, told, "PUT", found[key]))
        unit = Unit(
            tuple(versions),
            unchanged=tuple(unchanged),
            side=(side((first, second)),),
            expects=(Expect(APART, (first, second), row),),
        )
        return Proposal(unit, lambda _now: Answer(204))

    return await settled(server, circumstances, propose)


def _is_said(stored: Stored, told: Resource, named: Key) -> bool:
    """Whether nothing need be written: a link stands where it stands."""
    reference = str(named)

    def linked(patient: Resource) -> bool:
        return any(
            link.get("other", {}).get("reference") == reference and link.get("type") == SEEALSO
            for link in patient.get("link", ())
        )

    return says(stored, told) or (linked(told) and linked(resource_of(stored)))
