"""texts — the index of words in a database that many processes share.

https://hl7.org/fhir/R4/search.html#text

One process feeds it at a time: it holds a lock for one page, and takes a transaction id only once
all is ready to be written, so that no follower of the change log waits for it meanwhile.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence

from psycopg import AsyncConnection

from fhir_server.store.codec import Codec
from fhir_server.store.condition import PROGRESS, text_rids
from fhir_server.store.contract import (
    COUNTED,
    EVERYTHING,
    EpochEnded,
    Position,
    Standing,
    Stored,
    Terms,
    TextHas,
    hash128,
    rid,
)
from fhir_server.store.dialect import POSTGRESQL, Bigints
from fhir_server.store.postgresql.connection import Pool, Row, numbered, refusing, rows
from fhir_server.store.postgresql.history import EPOCHS, feed, position
from fhir_server.store.postgresql.values import Texts

LOCK = f"select pg_try_advisory_xact_lock({hash128(PROGRESS) >> 65})".encode()
KEPT = f"select value from setting where name = '{PROGRESS}'"
KEEP = (
    f"insert into setting (name, value) values ('{PROGRESS}', $1)"
    " on conflict (name) do update set value = excluded.value"
).encode()
STANDING = f"""
select ({KEPT}), v.seq, v.num, t.reltuples::bigint from pg_class t left join
  (select seq, num from version order by seq desc, num desc limit 1) v on true
where t.oid = 'version'::regclass
"""
BEHIND = (
    "select count(*) from (select from version where seq >= %s and (seq, num) > (%s, %s)"
    f" limit {COUNTED}) n"
)
TAKE = numbered("delete from index_text where rid = any(%s)")
ADD = numbered(
    "insert into index_text as t (rid, terms)"
    " select u.rid, array_to_tsvector(string_to_array(u.terms, ' ')) from unnest(%s, %s)"
    " u(rid, terms) on conflict (rid) do update set terms = excluded.terms"
    " where t.terms <> excluded.terms"
)


class PostgresqlTexts:
    """Implements contract.TextIndex."""

    def __init__(self, readers: Pool, writers: Pool) -> None:
        self._readers = readers
        self._writers = writers
        self.codec = Codec({})

    async def standing(self, edition: str) -> Standing:
        (found,) = await rows(self._readers, STANDING, ())
        kept, seq, num, total = found
        newest = Position(0, -1) if seq is None else Position(seq, num)
        epochs = await rows(self._readers, EPOCHS, ())
        cursor = cursor_of(kept, edition, epochs)
        reached = Position(0, -1) if cursor is None else position(cursor, epochs)
        behind = 0
        if reached < newest:
            counted = await rows(self._readers, BEHIND, (reached.seq, *reached), prepare=False)
            behind = int(counted[0][0])
        read = 0 if cursor is None else json.loads(kept)["read"]
        total = read + behind if behind < COUNTED else max(total, read + behind)
        return Standing(cursor is not None, reached, newest, behind, read, total)

    async def follow(self, edition: str, terms: Terms, *, limit: int) -> int | None:
        async with refusing(), self._writers.connection() as connection, connection.transaction():
            if await one(connection, LOCK) != (True,):
                return None
            kept = await one(connection, KEPT.encode())
            epochs = await rows(self._readers, EPOCHS, ())
            cursor = cursor_of(None if kept is None else kept[0], edition, epochs)
            before = 0 if kept is None or cursor is None else json.loads(kept[0])["read"]
            page = await feed(self._readers, self.codec, cursor, (), EVERYTHING, limit)
            newest = {rid(version.key): version for version in page.rows}
            told = await asyncio.to_thread(_told, newest.values(), terms)
            if cursor is None:
                await connection.execute(b"truncate index_text")
            if page.rows or cursor is None:
                await _take(connection, newest, told)
                read = before + len(page.rows)
                progress = {"edition": edition, "cursor": page.next, "read": read}
                await connection.execute(KEEP, (json.dumps(progress),))
            return len(page.rows)

    async def rids(self, asked: TextHas, *, at_most: int) -> Sequence[int]:
        told = text_rids(asked, POSTGRESQL, at_most)
        found = await rows(self._readers, told.text, told.values, prepare=False)
        return [row[0] for row in found]


def cursor_of(kept: str | None, edition: str, epochs: Sequence[Row]) -> str | None:
    """Where to go on, or None where the index is to be begun."""
    told = {} if kept is None else json.loads(kept)
    if told.get("edition") != edition:
        return None
    cursor = str(told["cursor"])
    try:
        position(cursor, epochs)
    except EpochEnded:
        return None
    return cursor


def _told(versions: Iterable[Stored], terms: Terms) -> list[tuple[int, str]]:
    """The terms of each that has any."""
    found = ((rid(version.key), version) for version in versions if not version.deleted)
    return [(number, " ".join(some)) for number, version in found if (some := terms(version))]


async def _take(
    connection: AsyncConnection[Row], read: Iterable[int], told: Sequence[tuple[int, str]]
) -> None:
    silent = set(read) - {number for number, _ in told}
    if silent:
        await connection.execute(TAKE, (Bigints(sorted(silent)),))
    if told:
        numbers, texts = zip(*sorted(told), strict=True)
        await connection.execute(ADD, (Bigints(numbers), Texts(texts)))


async def one(connection: AsyncConnection[Row], asked: bytes) -> Row | None:
    return await (await connection.execute(asked)).fetchone()
