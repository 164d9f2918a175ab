"""barring — from which facilities a patient's Consents keep which types, and until when.

https://hl7.org/fhir/R4/consent.html

A Consent says of itself from when to when it holds, so what is barred changes without anything
being written. A note under the moment has it looked at then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from fhir_server.interaction.context import Server
from fhir_server.security.agreeing import NO_TYPE
from fhir_server.security.caller import Caller
from fhir_server.security.consent import DENY, judged, moments, types_told
from fhir_server.security.policy import Policy
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import EVERYTHING, Select, Store
from fhir_server.store.contract.reach import only
from fhir_server.store.contract.side import StateRow
from fhir_server.sync.hub.nodes import NODE

FEW = 200  # Consents that are looked up together
MANY = 1000  # Consents of one patient; who has more is barred by what was not read
TREATMENT = "TREAT"
ALL = frozenset({NO_TYPE})  # barred: everything
DUE = "due "  # and a moment and a patient: the row that has them looked at then

Barred = frozenset[str]  # types


class Barring(NamedTuple):
    """of: by facility; who is not kept from anything is left out. until: the moment at which this
    may change by itself, in milliseconds since 1970 UTC; 0: there is none."""

    of: Mapping[int, Barred]
    until: int = 0


NOBODY = Barring({})


def is_honoured(policy: Policy | None) -> bool:
    """Whether any Consent counts."""
    return policy is not None and TREATMENT in policy.honoured


async def consenting_of(store: Store, patients: Sequence[int]) -> Collection[int]:
    """Those of them who have a Consent; all, where there are many Consents."""
    theirs = only(frozenset({"Consent"}), frozenset(patients))
    rids = await store.find(Select(("Consent",), restriction=theirs), at_most=FEW + 1)
    if len(rids) > FEW:
        return patients
    return {one.owner for one in await store.by_rid(rids, EVERYTHING)}


async def barring(server: Server, patient: int, facilities: Iterable[int], now: int) -> Barring:
    """What the patient's Consents say to the nodes of these facilities."""
    numbers = sorted(facilities)
    if not numbers:
        return NOBODY
    theirs = only(frozenset({"Consent"}), frozenset({patient}))
    rids = await server.store.find(Select(("Consent",), restriction=theirs), at_most=MANY + 1)
    if not rids:
        return NOBODY
    if len(rids) > MANY:
        return Barring(dict.fromkeys(numbers, ALL))
    consents = [resource_of(one) for one in await server.store.by_rid(rids, EVERYTHING)]
    names = await server.store.audit.keys(numbers)
    found: dict[int, Barred] = {}
    for number in numbers:
        if number not in names:  # whom a Consent names cannot be known to be another
            found[number] = ALL
            continue
        caller = Caller(NODE, facility=names[number].id, roles=frozenset({NODE}))
        if judged(consents, caller, TREATMENT, NO_TYPE, None, now) == DENY:
            found[number] = ALL
        elif types := frozenset(
            type
            for type in types_told(consents)
            if judged(consents, caller, TREATMENT, type, None, now) == DENY
        ):
            found[number] = types
    return Barring(found, min((one for one in moments(consents) if one > now), default=0))


def written(barred: Barred) -> bytes:
    """As a mark holds it."""
    return ",".join(sorted(barred)).encode()


# --- what is due ----------------------------------------------------------------------------------


def noted(moment: int, patient: int) -> StateRow:
    """In the order of the moments."""
    return StateRow(f"{DUE}{moment:016} {patient}", "")


def is_due(row: StateRow, now: int) -> bool:
    return row.name.startswith(DUE) and int(row.name.split(" ")[1]) <= now


def patient_of(row: StateRow) -> int:
    return int(row.name.split(" ")[2])
