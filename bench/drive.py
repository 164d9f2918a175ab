"""drive — a small load generator: raw sockets, closed loop, its own CPU told apart.

It is written for little CPU per request, because it shares the machine with what it measures.
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Requests = Iterator[bytes]  # whole HTTP/1.1 requests, ready to send


@dataclass(slots=True)
class Measured:
    """What a run gave. Latencies in seconds; cpu: the generator's own seconds."""

    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0
    cpu: float = 0.0
    refused: list[bytes] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        """In milliseconds."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0

    @property
    def failed(self) -> int:
        return sum(n for status, n in self.statuses.items() if status >= 400)


class Connection(asyncio.Protocol):
    """One keep-alive connection: one request under way at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.waiting: asyncio.Future[tuple[int, bytes]] | None = None
        self.buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self.buffer[:end]).lower()
        length = 0
        place = head.find(b"content-length:")
        if place >= 0:
            length = int(head[place + 15 :].split(b"\r\n", 1)[0])
        elif b"transfer-encoding: chunked" in head:
            if not self.buffer.endswith(b"0\r\n\r\n"):
                return
            length = len(self.buffer) - end - 4
        if len(self.buffer) < end + 4 + length:
            return
        body = bytes(self.buffer[end + 4 : end + 4 + length])
        del self.buffer[: end + 4 + length]
        waiting, self.waiting = self.waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result((int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_exception(exc or ConnectionError("closed"))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        self.waiting = asyncio.get_running_loop().create_future()
        assert self.transport is not None
        self.transport.write(request)
        return await self.waiting


async def connect(host: str, port: int) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(Connection, host, port)
    return connection


async def drive(
    host: str,
    port: int,
    requests: Requests,
    *,
    clients: int,
    seconds: float,
    warm: float = 1.0,
    seen: Callable[[bytes], None] | None = None,
) -> Measured:
    """Ask until the time is over; what falls into the first `warm` seconds is not counted."""
    measured = Measured()
    connections = [await connect(host, port) for _ in range(clients)]
    begin = time.perf_counter() + warm
    stop = begin + seconds
    cpu_before = _cpu()

    async def client(connection: Connection) -> None:
        nonlocal cpu_before
        for request in requests:
            asked = time.perf_counter()
            if asked >= stop:
                return
            status, body = await connection.ask(request)
            if asked < begin:
                cpu_before = _cpu()
                continue
            measured.latencies.append(time.perf_counter() - asked)
            measured.statuses[status] += 1
            if status >= 400 and len(measured.refused) < 3:
                measured.refused.append(body[:500])
            elif seen is not None:
                seen(body)

    await asyncio.gather(*(client(connection) for connection in connections))
    measured.seconds = min(time.perf_counter(), stop + 1) - begin
    measured.cpu = _cpu() - cpu_before
    for connection in connections:
        if connection.transport:
            connection.transport.close()
    return measured


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """An HTTP/1.1 request as bytes; a header's underscores are dashes."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    if body:
        lines += ["Content-Type: application/fhir+json", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
