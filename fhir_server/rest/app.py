"""app — the server as an ASGI application: the FHIR API by itself, FastAPI for all that is not it.

https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

import asyncio
import time

from fhir_server.interaction.context import Server
from fhir_server.rest.dispatch import Dispatcher
from fhir_server.rest.guard import Guard
from fhir_server.rest.limits import Limits
from fhir_server.rest.log import Log, Write, to_stderr
from fhir_server.rest.metrics import Metrics
from fhir_server.rest.operations import operations
from fhir_server.rest.options import Options
from fhir_server.rest.request import Receive, Scope, Send


class App:
    """Sends each request its way, and opens and closes the store.

    FHIR traffic meets no middleware: FastAPI stands beside the dispatcher, not around it.
    """

    def __init__(self, server: Server, options: Options, *, write_log: Write = to_stderr) -> None:
        self.server = server
        self.options = options
        self.log = Log(write_log)
        self.metrics = Metrics()
        self.limits = Limits(options)
        self.dispatcher = Dispatcher(
            server, options, log=self.log, metrics=self.metrics, limits=self.limits
        )
        self.operations = Guard(
            operations(server, options, self.metrics), options, self.limits, self.log
        )
        server.observers.append(self.metrics.issues)
        if server.texts is not None:
            server.texts.observers.append(self.metrics.text_behind.set)
        self.following: list[asyncio.Task[None]] = []
        self.failure: Exception | None = None  # why the store could not be opened
        self._base = options.base_path.rstrip("/").encode()
        self._below = self._base + b"/"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                path = scope.get("raw_path") or scope["path"].encode()
                if path.startswith(self._below):
                    rest = path[len(self._below) :]
                    if self._base or not self._is_operations(path):
                        await self.dispatcher(scope, receive, send, rest)
                        return
                elif path == self._base:
                    await self.dispatcher(scope, receive, send, b"")
                    return
                await self.operations(scope, receive, send)
            case "lifespan":
                await self._lifespan(receive, send)
            case "websocket":
                await send({"type": "websocket.close", "code": 1003})

    def _is_operations(self, path: bytes) -> bool:
        """Where the base is `/` itself, the operations pages keep their names."""
        return path in (b"/livez", b"/readyz", b"/metrics", b"/openapi.json")

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.server.store.open()
            await self.server.following.look()
        except Exception as error:
            self.failure = error
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        self.following.append(asyncio.create_task(self.server.following.follow()))
        if self.server.texts is not None:
            self.following.append(asyncio.create_task(self.server.texts.follow()))
        if self.server.reindexing is not None:
            self.following.append(asyncio.create_task(self.server.reindexing.work()))
        if self.server.anchoring is not None:
            self.following.append(asyncio.create_task(self.server.anchoring.work()))
        if self.server.renewing is not None:
            self.following.append(asyncio.create_task(self.server.renewing.work()))
        for work in self.server.background:
            self.following.append(asyncio.create_task(work(self.server)))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def stop(self) -> None:
        """Finish what is under way, then what the store acknowledged, then the log."""
        self.server.waiting.stop()
        until = time.monotonic() + self.options.stop_timeout
        while self.dispatcher.held.requests and time.monotonic() < until:
            await asyncio.sleep(0.01)
        for task in self.following:
            task.cancel()
        await asyncio.gather(*self.following, return_exceptions=True)
        await self.server.store.close()
        if self.server.anchoring is not None:
            await self.server.anchoring.tell()
        self.log.flush()


def create_app(
    server: Server, options: Options | None = None, *, write_log: Write | None = None
) -> App:
    """The ASGI application of a server."""
    if write_log is None:
        write_log = to_stderr
    return App(server, options or Options(), write_log=write_log)
