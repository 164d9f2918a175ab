"""running — uvicorn set up for this server, in one process or several, and the server opened.

Uvicorn brings the sockets, the loop and the signals; what is answered is `rest.app`'s.
"""

from __future__ import annotations

import dataclasses
import gc
import multiprocessing
import os
import signal
import sys
import threading
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.supervisors.multiprocess import Multiprocess

from fhir_server.cli import tls
from fhir_server.cli.exits import Exit, refuse
from fhir_server.cli.port import BACKLOG, is_loopback
from fhir_server.foundation import journal
from fhir_server.server import OFF, access_policy_of, build, linker_of, policy_of
from fhir_server.settings import Settings
from fhir_server.store.stamp import IndexDiffers
from fhir_server.validation.policy_file import BadPolicy

if TYPE_CHECKING:
    from fhir_server.interaction.context import Server
    from fhir_server.rest.options import Options

SPARE_FILES = 256  # beside its connections: the database's, the libraries', the log's
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
QUIET = ("error", "warning")  # log levels at which an interaction leaves no line

Announce = Callable[["Server"], Awaitable[None]]


def rest_options(settings: Settings) -> Options:
    """The settings of the HTTP side, which have the same names there."""
    from fhir_server.rest.options import Options

    told = {field.name: getattr(settings, field.name) for field in dataclasses.fields(Options)}
    told["public_base_url"] = settings.public_base_url or None
    told["allowed_hosts"] = hosts_of(settings)
    told["log_requests"] = settings.log_requests and settings.log_level not in QUIET
    return Options(**told)


def hosts_of(settings: Settings) -> tuple[str, ...]:
    """The names the server may be asked for by; none: any.

    On a loopback address it is asked by those of the machine itself. Any other name is a page in
    the visitor's browser that has made itself a name for this machine, or a proxy's: whoever has
    put one in front says so by `public_base_url` or `allowed_hosts`.
    """
    from urllib.parse import urlsplit

    from fhir_server.rest.host import ANY, name_of

    told = settings.allowed_hosts
    if ANY in told or not (told or is_loopback(settings.host)):
        return ()
    host = settings.host.lower()
    own = {*LOOPBACK, f"[{host.strip('[]')}]" if ":" in host else host}
    public = name_of(urlsplit(settings.public_base_url).netloc)
    return tuple(sorted({*own, *told, public} - {""}))


def demand_profiles(settings: Settings) -> None:
    """Refuse a folder of profiles that is not there, or policies that cannot be followed."""
    if settings.profiles not in ("", OFF) and not Path(settings.profiles).is_dir():
        refuse(
            Exit.MISUSED,
            f"`profiles` is `{settings.profiles}`, which is no folder. Say where the local profiles"
            " are, or `off` for R4 alone.",
        )
    try:
        policy_of(settings)
        access_policy_of(settings)
        linker_of(settings)
    except BadPolicy as error:
        refuse(Exit.MISUSED, str(error))


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Server]:
    """A server without HTTP, for a command that uses the interactions."""
    demand_profiles(settings)
    server = build(settings)
    await server.store.open()
    try:
        await server.following.look()
        yield server
    finally:
        await server.store.close()
        if server.anchoring is not None:
            await server.anchoring.tell()


class Config(uvicorn.Config):
    """Builds the application where it runs: each worker process its own, from the settings."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        super().__init__(
            "fhir_server.rest.app:App",  # what is served is made by `load`
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="on",
            interface="asgi3",
            access_log=False,
            log_config=None,  # `journal` writes what uvicorn has to say, too
            proxy_headers=False,
            server_header=False,
            log_level="info" if settings.log_level == "debug" else "warning",
            timeout_graceful_shutdown=max(1, round(settings.stop_timeout)),
            backlog=BACKLOG,
        )

    def load(self) -> None:
        from fhir_server.rest.app import create_app
        from fhir_server.rest.protocol import Bounds, bounded

        end_with_parent()
        settings = self.settings
        journal.begin(settings.log_level, lines=True)
        self.server = build(settings)
        self.app = self.served = create_app(self.server, rest_options(settings))
        self.http = bounded(
            Bounds(
                max_head=settings.max_url + settings.max_header,
                head_timeout=settings.header_timeout,
                body_timeout=settings.body_timeout,
                send_timeout=settings.send_timeout,
                idle_timeout=settings.idle_timeout,
                max_connections=settings.max_connections,
            )
        )
        allow_files(settings.max_connections + SPARE_FILES)
        super().load()
        self.ssl = tls.renewed(settings)
        spare_the_collector()

    def get_loop_factory(self) -> Callable[[], AbstractEventLoop] | None:
        if self.settings.tls_certificate:
            return partial(tls.loop, self.settings.header_timeout)
        return super().get_loop_factory()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__


def allow_files(wanted: int) -> None:
    """Systems let a process open 1,024 files unless it asks for more; a connection is one."""
    try:
        import resource
    except ImportError:  # not a Unix
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def spare_the_collector() -> None:
    """Definitions and closures live as long as the process. Looking through them at each full
    collection stops everybody for 130 ms, four times in three seconds under load."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


def end_with_parent() -> None:
    """A worker whose supervisor was killed stops, or it would hold the port against a new one."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


class Announcing(uvicorn.Server):
    """Says what is served once it is, and ends quietly when it is told to stop."""

    def __init__(self, config: Config, announce: Announce) -> None:
        super().__init__(config)
        self.announce = announce

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        assert isinstance(self.config, Config)
        if self.started:
            await self.announce(self.config.server)


def run(settings: Settings, listening: socket, announce: Announce) -> None:
    """Serve until a signal says stop. Every request that was begun is answered first."""
    config = Config(settings)
    if settings.workers > 1:
        Multiprocess(config, [listening]).run()
        return
    # Uvicorn raises the signal that stopped it again; it was meant as a wish, and is fulfilled.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server = Announcing(config, announce)
    with suppress(SystemExit):  # with a status of its own, and a word on why
        server.run(sockets=[listening])
    if not server.started:
        differs = isinstance(config.served.failure, IndexDiffers)
        sys.exit(Exit.INDEX if differs else Exit.DATABASE)
