"""leave — what a person says who gives an application leave: who they are, for what, by what right.

https://hl7.org/fhir/R4/security.html#authentication

A client with a key says these in its assertion (see assertion.CONTEXT), held to the same shapes. A
person may choose among the purposes the application is registered for, and no other. Who is about
to break a glass names the one record it is for, unless the application is open at one already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fhir_server.security.purpose import BREAK_GLASS
from fhir_server.security.tokens.assertion import CONTEXT
from fhir_server.security.tokens.client import Client
from fhir_server.security.tokens.oauth import OAuthError

SENTENCES: Mapping[str, str] = {
    "purpose": "The purpose is none the application is registered for.",
    "patient": "The patient is an id, as bn-017: up to 64 letters, digits, `-` and `.`.",
    "basis": "The basis is at most 100 printable signs.",
    "reason": "The reason is at most 500 printable signs.",
}


@dataclass(frozen=True, slots=True)
class Leave:
    """What stood in the form. login: the code an operator gave them. purpose: empty, the first
    the application is registered for."""

    login: str = ""
    purpose: str = ""
    patient: str = ""
    basis: str = ""
    reason: str = ""

    def facts(self, whose: Client, known: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a token is given beside `known`: by whom the person is known. Raises OAuthError."""
        told = {name: getattr(self, name).strip() for name in SENTENCES}
        for name, text in told.items():
            if text and not _fits(name, text, whose):
                raise OAuthError("invalid_request", SENTENCES[name])
        found = {name: text for name, text in told.items() if text}
        if whose.purposes:
            found.setdefault("purpose", whose.purposes[0])
        if "patient" in found:
            here = known.get("patient", whose.patient)
            if not here and found.get("purpose") != BREAK_GLASS:
                raise OAuthError("invalid_request", "A patient is named to break a glass, alone.")
            if here not in ("", found["patient"]):
                raise OAuthError("invalid_request", "The application is open at another patient.")
        return {**known, **found}


def _fits(name: str, text: str, whose: Client) -> bool:
    return text in whose.purposes if name == "purpose" else bool(CONTEXT[name](text))
