"""agreeing — of many patients' Consents: whose records they open to a caller, and whose they bar.

https://hl7.org/fhir/R4/consent.html

What a Consent says of single records (which one, its labels, its codes, its dates) is not known
before they are looked for: a permit that depends on it opens nothing, and a deny that does bars, of
one record all of its type.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fhir_server.foundation.outcome import TooCostly
from fhir_server.foundation.resource import Key, Resource
from fhir_server.security.caller import Caller
from fhir_server.security.consent import DENY, PERMIT, judged, patient_of, types_told
from fhir_server.security.policy import Policy
from fhir_server.store.contract.number import rid

MAX_CONSENTS = 10_000  # whose patients are part of each query
NO_TYPE = ""  # a type of which no Consent says anything in particular

Shares = tuple[tuple[frozenset[str], frozenset[int]], ...]  # types, and the patients for each


@dataclass(frozen=True, slots=True)
class Agreement:
    """No type is in two shares, of the permitted or of the denied."""

    permitted: Shares = ()
    denied: Shares = ()


SILENCE = Agreement()


def agreed(
    consents: Iterable[Resource], caller: Caller, purpose: str, policy: Policy, when: int
) -> Agreement:
    """What the Consents say to the caller, for this purpose. A deny is told where it is honoured.

    Raises TooCostly where there are too many to be part of a query.
    """
    found = _by_patient(consents)
    if not found:
        return SILENCE
    # Types of which no Consent says anything in particular are judged together, once.
    told = frozenset().union(*map(types_told, found.values())) & policy.types
    said: dict[tuple[str, str], set[int]] = defaultdict(set)
    for patient, theirs in found.items():
        number, mine = rid(Key("Patient", patient)), types_told(theirs)
        else_said = judged(theirs, caller, purpose, NO_TYPE, None, when)
        said[else_said, NO_TYPE].add(number)
        for type in told:
            asked = type in mine
            verdict = judged(theirs, caller, purpose, type, None, when) if asked else else_said
            said[verdict, type].add(number)
    denied = DENY if purpose in policy.honoured else None
    return Agreement(_shares(said, PERMIT, told, policy), _shares(said, denied, told, policy))


def _shares(
    said: Mapping[tuple[str, str], set[int]],
    verdict: str | None,
    told: frozenset[str],
    policy: Policy,
) -> Shares:
    types: dict[frozenset[int], set[str]] = defaultdict(set)
    for (one, type), patients in said.items():
        if one == verdict:
            types[frozenset(patients)] |= {type} if type else policy.types - told
    return tuple((frozenset(of), patients) for patients, of in types.items() if of)


def _by_patient(consents: Iterable[Resource]) -> dict[str, list[Resource]]:
    found: dict[str, list[Resource]] = defaultdict(list)
    for number, consent in enumerate(consents, 1):
        if number > MAX_CONSENTS:
            raise TooCostly(
                f"More than {MAX_CONSENTS} Consents are about you; ask for a token for one patient."
            )
        if patient := patient_of(consent):
            found[patient].append(consent)
    return found
