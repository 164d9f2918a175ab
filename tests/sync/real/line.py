"""line — a line between a node and its hub that can be cut, slow, lossy, and say things twice.

A TCP proxy in a thread of its own. Loss is what TCP makes of it: what was lost comes a round trip
later and keeps what follows waiting, and a line that loses much breaks. Requests are heard as they
pass, so that they can be said again later, in another order, over a connection of their own.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from tests.sync.real.spaces import Space, within

LOOPBACK = "127.0.0.1"
ALIVE = {
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1,
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE): 2,  # seconds
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL): 2,
}
PIECE = 1460  # bytes, as a packet
KEPT = 40  # requests that may be said again
HEAD = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Weather:
    """How the line is. delay: seconds one way; rate: bytes a second, 0: as many as come; loss: of
    pieces; breaks: of pieces at which the connection ends; again: of requests that come again, and
    of packets; late: of packets that come after those behind them."""

    delay: float = 0.0
    rate: int = 0
    loss: float = 0.0
    breaks: float = 0.0
    again: float = 0.0
    late: float = 0.0


CALM = Weather()


@dataclass(frozen=True, slots=True)
class Phase:
    """At which the next talk breaks off. way: 0: of what goes to the hub, 1: of what comes from it;
    after: pieces that pass before; half: that half a piece passes, and not a whole one."""

    name: str
    way: int
    after: int
    half: bool


PHASES = (
    Phase("before a request", 0, -1, half=True),
    Phase("within its head", 0, 0, half=True),
    Phase("within its body", 0, 1, half=True),
    Phase("after its first piece, or all of it", 0, 0, half=False),
    Phase("before the answer", 1, -1, half=True),
    Phase("within the answer's head", 1, 0, half=True),
    Phase("within the answer's body", 1, 1, half=True),
    Phase("after the answer's first piece, or all of it", 1, 0, half=False),
)


@dataclass(frozen=True, slots=True)
class Where:
    """A line's own address and the hub's. space: the network it stands in; shown: the certificate
    it speaks TLS with, and then it speaks TLS to the hub."""

    own: str = LOOPBACK
    hub: str = LOOPBACK
    space: Space | None = None
    shown: ssl.SSLContext | None = None


HERE = Where()


class Line:
    """Listens on `port`, and speaks to the hub's. where: it stands somewhere else than on this
    machine's loopback."""

    def __init__(self, target: int, seed: int, where: Where = HERE) -> None:
        self.target = (where.hub, target)
        self._where = where
        self.weather = CALM
        self.up = True
        self.port = 0
        self.passed = [0, 0]  # bytes to the hub, and from it
        self.repeated = 0
        self.broken = 0  # talks, at the phase that was asked for
        self._phase: Phase | None = None
        self._random = random.Random(seed)
        self._heard: list[bytes] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    # --- what a test does with it ----------------------------------------------------------------

    def cut(self, how: object = None) -> None:
        """Nothing passes, and what was under way ends, which is the only way a proxy has."""
        self.up = False
        self._call(self._drop)

    def break_at(self, phase: Phase) -> None:
        """The next talk that comes to it; once."""
        self._phase = phase

    def mend(self) -> None:
        self.up = True
        self._phase = None

    def end(self) -> None:
        self._call(self._drop)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _call(self, what: Callable[[], None]) -> None:
        done = threading.Event()

        def run() -> None:
            what()
            done.set()

        self._loop.call_soon_threadsafe(run)
        assert done.wait(10)

    def _drop(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    # --- how it passes things on -----------------------------------------------------------------

    def _run(self) -> None:
        with within(self._where.space):
            self._serve()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        opened = asyncio.start_server(self._accept, self._where.own, 0, ssl=self._where.shown)
        server = self._loop.run_until_complete(opened)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))

    async def _reached(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        trust = self._where.space.trust if self._where.space else None
        found = await asyncio.open_connection(*self.target, ssl=trust)
        for name, value in ALIVE.items():  # what ends over there, ends here soon
            found[1].get_extra_info("socket").setsockopt(*name, value)
        return found

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        hub: asyncio.StreamWriter | None = None
        try:
            if not self.up:
                return
            from_hub, hub = await self._reached()
            self._writers.add(hub)
            ways = [
                asyncio.ensure_future(self._pass(reader, hub, 0)),
                asyncio.ensure_future(self._pass(from_hub, writer, 1)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
        except (OSError, asyncio.CancelledError):  # the last of these: the line itself ends
            pass
        finally:
            for one in (writer, hub):
                if one is not None:
                    self._writers.discard(one)
                    one.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: int
    ) -> None:
        listening = Listening(self._hear)
        passed = 0
        with suppress(OSError):
            while piece := await reader.read(PIECE):
                weather = self.weather
                if not self.up or self._random.random() < weather.breaks:
                    return
                breaks = self._is_phase(way, passed)
                if breaks is not None:
                    piece = piece[: len(piece) // 2] if breaks.half else piece
                    piece = b"" if breaks.after < 0 else piece
                wait = weather.delay + (len(piece) / weather.rate if weather.rate else 0)
                while self._random.random() < weather.loss:  # it is sent again, a round trip later
                    wait += max(2 * weather.delay, 0.02)
                if wait:
                    await asyncio.sleep(wait)
                self.passed[way] += len(piece)
                if way == 0:
                    listening.take(piece)
                writer.write(piece)
                await writer.drain()
                passed += 1
                if breaks is not None:
                    await asyncio.sleep(0.01)  # what was passed is on its way
                    return

    def _is_phase(self, way: int, passed: int) -> Phase | None:
        """The one that is asked for, if a talk is there: so many pieces have passed this way."""
        phase = self._phase
        if phase is None or phase.way != way or passed < phase.after:
            return None
        self._phase = None
        self.broken += 1
        return phase

    def _hear(self, request: bytes) -> None:
        """A whole request has passed: it, or one of before, may be said again a little later."""
        if b"/$sync-push" in request.partition(b"\r\n")[0]:
            self._heard = [*self._heard[-KEPT:], request]
            if self._random.random() < self.weather.again:
                chosen = self._random.choice(self._heard)
                task = self._loop.create_task(self._say(chosen, self._random.random() * 0.5))
                task.add_done_callback(lambda done: done.exception())

    async def _say(self, request: bytes, after: float) -> None:
        await asyncio.sleep(after)
        with suppress(OSError):
            reader, writer = await self._reached()
            self._writers.add(writer)
            try:
                writer.write(request)
                await writer.drain()
                await asyncio.wait_for(reader.read(1), 20)
                self.repeated += 1
            except TimeoutError:
                pass
            finally:
                self._writers.discard(writer)
                writer.transport.abort()


class Listening:
    """Finds whole requests in what passes (RFC 9112, with Content-Length)."""

    def __init__(self, hear: Callable[[bytes], None]) -> None:
        self._hear = hear
        self._buffer = b""

    def take(self, piece: bytes) -> None:
        self._buffer += piece
        while HEAD in self._buffer:
            head, _, rest = self._buffer.partition(HEAD)
            length = 0
            for line in head.split(b"\r\n")[1:]:
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if len(rest) < length:
                return
            whole = len(head) + len(HEAD) + length
            self._hear(self._buffer[:whole])
            self._buffer = self._buffer[whole:]
