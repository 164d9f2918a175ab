"""reply — an Answer or a refusal as an HTTP response.

https://hl7.org/fhir/R4/http.html#ops
https://hl7.org/fhir/R4/http.html#Status-Codes
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from functools import cache

from fhir_server.conformance.definitions import Definitions
from fhir_server.conformance.subset import shaped
from fhir_server.conformance.xml import to_xml
from fhir_server.foundation.outcome import FhirError, Issue, operation_outcome
from fhir_server.foundation.wire import parse, render, render_pretty
from fhir_server.interaction.bundle.respond import lined
from fhir_server.interaction.context import Answer
from fhir_server.rest import binary, compression, headers
from fhir_server.rest.formats import JSON, XML
from fhir_server.rest.request import LONG_WORK, Request, Send
from fhir_server.sync import wire

RawHeaders = list[tuple[bytes, bytes]]
WITH_DICTIONARY = 256  # bytes from which on an answer is worth compressing against a dictionary
HIGH_WATER = 64 * 1024  # bytes unsent from which on a transport says wait

# Health data belongs in no cache: a browser on a shared desk would keep it on its disk. Clients
# that hold a version themselves revalidate it with If-None-Match all the same.
NO_STORE = (b"cache-control", b"no-store")
SAFE: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    # R4 security#narrative: what a client uploaded must not run as a page of this server.
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),  # a URL may hold what was searched for
)
ALWAYS = (
    *SAFE,
    (b"vary", b"Accept, Accept-Encoding, Accept-Language, Authorization, Origin, Prefer"),
)
# Of these a program that has the dictionary makes nothing, and they are half of a short answer.
FOR_BROWSERS = frozenset({*SAFE[1:], ALWAYS[-1]})
PUBLIC = (b"cache-control", b"no-cache")  # the CapabilityStatement says nothing of anyone

REVALIDATED = frozenset({"read", "vread", "capabilities"})
WRITES = frozenset({"create", "update", "patch"})
ABOUT_THE_BODY = (400, 422)
SHAPED = WRITES | {"delete", "operation"}  # the others shape what they answer themselves
# RFC 7234 5.5: a warning of any kind, for who did not ask for an OperationOutcome.
WARNED = b'299 - "%d warning(s): ask with Prefer: return=OperationOutcome, or $validate"'
ALL_IS_WELL = {
    "create": ("The resource was stored.", "Đã lưu tài nguyên."),
    "update": ("The resource was stored.", "Đã lưu tài nguyên."),
    "patch": ("The resource was changed.", "Đã sửa tài nguyên."),
    "delete": ("The resource is deleted.", "Đã xóa tài nguyên."),
}


@dataclass(slots=True)
class Reply:
    """A response, ready to be sent."""

    status: int
    headers: RawHeaders = field(default_factory=list)
    body: bytes = b""


def basic(request: Request) -> RawHeaders:
    """What every response carries."""
    found = [*ALWAYS, PUBLIC if request.interaction == "capabilities" else NO_STORE]
    if request.options.hsts and request.base.startswith("https:"):
        found.append(https_only(request.options.hsts))
    if request.id:
        found.append((b"x-request-id", request.id))
    correlation = headers.correlation(request.headers, request.id)
    if correlation:
        found.append((b"x-correlation-id", correlation))
    return found


@cache
def https_only(seconds: int) -> tuple[bytes, bytes]:
    """RFC 6797: browsers that have come by https once come no other way."""
    return b"strict-transport-security", b"max-age=%d" % seconds


async def sent(send: Send, reply: Reply, *, head_only: bool) -> None:
    """Send it. A long answer is under way until the client has taken most of it, so that who does
    not read is counted with what the server keeps for him."""
    await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
    body = b"" if head_only else reply.body
    if len(body) > HIGH_WATER:
        await send({"type": "http.response.body", "body": body, "more_body": True})
        body = b""
    await send({"type": "http.response.body", "body": body})


async def answered(definitions: Definitions, request: Request, answer: Answer) -> Reply:
    """The response to an interaction that was done."""
    name = request.row.interaction
    found = basic(request)
    if answer.version_id:
        found.append((b"etag", headers.etag(answer.version_id)))
        if answer.updated:
            found.append((b"last-modified", headers.http_date(answer.updated)))
    for header, value in answer.headers.items():
        found.append((header.lower().encode(), value.encode()))
    if name in REVALIDATED:
        if headers.not_modified(request.headers, answer):
            return Reply(304, found)
        if request.place.type == "Binary" and (reply := _raw(request, answer, found)):
            return reply
    status, body = answer.status, answer.body
    if name in WRITES or name == "delete":
        status, body = _preferred(request, answer, found)
    if name in SHAPED and body is not None and body is answer.body and not request.shape.is_whole:
        body = render(shaped(definitions, parse(body), request.shape))
    if body is None:
        return Reply(status, found if status in (204, 304) else [*found, (b"content-length", b"0")])
    return await packed(definitions, request, Reply(status, found, body))


def _preferred(request: Request, answer: Answer, found: RawHeaders) -> tuple[int, bytes | None]:
    """What a write sends back, and where the resource is. R4 http#return."""
    name, status, body = request.row.interaction, answer.status, answer.body
    if answer.outcome:
        found.append((b"warning", WARNED % len(answer.outcome)))
    if request.preferences.applied:
        found.append((b"preference-applied", request.preferences.applied.encode()))
    if name != "delete" and answer.key:
        # A conditional create that found its match is answered 200, and must say where it is.
        place = headers.located(request.base, answer.key, answer.version_id)
        if answer.created or name == "create":
            found.append((b"location", place))
        if body is not None and request.preferences.returned in (None, "representation"):
            found.append((b"content-location", place))
    match request.preferences.returned:
        case "minimal":
            return status, None
        case "OperationOutcome":
            english, vietnamese = ALL_IS_WELL[name]
            well = Issue("information", "informational", english, vietnamese=vietnamese)
            told = operation_outcome([well, *answer.outcome], request.language)
            return 200 if status == 204 else status, render(told)
    return status, body


