"""dispatch — from the head of a FHIR request to the last byte of its answer.

https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Generator
from functools import partial
from time import perf_counter
from typing import Any

from fhir_server.conformance.definitions import Definitions
from fhir_server.foundation.outcome import (
    FhirError,
    Invalid,
    TooCostly,
    TooMany,
    Unavailable,
    UriTooLong,
)
from fhir_server.interaction import auditing
from fhir_server.interaction.context import Answer, NotAdmitted, Server
from fhir_server.rest import authorization, cors, headers, recording, reply, routes
from fhir_server.rest.address import address
from fhir_server.rest.base_url import base_url
from fhir_server.rest.host import refuse_host
from fhir_server.rest.limits import Limits
from fhir_server.rest.log import Done, Log
from fhir_server.rest.metrics import Metrics
from fhir_server.rest.options import Options
from fhir_server.rest.perform import PERFORM, refuse_parameters, shape
from fhir_server.rest.reply import Reply
from fhir_server.rest.request import ClientGone, Held, Receive, Request, Scope, Send
from fhir_server.rest.routes import Grammar
from fhir_server.security.tokens.credentials import (
    CHALLENGE,
    Credentials,
    refuse_in_parameters,
)
from fhir_server.security.tokens.oauth import OAuthError

CLIENT_GONE = 499  # for the log alone: nobody is there to be told
TOLD_TO_ALL = authorization.PATHS | {b"metadata"}  # how to ask, before one can
TOLD_TO_ANY_PAGE = authorization.TOLD_TO_ANY_PAGE | {b"metadata"}
FORBIDDEN = 403
INSUFFICIENT = f'{CHALLENGE}, error="insufficient_scope"'  # RFC 6750 3.1
WRITES = frozenset({"create", "update", "patch", "delete"})
READS = frozenset({"read", "vread", "capabilities"})
SEARCHES = frozenset(
    row.interaction
    for row in routes.ROWS
    if row.interaction.startswith(("search", "history", "operation"))
)


class Dispatcher:
    """The RESTful API. Whatever happens, the client is told, counted and logged once."""

    def __init__(
        self, server: Server, options: Options, *, log: Log, metrics: Metrics, limits: Limits
    ) -> None:
        self.server = server
        self.options = options
        self.log = log
        self.metrics = metrics
        self.limits = limits
        self.held = Held()
        self.grammar = Grammar(server.definitions.resource_types, compartments(server.definitions))
        self._ids = headers.ids()

    async def __call__(self, scope: Scope, receive: Receive, send: Send, path: bytes) -> None:
        started = perf_counter()
        request = Request(scope, receive, self.options, self.held)
        self.held.requests += 1
        status, size = CLIENT_GONE, 0
        try:
            told = await self._reply(scope, request, path)
            status, size = told.status, len(told.body)
            await reply.sent(send, told, head_only=request.method == "HEAD")
        except ClientGone:
            pass
        finally:
            self.held.requests -= 1
            self.limits.done(request.turn)
            request.let_go()
            self._tell(request, status, size, perf_counter() - started)

    def _tell(self, request: Request, status: int, size: int, seconds: float) -> None:
        self.metrics.observe(request.interaction, request.place.type, status, seconds)
        if self.options.log_requests:
            self.log.line(
                Done(
                    request.id,
                    request.interaction,
                    request.place.type,
                    status,
                    seconds,
                    size,
                    request.caller.client,
                )
            )

    async def _reply(self, scope: Scope, request: Request, path: bytes) -> Reply:
        """The response, whatever happens on the way to it."""
        try:
            self._head(scope, request)
            self.server.closing.demand_open()
            await self._admit(request, path)
            request.turn = self.limits.take(request.caller.client, request.address)
            found = await self._done(request, path)
        except FhirError as refusal:
            if not request.turn and not isinstance(refusal, TooMany):
                self.limits.failed(request.address)
            await recording.refused(self.server, request, refusal.status, refusal.issues[0].code)
            found = await self._refusal(request, path, refusal)
        except OAuthError as refusal:
            await recording.refused(self.server, request, refusal.status, "security")
            found = authorization.refusal(request, refusal)
        except ClientGone:
            raise
        except Exception as error:
            self.log.trouble(request_id=request.id, interaction=request.interaction, error=error)
            trouble = unexpected(request)
            await recording.refused(self.server, request, trouble.status, trouble.code)
            found = await self._refusal(request, path, trouble)
        if request.origins:
            found.headers += cors.exposed(request.origins, request.headers)
        return found

    async def _refusal(self, request: Request, path: bytes, refusal: FhirError) -> Reply:
        """In FHIR's words; beside the API, in OAuth's."""
        if self.server.authority is None:
            return await reply.refused(self.server.definitions, request, refusal)
        if path in authorization.PATHS:
            return authorization.refusal(request, refusal)
        if refusal.status == FORBIDDEN and refusal.headers.get("WWW-Authenticate") is None:
            refusal.headers = {**refusal.headers, "WWW-Authenticate": INSUFFICIENT}
        return await reply.refused(self.server.definitions, request, refusal)

    # --- what is known before anything is done ---

    def _head(self, scope: Scope, request: Request) -> None:
        """Take in the headers and the parameters, and settle how to answer, even a refusal."""
        request.id = next(self._ids)
        options = self.options
        request.headers = headers.collected(scope["headers"], bound=options.max_header)
        request.id = headers.told_id(request.headers, b"x-request-id") or request.id
        if self.held.requests > options.concurrency:
            raise TooMany(
                f"The server is working on {options.concurrency} requests already"
                " (`concurrency`). Try again in a moment.",
                headers={"Retry-After": "1"},
            )
        request.address = address(options, request.headers, scope.get("client"))
        self.limits.look(request.address)
        refuse_host(options.allowed_hosts, request.headers.get(b"host"))
        length = len(request.raw_path) + len(request.raw_query)
        if length > options.max_url:
            raise UriTooLong(
                f"The URL is {length} bytes; `max_url` allows {options.max_url}. Send a long"
                " search as a POST to `_search`, its parameters in the body."
            )
        if request.raw_query:
            request.pairs = routes.pairs(
                request.raw_query, where="the query", bound=options.max_parameters
            )
        prefer = request.headers.get(b"prefer")
        if prefer is not None:
            request.preferences = headers.preferences(prefer)
        languages = request.headers.get(b"accept-language")
        if languages is not None:
            request.language = headers.language(languages)
        request.base = base_url(
            options, request.headers, scheme=scope["scheme"], server=scope.get("server")
        )
        if options.trust_proxy and not options.public_base_url:
            refuse_host(options.allowed_hosts, request.base.split("/", 3)[2])

    async def _admit(self, request: Request, path: bytes) -> None:
        """Make out who asks, and what they may. Raises Unauthorized, Forbidden, Invalid."""
        if b"origin" in request.headers:
            request.origins = await self._origins(request, path)
            cors.refuse_foreign(
                request.origins, request.headers, method=request.method, base=request.base
            )
        if request.method == "OPTIONS" or path in TOLD_TO_ALL:
            return
        if request.pairs:
            try:
                refuse_in_parameters(request.pairs)
            except Invalid:
                request.raw_query, request.pairs = b"", []  # it is written down nowhere
                raise
        told = Credentials(
            request.header(b"authorization"),
            request.address,
            request.method,
            path.decode("latin-1"),
        )
        try:
            request.caller, request.access = await self.server.gate.admitted(told)
        except NotAdmitted as refusal:
            request.caller = refusal.caller
            raise

    async def _origins(self, request: Request, path: bytes) -> Collection[str]:
        """The pages that are let in: those of the settings, of the applications that are
        registered, and where it is only told how to ask, every one. SMART 2.2, app launch."""
        own = self.options.cors_origins
        authority = self.server.authority
        if authority is None or cors.origin(own, request.headers) is not None:
            return own
        if path in TOLD_TO_ANY_PAGE and request.method in ("GET", "HEAD", "OPTIONS"):
            return ("*",)
        return {*own, *await authority.origins()}

    # --- doing it ---

    async def _done(self, request: Request, path: bytes) -> Reply:
        if self.server.authority is not None and path in authorization.PATHS:
            told = await authorization.answered(self.server, self.server.authority, request, path)
            await recording.done(self.server, request, told.status)
            return told
        try:
            request.place = self.grammar.place(path)
        finally:  # a refusal of the path is told in the format that was asked for, too
            request.negotiate()
        if request.method == "OPTIONS":
            return self._options(request)
        row = request.row = routes.row(request.place, request.method)
        request.interaction = row.interaction
        routes.refuse_id(request.place, request.method)
        if row.interaction in WRITES:
            auditing.refuse_write(request.place.type or "")
        if request.pairs:
            refuse_parameters(request, row)
            request.shape = shape(self.server, request)
        answer = await self._performed(request)
        await recording.done(self.server, request, answer.status)
        return await reply.answered(self.server.definitions, request, answer)

    async def _performed(self, request: Request) -> Answer:
        """A write is never broken off: it may have been done. What only reads, is."""
        name = request.row.interaction
        perform = PERFORM[name]
        if name not in READS and name not in SEARCHES:
            return await self._written(perform(self.server, request))
        doing = perform(self.server, request)
        try:
            waits = doing.send(None)
        except StopIteration as done:  # nothing was waited for, so there is nothing to time
            answer: Answer = done.value
            return answer
        seconds = self.options.request_timeout
        try:
            async with asyncio.timeout(seconds) as clock:
                return await Begun(doing, waits)
        except TimeoutError:
            if not clock.expired():
                raise
            if name in READS:
                raise Unavailable(
                    f"The database did not answer within {seconds:g} seconds"
                    " (`request_timeout`). Try again in a moment.",
                    headers={"Retry-After": "5"},
                ) from None
            raise TooCostly(
                f"The {name} was given up after {seconds:g} seconds (`request_timeout`). Ask for"
                " less: more criteria, a shorter period, a smaller `_count`."
            ) from None

    async def _written(self, doing: Awaitable[Answer]) -> Answer:
        """A node whose disk may be lost has a second copy of it first."""
        answer = await doing
        if self.server.copied is not None:
            await self.server.copied()
        return answer

    def _options(self, request: Request) -> Reply:
        request.interaction = "options"
        found = reply.basic(request)
        asked = cors.preflight(request.origins, request.headers)
        if asked is not None:
            return Reply(204, [*found, *asked])
        shape = request.place.shape
        found.append((b"allow", routes.allowed(shape).encode()))
        if "PATCH" in routes.TABLE[shape]:
            found.append((b"accept-patch", b"application/json-patch+json, application/fhir+json"))
        return Reply(204, found)


class Begun:
    """A coroutine that was begun by hand and waits for something: it goes on from there.

    A clock costs a twelfth of a read on SQLite, which answers before it waits for anything.
    """

    __slots__ = ("_doing", "_waits")

    def __init__(self, doing: Coroutine[Any, Any, Answer], waits: Any) -> None:
        self._doing = doing
        self._waits = waits

    def __await__(self) -> Generator[Any, Any, Answer]:
        waits = self._waits
        while True:
            step: Callable[[], Any]
            try:
                yield waits
            except BaseException as error:  # a cancellation, most of all: it is the coroutine's
                step = partial(self._doing.throw, error)
            else:
                step = partial(self._doing.send, None)
            try:
                waits = step()
            except StopIteration as done:
                answer: Answer = done.value
                return answer


def compartments(definitions: Definitions) -> dict[str, frozenset[str]]:
    """For each type that has a compartment, the types it holds."""
    return {
        code: frozenset(type for type, parameters in held.items() if parameters)
        for code, held in definitions.compartments.items()
    }


def unexpected(request: Request) -> FhirError:
    """All a client is told of what should not have happened."""
    return FhirError(
        "Something went wrong in the server; nothing is known to have been done. Its operator"
        f" finds the reason in the log under the request `{request.id.decode('latin-1')}`."
    )
