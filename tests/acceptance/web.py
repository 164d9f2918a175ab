"""web — an HTTP/1.1 client for tests: one connection, one request at a time, nothing hidden.

It hangs up and says Lost where no whole answer came: what a client knows after a crash.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

FHIR = "application/fhir+json"
SAFE = "/?&=:|,-._~$%+"


class Lost(Exception):
    """No answer came; nobody knows what was done."""


@dataclass(frozen=True)
class Told:
    """What was answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def version(self) -> str:
        return self.headers["etag"].removeprefix('W/"').removesuffix('"')

    @property
    def place(self) -> str:
        """`Patient/1` of the Location."""
        head = self.headers["location"].partition("/_history/")[0]
        return "/".join(head.rsplit("/", 2)[-2:])

    @property
    def refusal(self) -> str:
        outcome = self.json
        assert outcome["resourceType"] == "OperationOutcome", outcome
        return outcome["issue"][0]["diagnostics"]


class Client:
    """Asks the server at a port of this machine; connects when it must."""

    def __init__(self, port: int, *, patience: float = 60.0) -> None:
        self.port = port
        self.patience = patience
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hang_up()
        await asyncio.sleep(0)  # the loop closes what was hung up

    async def ask(self, method: str, path: str, body: Any = None, /, **headers: str | None) -> Told:
        """Below /fhir, unless the path begins with a slash. Raises Lost."""
        if isinstance(body, dict | list):
            body = json.dumps(body, ensure_ascii=False).encode()
        told = {"Host": f"127.0.0.1:{self.port}"}
        if body is not None:
            told |= {"Content-Type": FHIR, "Content-Length": str(len(body))}
        told |= {name.replace("_", "-"): value for name, value in headers.items() if value}
        whole = path if path.startswith("/") else f"/fhir/{path}"
        lines = [f"{method} {quote(whole, safe=SAFE)} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in told.items()]
        head = "\r\n".join([*lines, "", ""]).encode()
        try:
            return await asyncio.wait_for(self._asked(method, head, body or b""), self.patience)
        except (OSError, EOFError, asyncio.IncompleteReadError, TimeoutError) as error:
            self.hang_up()
            raise Lost(f"{method} {whole}: {error!r}") from error

    async def _asked(self, method: str, head: bytes, body: bytes) -> Told:
        if self._writer is None or self._writer.is_closing():
            self._reader, self._writer = await asyncio.open_connection(
                "127.0.0.1", self.port, limit=1 << 20
            )
        assert self._reader is not None
        self._writer.write(head + body)
        with suppress(
            ConnectionError
        ):  # a refusal may come, and the door close, before all is sent
            await self._writer.drain()
        first, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
        told = {}
        for line in lines[:-1]:
            name, _, value = line.partition(":")
            told[name.lower()] = value.strip()
        size = 0 if method == "HEAD" else int(told.get("content-length", 0))
        answer = await self._reader.readexactly(size)
        if told.get("connection", "").lower() == "close":
            self.hang_up()
        return Told(int(first.split()[1]), told, answer)

    def hang_up(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None