def _raw(request: Request, answer: Answer, found: RawHeaders) -> Reply | None:
    """The content of a Binary, where that is what was asked for."""
    if answer.body is None or any(name == "_format" for name, _ in request.pairs):
        return None
    raw = binary.raw(answer.body, request.headers.get(b"accept"))
    if raw is None:
        return None
    found.append((b"content-type", raw.content_type))
    found.append((b"content-length", b"%d" % len(raw.body)))
    if raw.security_context:
        found.append((b"x-security-context", raw.security_context))
    return Reply(200, found, raw.body)


# --- format and compression ----------------------------------------------------------------------


async def packed(definitions: Definitions, request: Request, reply: Reply) -> Reply:
    """The reply in the format and coding that were asked for. Its body is JSON before."""
    if request.pretty or request.format.kind == XML:
        if len(reply.body) < LONG_WORK:
            reply.body = in_format(definitions, request, reply.body)
        else:
            reply.body = await asyncio.to_thread(in_format, definitions, request, reply.body)
    reply.headers.append((b"content-type", request.format.content_type))
    accepted = request.headers.get(b"accept-encoding")
    dictionary = request.headers.get(b"available-dictionary")
    least = request.options.compression_minimum
    if dictionary is not None:
        least = min(least, WITH_DICTIONARY)
    if accepted is not None and len(reply.body) >= least:
        coding = compression.chosen(accepted, dictionary)
        if coding is not None:
            pack = compression.COMPRESS[coding]
            if len(reply.body) < LONG_WORK:
                reply.body = pack(reply.body)
            else:
                reply.body = await asyncio.to_thread(pack, reply.body)
            reply.headers.append((b"content-encoding", coding.encode()))
            if coding == wire.CODING and request.row.interaction == "operation":
                reply.headers = [one for one in reply.headers if one not in FOR_BROWSERS]
    reply.headers.append((b"content-length", b"%d" % len(reply.body)))
    return reply


def in_format(definitions: Definitions, request: Request, body: bytes) -> bytes:
    if request.format.kind == JSON:
        return render_pretty(parse(body)) if request.pretty else body
    return to_xml(definitions, parse(body), pretty=request.pretty)


# --- refusals ------------------------------------------------------------------------------------


async def refused(definitions: Definitions, request: Request, refusal: FhirError) -> Reply:
    """The response to a request that was not done: its status, and an OperationOutcome."""
    found = basic(request)
    for name, value in refusal.headers.items():
        found.append((name.lower().encode("latin-1"), value.encode("latin-1", "replace")))
    issues = [_clean(issue) for issue in refusal.issues]
    if refusal.status in ABOUT_THE_BODY:
        issues = await lined(issues, request.text)
    body = render(operation_outcome(issues, request.language))
    return await packed(definitions, request, Reply(refusal.status, found, body))


def _clean(issue: Issue) -> Issue:
    """The issue without half surrogate pairs and control characters of the client's."""
    told = _printable(issue.diagnostics)
    where = _printable(issue.expression) if issue.expression else issue.expression
    also = _printable(issue.vietnamese) if issue.vietnamese else issue.vietnamese
    if (told, where, also) == (issue.diagnostics, issue.expression, issue.vietnamese):
        return issue
    return replace(issue, diagnostics=told, expression=where, vietnamese=also)


def _printable(text: str) -> str:
    """What JSON and XML can both say."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)
