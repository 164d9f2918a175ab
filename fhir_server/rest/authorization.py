"""authorization — the endpoints where clients get tokens, beside the FHIR API below the same base.

https://hl7.org/fhir/R4/security.html#authentication

They are there where access is asked for, and speak OAuth's JSON, whatever `Accept` says: their
refusals, too (RFC 6749 5.2).
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fhir_server.foundation.outcome import FhirError, Invalid, MethodNotAllowed, Unavailable
from fhir_server.foundation.wire import render
from fhir_server.interaction.context import Server
from fhir_server.interaction.opening import demand_context
from fhir_server.rest import consent, cors, reply, routes
from fhir_server.rest.perform import circumstances
from fhir_server.rest.reply import Reply
from fhir_server.rest.request import Request
from fhir_server.security.tokens.authority import Authority
from fhir_server.security.tokens.credentials import CHALLENGE, Credentials
from fhir_server.security.tokens.fetching import Unfetched
from fhir_server.security.tokens.oauth import MAX_PARAMETERS, NOT_TOLD, OAuthError
from fhir_server.security.tokens.recognising import caller_of
from fhir_server.security.tokens.ring import Kind, Ring
from fhir_server.security.tokens.wiping import Revoked, taken
from fhir_server.sync import receipts, wiping
from fhir_server.sync.copy import piece

FORM = "application/x-www-form-urlencoded"
Told = Mapping[str, Any]
Pairs = list[tuple[str, str]]
MAX_FORM = 128 * 1024  # bytes: an assertion, or a key set
JSON = (b"content-type", b"application/json")
PRAGMA = (b"pragma", b"no-cache")  # RFC 6749 5.1 asks for it beside no-store
# What a refusal that is not of these endpoints alone is called in OAuth's words.
CALLED = {401: "invalid_client", 403: "access_denied", 429: "temporarily_unavailable"}
CALLED |= {500: "server_error", 503: "temporarily_unavailable"}


async def _token(authority: Authority, request: Request, pairs: Pairs) -> Told:
    told = await authority.token(pairs, request.base)
    # Looked up once, for the audit: who was given it is known from here on.
    credentials = Credentials(f"Bearer {told['access_token']}", request.address)
    request.caller = await authority.authenticate(credentials)
    return told


async def _introspect(authority: Authority, request: Request, pairs: Pairs) -> Told:
    return await authority.introspect(pairs, _credentials(request), request.base)


async def _revoke(authority: Authority, request: Request, pairs: Pairs) -> Told:
    await authority.revoke(pairs, request.base)
    return {}


async def _enrol(authority: Authority, request: Request, pairs: Pairs) -> Told:
    return await authority.enrol(pairs, request.base)


async def _rotate(authority: Authority, request: Request, pairs: Pairs) -> Told:
    told, request.caller = await authority.rotate(pairs, request.base)
    return told


async def _wiped(authority: Authority, request: Request, pairs: Pairs) -> Told:
    request.caller = await authority.wiped(pairs, request.base)
    return {}


async def _launch(server: Server, authority: Authority, request: Request, pairs: Pairs) -> Told:
    """An EMR opens an application about a patient whom it reaches itself."""
    credentials = _credentials(request)
    facts = await authority.may_open(pairs, credentials)
    request.caller, request.access = await server.gate.admitted(credentials)
    await demand_context(server, circumstances(server, request), facts)
    return await authority.opened(pairs, facts, credentials, request.base)


POSTED: Mapping[bytes, Callable[[Authority, Request, Pairs], Awaitable[Told]]] = {
    b"oauth/token": _token,
    b"oauth/introspect": _introspect,
    b"oauth/revoke": _revoke,
    b"oauth/enrol": _enrol,
    b"oauth/rotate": _rotate,
    b"oauth/wiped": _wiped,
}
LAUNCH, ENROL = b"oauth/launch", b"oauth/enrol"
BEARERS = frozenset({b"oauth/introspect", LAUNCH})  # which an access token may come to
CONFIGURATION, OPENID = b".well-known/smart-configuration", b".well-known/openid-configuration"
KEYS, AUTHORIZE = b"oauth/keys", b"oauth/authorize"
RECEIPT_KEYS = b"oauth/receipt-keys"  # by which what nodes were told can be verified without us
COPY_KEYS = b"oauth/copy-keys"  # for which nodes seal their copies
TOLD_TO_ANY_PAGE = frozenset({CONFIGURATION, OPENID, KEYS, RECEIPT_KEYS, COPY_KEYS})  # SMART 2.2
RINGS = {RECEIPT_KEYS: receipts.KEYS, COPY_KEYS: piece.KEYS}
PATHS = frozenset({*POSTED, LAUNCH, *TOLD_TO_ANY_PAGE, AUTHORIZE})
METHODS = dict.fromkeys(TOLD_TO_ANY_PAGE, ("GET", "HEAD")) | {AUTHORIZE: ("GET", "POST")}


async def answered(server: Server, authority: Authority, request: Request, path: bytes) -> Reply:
    """The answer at one of PATHS."""
    request.interaction = path.rpartition(b"/")[2].decode()
    # What people and clients put into a URL may be secret, and is written down nowhere.
    has_query, request.raw_query = bool(request.raw_query), b""
    methods = METHODS.get(path, ("POST",))
    allow = ", ".join([*methods, "OPTIONS"])
    if request.method == "OPTIONS":
        request.interaction = "options"
        asked = cors.preflight(request.origins, request.headers) or []
        return Reply(204, [*reply.basic(request), *asked, (b"allow", allow.encode())])
    if request.method not in methods:
        raise MethodNotAllowed(f"It takes {allow}.", headers={"Allow": allow})
    if path in TOLD_TO_ANY_PAGE:
        return _json(request, 200, await _published(server, authority, request, path))
    if path == AUTHORIZE and request.method == "GET":
        return await consent.answered(server.gate, authority, request, request.pairs)
    if path not in BEARERS:
        _refuse_header(request)
    pairs = await _form(request, has_query=has_query)
    if path == AUTHORIZE:
        return await consent.answered(server.gate, authority, request, pairs)
    if path == LAUNCH:
        return _json(request, 200, await _launch(server, authority, request, pairs))
    try:
        told = await POSTED[path](authority, request, pairs)
    except Revoked as refusal:
        raise await _with_word(server, request, refusal) from None
    if path == ENROL:  # what it is told once, it need not believe anybody later
        told = {**told, "receipt_keys": await _published_keys(server, receipts.KEYS)}
    return _json(request, 200, told)


async def _with_word(server: Server, request: Request, refusal: Revoked) -> Revoked:
    """The refusal, with the hub's word that it is to be wiped. Raises OAuthError."""
    now = time.time_ns() // 1_000_000
    whose = await taken(server.store.access, refusal.client.id, now)
    request.caller, request.interaction = caller_of(whose, {}, ""), "wipe-word"
    word = wiping.Word(whose.id, refusal.key, whose.wipe)
    ring = Ring(server.store, server.lasting_secret, receipts.KEYS)
    refusal.words = await wiping.words(ring, word, now)
    return refusal


