"""credentials — the head of a request, as far as it tells who asks.

https://hl7.org/fhir/R4/security.html#authentication

RFC 6750, sections 2.1 and 3: a token comes in the header Authorization, and in no other way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from fhir_server.foundation.outcome import Invalid, Issue, Unauthorized

CHALLENGE = 'Bearer realm="fhir"'
TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
LONGEST = 8192


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request brings. authorization: the value of its header; None: it has none."""

    authorization: str | None
    address: str = ""
    method: str = ""
    path: str = ""


def bearer(credentials: Credentials) -> str:
    """The token. Raises Unauthorized, or Invalid where the header is malformed."""
    scheme, _, rest = (credentials.authorization or "").strip().partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthorized(
            "Who asks must be told: send `Authorization: Bearer` and an access token. Where to get"
            " one, `.well-known/smart-configuration` says.",
            vietnamese="Máy chủ cần biết ai đang hỏi: hãy gửi `Authorization: Bearer` kèm mã truy"
            " cập. Nơi cấp mã có ghi trong `.well-known/smart-configuration`.",
            headers={"WWW-Authenticate": CHALLENGE},
        )
    token = rest.strip()
    if not token or " " in token or "," in token:
        raise Invalid(
            "The header `Authorization` must be `Bearer`, a space, and one access token.",
            headers={"WWW-Authenticate": f'{CHALLENGE}, error="invalid_request"'},
        )
    if len(token) > LONGEST or not TOKEN.fullmatch(token):
        raise refused()
    return token


def refuse_in_parameters(pairs: Iterable[tuple[str, str]]) -> None:
    """Raise Invalid for a token in a URL or a form: what stands there is written down on the way.
    RFC 6750 2.3."""
    if any(name == "access_token" for name, _ in pairs):
        raise Invalid(
            "An access token comes in the header `Authorization` alone, never in `access_token`:"
            " ask for a new one, since others may have read this.",
            headers={"WWW-Authenticate": f'{CHALLENGE}, error="invalid_request"'},
        )


def refused() -> Unauthorized:
    """A token that is none, over, taken back, or meant for another: one answer for all."""
    sentence = (
        "The access token is not accepted: it may be over, or taken back. Ask for a new one at the"
        " token endpoint."
    )
    return Unauthorized(
        sentence,
        issues=[
            Issue(
                "error",
                "unknown",
                sentence,
                vietnamese="Mã truy cập không được chấp nhận: có thể đã hết hạn hoặc bị thu hồi."
                " Hãy xin mã mới.",
            )
        ],
        headers={"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"'},
    )
