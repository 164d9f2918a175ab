"""sqlite_access — the clients and tokens of a database that is one file.

https://hl7.org/fhir/R4/security.html#authentication
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from fhir_server.store import access
from fhir_server.store.asking import answered
from fhir_server.store.contract.access import Issued, Registered, Spent
from fhir_server.store.dialect import SQLITE
from fhir_server.store.sqlite_parameters import Ask, rows
from fhir_server.store.sqlite_writer import Writer

T = TypeVar("T")


class SqliteAccess:
    """Implements contract.access.AccessTable."""

    def __init__(self, writer: Writer, ask: Ask) -> None:
        self._writer = writer
        self._ask = ask

    async def clients(self) -> Sequence[Registered]:
        found = await self._ask(lambda reader: reader.rows(access.CLIENTS))
        return [access.registered(row) for row in found]

    async def client(self, id: str) -> Registered | None:
        found = await self._ask(lambda reader: reader.row(access.ONE, (id,)))
        return access.registered(found) if found else None

    async def register(self, client: Registered, *, replaces: int = 0) -> bool:
        asking = access.register(client, replaces, SQLITE)
        return await self._do(lambda connection: answered(asking, partial(rows, connection)))

    async def issue(self, new: Issued, spent: Spent | None = None) -> bool:
        asking = access.issue(new, spent, SQLITE)
        return await self._do(lambda connection: answered(asking, partial(rows, connection)))

    async def spend(self, spent: Spent) -> bool:
        asked = access.asked(access.SPEND, spent, SQLITE)
        return bool(await self._do(lambda connection: rows(connection, asked)))

    async def issued(self, digest: bytes) -> tuple[Issued, Registered] | None:
        return access.both(await self._ask(lambda reader: reader.rows(access.ISSUED, (digest,))))

    async def take(self, digest: bytes, kind: str) -> Issued | None:
        asked = access.asked(access.TAKE, (digest, kind), SQLITE)
        found = await self._do(lambda connection: rows(connection, asked))
        return access.issued(found[0]) if found else None

    async def withdraw(self, client: str) -> int:
        asked = access.asked(access.WITHDRAW, (client,), SQLITE)
        return len(await self._do(lambda connection: rows(connection, asked)))

    async def exchange(self, old: Issued, becomes: Issued, also: Sequence[Issued]) -> bool:
        asking = access.exchange(old, becomes, also, SQLITE)
        return await self._do(lambda connection: answered(asking, partial(rows, connection)))

    async def keep(self, name: str, value: str, *, replaces: str = "") -> str:
        asking = access.keep(name, value, replaces, SQLITE)
        return await self._do(lambda connection: answered(asking, partial(rows, connection)))

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        told: list[T] = []
        await self._writer.do(lambda connection: told.append(work(connection)))
        return told[0]
