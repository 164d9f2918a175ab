"""What it takes to de-identify in a test: R4, its own code systems, one secret, one client."""

from __future__ import annotations

from fhir_server.conformance.definitions import load
from fhir_server.conformance.r4_resources import canonicals_of_r4
from fhir_server.foundation.resource import Key, literal
from fhir_server.security.deidentify import Means
from fhir_server.security.pseudonym import Pseudonyms
from fhir_server.terminology.terms import Terms

SECRET = b"s" * 32


def own(reference: str) -> Key | None:
    found = literal(reference)
    return found.key if found is not None and not found.base else None


def means(client: str = "study") -> Means:
    terms = Terms(canonicals_of_r4())
    return Means(load(), terms, Pseudonyms(SECRET, client), own)


MEANS = means()
