"""refusing — what an answer means that is none: to ask again, or that the hub refuses.

https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import orjson

from fhir_server.foundation.outcome import Invalid, Issue
from fhir_server.sync.words.answer import issue

OF_WHAT_WAS_SENT = frozenset({400, 413, 422})
MOST = 20  # issues of a refusal that are kept
SMALL = 64 * 1024  # bytes of an answer that is no Bundle
PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 507})


class Away(Exception):
    """The hub cannot be reached at the moment, or has no time: the same question may be asked
    again. after: seconds that the hub asks to wait."""

    def __init__(self, why: str, after: float = 0.0) -> None:
        super().__init__(why)
        self.after = after


class Refusal(Exception):
    """The hub refuses what was asked, and will again. status: of HTTP; 0: it is no answer. issues:
    of its OperationOutcome; none: it was somebody on the way who refused, or none was told."""

    def __init__(self, why: str, status: int = 0, issues: Sequence[Issue] = ()) -> None:
        super().__init__(why)
        self.status = status
        self.issues = tuple(issues)

    @property
    def is_of_what_was_sent(self) -> bool:
        """Whether the hub itself says that what was sent is at fault, and not who sent it."""
        return bool(self.issues) and self.status in OF_WHAT_WAS_SENT


def small(body: bytes) -> Mapping[str, Any]:
    try:
        told = orjson.loads(body[:SMALL])
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise Refusal("What the hub answered is no JSON object.")
    return told


def failure(status: int, headers: httpx.Headers, body: bytes) -> Exception:
    """What an answer that is none means: whether to ask again."""
    why = f"The hub answered {status}: {_said(body)}"
    if status in PASSING:
        told = headers.get("retry-after", "")
        return Away(why, float(told) if told.isascii() and told.isdecimal() else 0.0)
    return Refusal(why, status, _issues(body))


def _issues(body: bytes) -> tuple[Issue, ...]:
    """Of an OperationOutcome; none where it is no such."""
    try:
        told = orjson.loads(body[:SMALL])
        if isinstance(told, dict) and told.get("resourceType") == "OperationOutcome":
            return tuple(issue(each, "the refusal") for each in told.get("issue", [])[:MOST])
    except (ValueError, Invalid):
        pass
    return ()


def _said(body: bytes) -> str:
    """The words of an OperationOutcome, or of OAuth."""
    try:
        told = orjson.loads(body[:SMALL])
    except ValueError:
        return "no reason."
    match told:
        case {"issue": [{"diagnostics": str(text)}, *_]}:
            return text[:500]
        case {"error_description": str(text)}:
            return text[:500]
    return "no reason."


def why(error: Exception) -> str:
    said = str(error).strip()
    return f"The hub cannot be reached: {said[:200] or type(error).__name__}"
