"""guard — what holds for the pages beside the FHIR API as it does for the API itself.

https://hl7.org/fhir/R4/security.html

Limits, the names the server may be asked by, the headers that keep a browser careful, and a
refusal whatever happens. Whether the process lives and is ready is told to everybody, always: who
starts servers anew by that must not be kept from it.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable

from fhir_server.foundation.outcome import FhirError, operation_outcome
from fhir_server.foundation.wire import render
from fhir_server.rest import headers, reply
from fhir_server.rest.address import address
from fhir_server.rest.base_url import base_url
from fhir_server.rest.host import refuse_host
from fhir_server.rest.limits import ANYONE, Limits
from fhir_server.rest.log import Log
from fhir_server.rest.options import Options
from fhir_server.rest.reply import RawHeaders, Reply
from fhir_server.rest.request import Message, Receive, Scope, Send

Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]
HEALTH = frozenset({"/livez", "/readyz"})
FHIR_JSON = (b"content-type", b"application/fhir+json; charset=utf-8")


class Guard:
    """Stands before an application and answers for what goes wrong in it."""

    def __init__(self, app: Asgi, options: Options, limits: Limits, log: Log) -> None:
        self.app = app
        self.options = options
        self.limits = limits
        self.log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False
        safe: RawHeaders = list(reply.SAFE)

        async def careful(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                own = {name.lower() for name, _ in message["headers"]}
                added = [header for header in safe if header[0] not in own]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        turn = ""
        try:
            turn = self._turn(scope, safe)
            await self.app(scope, receive, careful)
        except FhirError as refusal:
            await reply.sent(careful, refused(refusal), head_only=scope["method"] == "HEAD")
        except Exception as error:
            name = uuid.uuid4().hex.encode()
            self.log.trouble(request_id=name, interaction="none", error=error)
            if not begun:
                told = refused(unexpected(name))
                await reply.sent(careful, told, head_only=scope["method"] == "HEAD")
        finally:
            self.limits.done(turn)

    def _turn(self, scope: Scope, safe: RawHeaders) -> str:
        """Count the request as somebody's, or refuse it. Adds to `safe` what https asks for."""
        options = self.options
        told = headers.collected(scope["headers"], bound=options.max_header)
        if scope["path"] in HEALTH:
            return ""
        refuse_host(options.allowed_hosts, told.get(b"host"))
        base = base_url(options, told, scheme=scope["scheme"], server=scope.get("server"))
        if options.hsts and base.startswith("https:"):
            safe.append(reply.https_only(options.hsts))
        return self.limits.take(ANYONE, address(options, told, scope.get("client")))


def refused(refusal: FhirError) -> Reply:
    body = render(operation_outcome(refusal.issues))
    told = [(name.lower().encode(), value.encode()) for name, value in refusal.headers.items()]
    length = (b"content-length", b"%d" % len(body))
    return Reply(refusal.status, [FHIR_JSON, length, reply.NO_STORE, *told], body)


def unexpected(name: bytes) -> FhirError:
    return FhirError(
        "Something went wrong in the server. Its operator finds the reason in the log under the"
        f" request `{name.decode()}`.",
        headers={"X-Request-Id": name.decode()},
    )
