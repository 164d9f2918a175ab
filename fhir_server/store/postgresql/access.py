"""access — the clients and tokens of a database that many processes share.

https://hl7.org/fhir/R4/security.html#authentication
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TypeVar

from psycopg import AsyncConnection

from fhir_server.store import access
from fhir_server.store.asking import Asking, awaited
from fhir_server.store.contract.access import Issued, Registered, Spent
from fhir_server.store.dialect import POSTGRESQL
from fhir_server.store.postgresql.connection import Pool, Row, numbered, refusing, rows
from fhir_server.store.select import Rendered

T = TypeVar("T")


class PostgresqlAccess:
    """Implements contract.access.AccessTable."""

    def __init__(self, *, readers: Pool, writers: Pool) -> None:
        self._readers = readers
        self._writers = writers

    async def clients(self) -> Sequence[Registered]:
        return [access.registered(row) for row in await rows(self._readers, access.CLIENTS, ())]

    async def client(self, id: str) -> Registered | None:
        found = await self._look(access.ONE, (id,))
        return access.registered(found[0]) if found else None

    async def register(self, client: Registered, *, replaces: int = 0) -> bool:
        return await self._done(access.register(client, replaces, POSTGRESQL))

    async def issue(self, new: Issued, spent: Spent | None = None) -> bool:
        return await self._done(access.issue(new, spent, POSTGRESQL))

    async def spend(self, spent: Spent) -> bool:
        told = access.asked(access.SPEND, spent, POSTGRESQL)
        return bool(await rows(self._writers, told.text, told.values))

    async def issued(self, digest: bytes) -> tuple[Issued, Registered] | None:
        return access.both(await self._look(access.ISSUED, (digest,)))

    async def take(self, digest: bytes, kind: str) -> Issued | None:
        told = access.asked(access.TAKE, (digest, kind), POSTGRESQL)
        found = await rows(self._writers, told.text, told.values)
        return access.issued(found[0]) if found else None

    async def withdraw(self, client: str) -> int:
        told = access.asked(access.WITHDRAW, (client,), POSTGRESQL)
        return len(await rows(self._writers, told.text, told.values))

    async def exchange(self, old: Issued, becomes: Issued, also: Sequence[Issued]) -> bool:
        return await self._done(access.exchange(old, becomes, also, POSTGRESQL))

    async def keep(self, name: str, value: str, *, replaces: str = "") -> str:
        return await self._done(access.keep(name, value, replaces, POSTGRESQL))

    async def _look(self, text: str, values: tuple[object, ...]) -> Sequence[Row]:
        told = access.asked(text, values, POSTGRESQL)
        return await rows(self._readers, told.text, told.values)

    async def _done(self, asking: Asking[T]) -> T:
        """All of it in one transaction."""
        async with refusing(), self._writers.connection() as connection, connection.transaction():
            return await awaited(asking, partial(_rows, connection))


async def _rows(connection: AsyncConnection[Row], asked: Rendered) -> list[Row]:
    return await (await connection.execute(numbered(asked.text), asked.values)).fetchall()
