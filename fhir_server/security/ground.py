"""ground — what rules, scopes and Consents leave together, as grounds of the store.

https://hl7.org/fhir/R4/security.html#authorization%2Faccess-control
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

from fhir_server.foundation.resource import Key
from fhir_server.security.agreeing import SILENCE, Agreement
from fhir_server.security.policy import CARE, CONSENT, FACILITY, NOBODY, PATIENT, Policy, Rule
from fhir_server.store.contract.index import AllOf, Condition
from fhir_server.store.contract.number import rid
from fhir_server.store.contract.reach import Ground

NOBODYS = frozenset({0})  # the owner of what belongs to no patient
ANY = "*"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limit:
    """A scope that counts, with what its parameters mean."""

    context: str
    type: str
    letters: frozenset[str]
    where: Condition | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """All that decides about what is reached, but the moment: equal ones reach the same."""

    policy: Policy
    rules: tuple[Rule, ...]  # that serve the caller's roles and purpose
    facility: str = ""
    patient: str = ""
    limits: tuple[Limit, ...] | None = None  # None: not limited by scopes
    agreement: Agreement = SILENCE
    needs_consent: bool = False


@dataclass(frozen=True, slots=True)
class Permit:
    """A ground, and the rule it comes from."""

    ground: Ground
    rule: str

    def is_of(self, type: str) -> bool:
        return self.ground.types is None or type in self.ground.types


@lru_cache(maxsize=4096)
def permits(asked: Asked, letters: frozenset[str]) -> tuple[Permit, ...]:
    """What is reached by whoever needs all these letters."""
    limits = tuple(_limits(asked, letters))
    return tuple(
        Permit(left, rule.name)
        for rule in asked.rules
        if letters <= rule.letters
        for ground in _of_rule(asked, rule)
        for limit in limits
        if (met := _meet(ground, limit)) is not None
        for left in _unbarred(asked.agreement, met)
    )


def united(found: Iterable[Permit]) -> list[Ground]:
    """As few grounds as say the same: types together, and none within another."""
    types: dict[Ground, set[str]] = defaultdict(set)
    for permit in found:
        ground = permit.ground
        if ground.types is None or ground.where is not None:
            types[ground] |= ground.types or frozenset()
        else:
            types[replace(ground, types=frozenset())] |= ground.types
    grounds = [
        replace(ground, types=frozenset(of)) if of else ground for ground, of in types.items()
    ]
    return [
        ground
        for at, ground in enumerate(grounds)
        if not any(
            _covers(other, ground) and (place < at or not _covers(ground, other))
            for place, other in enumerate(grounds)
            if place != at
        )
    ]


def _of_rule(asked: Asked, rule: Rule) -> Iterator[Ground]:
    """The rule for this caller; nothing where it has not what the rule goes by."""
    place = _number("Organization", asked.facility)
    if {FACILITY, CARE} & rule.reach and place is None:
        return
    ground = Ground(
        types=rule.types,
        facility=place if FACILITY in rule.reach else None,
        in_care_of=(place, 0) if place is not None and CARE in rule.reach else None,
    )
    owners: frozenset[int] | None = None
    if PATIENT in rule.reach:
        patient = _number("Patient", asked.patient)
        owners = frozenset() if patient is None else frozenset({patient})
    if NOBODY in rule.reach:
        owners = NOBODYS if owners is None else owners & NOBODYS
    if owners is not None and not owners:
        return
    ground = replace(ground, owners=owners)
    if CONSENT not in rule.reach and (not asked.needs_consent or NOBODY in rule.reach):
        yield ground
        return
    for types, patients in asked.agreement.permitted:
        met = _meet(ground, Ground(types=types, owners=patients))
        if met is not None:
            yield met


def _limits(asked: Asked, letters: frozenset[str]) -> Iterator[Ground]:
    """The scopes that have all these letters, several of them together."""
    if asked.limits is None:
        yield Ground()
        return
    has: dict[tuple[str, str, Condition | None], frozenset[str]] = defaultdict(frozenset)
    for limit in asked.limits:
        has[limit.context, limit.type, limit.where] |= limit.letters
    plain: dict[str, set[str]] = defaultdict(set)
    for (context, type, where), told in list(has.items()):
        known = [has.get((context, each, None), frozenset()) for each in {type, ANY}]
        if not letters <= told.union(*known):
            continue
        if where is None:
            plain[context].add(type)
        else:
            yield from _in_context(asked, context, Ground(types=frozenset({type}), where=where))
    for context, types in plain.items():
        of = None if ANY in types else frozenset(types)
        yield from _in_context(asked, context, Ground(types=of))


def _in_context(asked: Asked, context: str, ground: Ground) -> Iterator[Ground]:
    """`patient/`: what is the patient's, and the directory, which is nobody's."""
    if context != "patient":
        yield ground
        return
    shared = _meet(ground, Ground(types=asked.policy.directory, owners=NOBODYS))
    if shared is not None:
        yield shared
    patient = _number("Patient", asked.patient)
    if patient is not None:
        yield replace(ground, owners=frozenset({patient}))


def _unbarred(agreement: Agreement, ground: Ground) -> Iterator[Ground]:
    """The ground without those who deny; for each type its own."""
    if ground.owners == NOBODYS:
        yield ground
        return
    for types, patients in agreement.denied:
        met = _meet(ground, Ground(types=types))
        if met is None:
            continue
        if ground.owners is None:
            yield replace(met, barred=patients)
        elif left := ground.owners - patients:
            yield replace(met, owners=left)
    rest = ground.types
    if rest is not None and (rest := rest.difference(*(of for of, _ in agreement.denied))):
        yield replace(ground, types=rest)


def _meet(one: Ground, other: Ground) -> Ground | None:
    """What is within both; None: nothing is. Of two places only the same one is both."""
    types = _both(one.types, other.types)
    owners = _both(one.owners, other.owners)
    if types == frozenset() or owners == frozenset():
        return None
    if None not in (one.facility, other.facility) and one.facility != other.facility:
        return None
    if None not in (one.in_care_of, other.in_care_of) and one.in_care_of != other.in_care_of:
        return None
    where = [each for each in (one.where, other.where) if each is not None]
    return Ground(
        types=types,
        owners=owners,
        facility=other.facility if one.facility is None else one.facility,
        in_care_of=other.in_care_of if one.in_care_of is None else one.in_care_of,
        where=AllOf(tuple(where)) if len(where) > 1 else where[0] if where else None,
        barred=one.barred | other.barred,
    )


def _both(one: frozenset[T] | None, other: frozenset[T] | None) -> frozenset[T] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _covers(wide: Ground, narrow: Ground) -> bool:
    """Whether all that is within `narrow` is within `wide`."""
    return (
        _within(wide.types, narrow.types)
        and _within(wide.owners, narrow.owners)
        and wide.facility in (None, narrow.facility)
        and wide.in_care_of in (None, narrow.in_care_of)
        and wide.where in (None, narrow.where)
        and wide.barred <= narrow.barred
    )


def _within(wide: frozenset[T] | None, narrow: frozenset[T] | None) -> bool:
    return wide is None or (narrow is not None and narrow <= wide)


def _number(type: str, id: str) -> int | None:
    return rid(Key(type, id)) if id else None
