"""authorization — the endpoints where clients get tokens, beside the FHIR API below the same base.

https://hl7.org/fhir/R4/security.html#authentication

They are there where access is asked for, and speak OAuth's JSON, whatever `Accept` says.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from fhir_server.foundation.outcome import Invalid, MethodNotAllowed
from fhir_server.foundation.wire import render
from fhir_server.rest import consent, cors, reply, routes
from fhir_server.rest.reply import Reply
from fhir_server.rest.request import Request
from fhir_server.security.tokens.credentials import CHALLENGE, Credentials
from fhir_server.security.tokens.oauth import MAX_PARAMETERS, OAuthError

if TYPE_CHECKING:
    from fhir_server.security.tokens.authority import Authority

FORM = "application/x-www-form-urlencoded"
Told = Mapping[str, Any]
Pairs = list[tuple[str, str]]
MAX_FORM = 128 * 1024  # bytes: an assertion, or a key set
JSON = (b"content-type", b"application/json")
PRAGMA = (b"pragma", b"no-cache")  # RFC 6749 5.1 asks for it beside no-store


async def _token(authority: Authority, request: Request, pairs: Pairs) -> Told:
    told = await authority.token(pairs, request.base)
    # Looked up once, for the audit: who was given it is known from here on.
    credentials = Credentials(f"Bearer {told['access_token']}", request.address)
    request.caller = await authority.authenticate(credentials)
    return told


async def _introspect(authority: Authority, request: Request, pairs: Pairs) -> Told:
    credentials = Credentials(request.header(b"authorization"))
    return await authority.introspect(pairs, credentials, request.base)


async def _revoke(authority: Authority, request: Request, pairs: Pairs) -> Told:
    await authority.revoke(pairs, request.base)
    return {}


async def _enrol(authority: Authority, request: Request, pairs: Pairs) -> Told:
    return await authority.enrol(pairs, request.base)


POSTED: Mapping[bytes, Callable[[Authority, Request, Pairs], Awaitable[Told]]] = {
    b"oauth/token": _token,
    b"oauth/introspect": _introspect,
    b"oauth/revoke": _revoke,
    b"oauth/enrol": _enrol,
}
CONFIGURATION = b".well-known/smart-configuration"
AUTHORIZE = b"oauth/authorize"
PATHS = frozenset({*POSTED, CONFIGURATION, AUTHORIZE})
METHODS = {CONFIGURATION: ("GET", "HEAD"), AUTHORIZE: ("GET", "POST")}


async def answered(authority: Authority, request: Request, path: bytes) -> Reply:
    """The answer at one of PATHS."""
    request.interaction = path.rpartition(b"/")[2].decode()
    # What people and clients put into a URL may be secret, and is written down nowhere.
    has_query, request.raw_query = bool(request.raw_query), b""
    methods = METHODS.get(path, ("POST",))
    allow = ", ".join([*methods, "OPTIONS"])
    if request.method == "OPTIONS":
        request.interaction = "options"
        asked = cors.preflight(request.options, request.headers) or []
        return Reply(204, [*reply.basic(request), *asked, (b"allow", allow.encode())])
    if request.method not in methods:
        raise MethodNotAllowed(f"It takes {allow}.", headers={"Allow": allow})
    if path == CONFIGURATION:
        return _json(request, 200, authority.configuration(request.base))
    try:
        if path == AUTHORIZE and request.method == "GET":
            return await consent.answered(authority, request, request.pairs)
        pairs = await _form(request, has_query=has_query)
        if path == AUTHORIZE:
            return await consent.answered(authority, request, pairs)
        return _json(request, 200, await POSTED[path](authority, request, pairs))
    except OAuthError as refusal:
        return _refused(request, refusal)


async def _form(request: Request, *, has_query: bool) -> Pairs:
    if has_query:
        raise OAuthError("invalid_request", "Send the parameters in the body, not in the URL.")
    media = (request.header(b"content-type") or "").partition(";")[0].strip().lower()
    if media != FORM:
        raise OAuthError("invalid_request", f"The body must be {FORM}.")
    length = request.headers.get(b"content-length", b"0")
    if (length.isdigit() and int(length[:12]) > MAX_FORM) or len(length) > 12:
        raise OAuthError("invalid_request", f"The body is larger than {MAX_FORM} bytes.")
    body = await request.body()
    if len(body) > MAX_FORM:
        raise OAuthError("invalid_request", f"The body is larger than {MAX_FORM} bytes.")
    try:
        return routes.pairs(body.strip(), where="the form", bound=MAX_PARAMETERS + 1)
    except Invalid as error:
        raise OAuthError("invalid_request", str(error)) from None


def _refused(request: Request, refusal: OAuthError) -> Reply:
    told = _json(request, refusal.status, refusal.told)
    if refusal.status == 401:
        told.headers.append((b"www-authenticate", CHALLENGE.encode()))
    return told


def _json(request: Request, status: int, told: Told) -> Reply:
    body = render(dict(told))
    length = (b"content-length", b"%d" % len(body))
    return Reply(status, [*reply.basic(request), PRAGMA, JSON, length], body)
