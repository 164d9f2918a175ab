"""oauth — the grammar of the endpoints for tokens: forms in, a refusal in OAuth's words out.

https://hl7.org/fhir/R4/security.html#authentication

RFC 6749, sections 3.2 and 5.2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fhir_server.security.tokens.credentials import CHALLENGE

MAX_PARAMETERS = 30
NOT_TOLD = re.compile(r"[^ !#-\[\]-~]")


class OAuthError(Exception):
    """A refusal: RFC 6749's word, a sentence, and for the log why it was. challenge: of a 401, or
    of a 403 for a token, what WWW-Authenticate says."""

    def __init__(
        self,
        error: str,
        sentence: str,
        *,
        status: int = 400,
        why: str = "",
        challenge: str = "",
    ) -> None:
        super().__init__(why or sentence)
        self.error = error
        self.status = status
        self.sentence = sentence
        self.challenge = challenge

    @property
    def told(self) -> Mapping[str, Any]:
        """RFC 6749 5.2: neither `"` nor `\\`, and ASCII alone."""
        return {"error": self.error, "error_description": NOT_TOLD.sub("'", self.sentence)}


def unproven(sentence: str, *, why: str = "") -> OAuthError:
    """The client is not who it says, or does not show it."""
    return OAuthError("invalid_client", sentence, status=401, why=why, challenge=CHALLENGE)


def unknown_token(sentence: str) -> OAuthError:
    """A question about tokens comes with an access token that is none. RFC 6750 3.1."""
    challenge = f'{CHALLENGE}, error="invalid_token"'
    return OAuthError("invalid_token", sentence, status=401, challenge=challenge)


def form(pairs: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    """The parameters of a form. RFC 6749 3.2: none twice; one without a value was not sent."""
    if len(pairs) > MAX_PARAMETERS:
        raise OAuthError("invalid_request", f"The form has more than {MAX_PARAMETERS} parameters.")
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise OAuthError("invalid_request", f"The parameter {name[:40]} came twice.")
        found[name] = value
    return {name: value for name, value in found.items() if value}


def needed(form: Mapping[str, str], name: str) -> str:
    if name not in form:
        raise OAuthError("invalid_request", f"The parameter {name} is missing.")
    return form[name]
