"""OperationOutcome — what went wrong, in FHIR's own words.

https://hl7.org/fhir/R4/operationoutcome.html
https://hl7.org/fhir/R4/http.html#Status-Codes

Raise one of these to refuse an interaction; nothing else reaches a client.

    FhirError               500  exception
      Invalid               400  invalid
      NotSupported          400  not-supported
      Unauthorized          401  login
      Forbidden             403  forbidden
      NotFound              404  not-found
      UnknownType           404  not-supported
      MethodNotAllowed      405  not-supported
      NotAcceptable         406  not-supported
      TooSlow               408  timeout
      Conflict              409  conflict
      Gone                  410  deleted
      PreconditionFailed    412  conflict
      MultipleMatches       412  multiple-matches
      TooLarge              413  too-long
      UriTooLong            414  too-long
      UnsupportedMedia      415  not-supported
      Unprocessable         422  processing
      TooCostly             422  too-costly
      TooMany               429  throttled
      HeadersTooLarge       431  too-long
      Unavailable           503  transient
      OutOfSpace            507  no-store
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fhir_server.foundation.resource import Resource


@dataclass(frozen=True, slots=True)
class Issue:
    """One OperationOutcome.issue.

    expression: the FHIRPath of the element (`Patient.name[0].family`) or, for a parameter,
    `http.<name>` as R4 asks.
    """

    severity: str  # fatal | error | warning | information
    code: str  # https://hl7.org/fhir/R4/valueset-issue-type.html
    diagnostics: str  # a sentence that says what to do, the thing in backticks
    expression: str | None = None
    rule: str | None = None  # the rule's key, told in details.coding
    vietnamese: str | None = None  # diagnostics in Vietnamese
    profile: str | None = None  # the profile that asks for it; None: R4 itself
    line: int | None = None  # where it stands in the text that was sent, both from 1
    column: int | None = None


class FhirError(Exception):
    """A refusal: its status, its issue code, and one issue or many."""

    status = 500
    code = "exception"

    def __init__(
        self,
        diagnostics: str,
        *,
        expression: str | None = None,
        vietnamese: str | None = None,
        issues: Sequence[Issue] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(diagnostics)
        self.issues = list(issues) or [
            Issue("error", self.code, diagnostics, expression, vietnamese=vietnamese)
        ]
        self.headers = headers or {}


class Invalid(FhirError):
    status, code = 400, "invalid"


class NotSupported(FhirError):
    status, code = 400, "not-supported"


class Unauthorized(FhirError):
    """Its header WWW-Authenticate says how to ask (RFC 6750, section 3)."""

    status, code = 401, "login"


class Forbidden(FhirError):
    status, code = 403, "forbidden"


class NotFound(FhirError):
    status, code = 404, "not-found"


class UnknownType(FhirError):
    status, code = 404, "not-supported"


class MethodNotAllowed(FhirError):
    status, code = 405, "not-supported"


class NotAcceptable(FhirError):
    status, code = 406, "not-supported"


class TooSlow(FhirError):
    status, code = 408, "timeout"


class Conflict(FhirError):
    status, code = 409, "conflict"


class Gone(FhirError):
    status, code = 410, "deleted"


class PreconditionFailed(FhirError):
    status, code = 412, "conflict"


class MultipleMatches(FhirError):
    status, code = 412, "multiple-matches"


class TooLarge(FhirError):
    status, code = 413, "too-long"


class UriTooLong(FhirError):
    status, code = 414, "too-long"


class UnsupportedMedia(FhirError):
    status, code = 415, "not-supported"


class Unprocessable(FhirError):
    status, code = 422, "processing"


class TooCostly(FhirError):
    status, code = 422, "too-costly"


class TooMany(FhirError):
    status, code = 429, "throttled"


class HeadersTooLarge(FhirError):
    status, code = 431, "too-long"


class Unavailable(FhirError):
    status, code = 503, "transient"


class OutOfSpace(FhirError):
    status, code = 507, "no-store"


def within(place: str, issue: Issue) -> Issue:
    """The issue of a resource as seen from what holds it at `place`: `Bundle.entry[0].resource`."""
    rest = (issue.expression or "").partition(".")[2]
    return replace(issue, expression=f"{place}.{rest}" if rest else place)


RULES = "https://fhir-server.example/CodeSystem/rule"  # the system of Issue.rule in details.coding


TRANSLATION = "http://hl7.org/fhir/StructureDefinition/translation"
LINE = "http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line"
COLUMN = "http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col"


def operation_outcome(issues: Sequence[Issue], language: str | None = None) -> Resource:
    """The issues as an OperationOutcome.

    language: `en` or `vi`; None: English, with the Vietnamese as its translation.
    """
    return {"resourceType": "OperationOutcome", "issue": [_issue(i, language) for i in issues]}


def _issue(issue: Issue, language: str | None) -> Resource:
    told: Resource = {}
    places = [(LINE, issue.line), (COLUMN, issue.column)]
    if found := [{"url": url, "valueInteger": n} for url, n in places if n is not None]:
        told["extension"] = found
    told |= {"severity": issue.severity, "code": issue.code}
    if issue.rule:
        told["details"] = {"coding": [{"system": RULES, "code": issue.rule}]}
    told["diagnostics"] = issue.diagnostics
    if issue.vietnamese and language == "vi":
        told["diagnostics"] = issue.vietnamese
    elif issue.vietnamese and language is None:
        told["_diagnostics"] = {"extension": [_translation("vi", issue.vietnamese)]}
    if issue.expression:
        told["expression"] = [issue.expression]
    return told


def _translation(language: str, text: str) -> Resource:
    parts = [{"url": "lang", "valueCode": language}, {"url": "content", "valueString": text}]
    return {"url": TRANSLATION, "extension": parts}