async def _published_keys(server: Server, kind: Kind) -> Told:
    ring = Ring(server.store, server.lasting_secret, kind)
    return await ring.published(time.time_ns() // 1_000_000)


async def _published(server: Server, authority: Authority, request: Request, path: bytes) -> Told:
    if path == OPENID:
        return authority.openid(request.base)
    if path == KEYS:
        return await authority.keys()
    if path in RINGS:
        return await _published_keys(server, RINGS[path])
    try:
        return await authority.configuration(request.base)
    except Unfetched as error:
        raise Unavailable(str(error), headers={"Retry-After": "10"}) from None


def refusal(request: Request, error: FhirError | OAuthError) -> Reply:
    """What these endpoints answer to what was not done."""
    if isinstance(error, OAuthError):
        told = _json(request, error.status, error.told)
        if error.challenge:
            told.headers.append((b"www-authenticate", error.challenge.encode()))
        return told
    status = error.status
    word = CALLED.get(status, "server_error" if status > 500 else "invalid_request")
    told = _json(
        request, status, {"error": word, "error_description": NOT_TOLD.sub("'", str(error))}
    )
    for name, value in error.headers.items():
        told.headers.append((name.lower().encode("latin-1"), value.encode("latin-1", "replace")))
    return told


def _credentials(request: Request) -> Credentials:
    return Credentials(
        request.header(b"authorization"),
        request.address,
        request.method,
        request.raw_path.decode("latin-1"),
    )


def _refuse_header(request: Request) -> None:
    """RFC 6749 5.2: who proves itself in Authorization is told in the scheme it used."""
    told = request.header(b"authorization")
    if told is not None:
        scheme = "Basic" if told.lower().startswith("basic ") else "Bearer"
        raise OAuthError(
            "invalid_client",
            "Nothing in Authorization is looked at here: send client_assertion in the form.",
            status=401,
            challenge=CHALLENGE.replace("Bearer", scheme),
        )


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


def _json(request: Request, status: int, told: Told) -> Reply:
    body = render(dict(told))
    length = (b"content-length", b"%d" % len(body))
    return Reply(status, [*reply.basic(request), PRAGMA, JSON, length], body)
