"""agreeing — of many patients' Consents: whose records they open to a caller, and whose they bar.

https://hl7.org/fhir/R4/consent.html

What a Consent says of single records (their labels) is not known before they are looked for: a
permit that depends on it opens nothing, and a deny that does bars.
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
    honoured = purpose in policy.honoured
    permitted: dict[str, set[int]] = defaultdict(set)
    denied: dict[str, set[int]] = defaultdict(set)
    for patient, theirs in found.items():
        number = rid(Key("Patient", patient))
        told = types_told(theirs) & policy.types
        said = {
            type: judged(theirs, caller, purpose, type, None, when) for type in (NO_TYPE, *told)
        }
        for type in policy.types:
            verdict = said.get(type, said[NO_TYPE])
            if verdict == PERMIT:
                permitted[type].add(number)
            elif verdict == DENY and honoured:
                denied[type].add(number)
    return Agreement(_shares(permitted), _shares(denied))


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


def _shares(found: Mapping[str, set[int]]) -> Shares:
    types: dict[frozenset[int], set[str]] = defaultdict(set)
    for type, patients in found.items():
        types[frozenset(patients)].add(type)
    return tuple((frozenset(of), patients) for patients, of in types.items())
