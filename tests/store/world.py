"""Versions to write, made from data: what every test of the store needs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from fhir_server.foundation.resource import Key
from fhir_server.store.codec import digest_of, tail_of
from fhir_server.store.contract import (
    EVERYTHING,
    HASH_MASK,
    NO_DATE,
    NO_ROWS,
    PARAM_SHIFT,
    IndexRows,
    KeyIs,
    KeyRow,
    NewVersion,
    Position,
    Stored,
    StringRow,
    Unit,
    hash128,
    version_id,
)
from fhir_server.store.contract.lineage import Earlier, Stub
from fhir_server.store.migrate import migrate
from fhir_server.store.sqlite import SqliteStore

T = TypeVar("T")
DAY = 86_400_000
CODE, NAME = 1, 2  # parameter numbers


def key_row(code: str, param: int = CODE) -> KeyRow:
    return KeyRow(param << PARAM_SHIFT | hash128(code) & HASH_MASK, hash128(code) >> 66)


def has(code: str, param: int = CODE) -> KeyIs:
    row = key_row(code, param)
    return KeyIs(row.v, row.w, -1)


def rows(*codes: str, day: int = 0, names: tuple[str, ...] = (), owner: int = 0) -> IndexRows:
    main = (day * DAY, day * DAY + DAY) if day else NO_DATE
    return IndexRows(
        keys=frozenset(map(key_row, codes)),
        strings=frozenset(StringRow(NAME, name) for name in names),
        main=main,
        owner=owner,
    )


def version(
    key: str,
    text: str = "",
    *,
    rows: IndexRows = NO_ROWS,
    before: IndexRows = NO_ROWS,
    follows: Stored | None = None,
) -> NewVersion:
    """`text` "deleted" is a deletion."""
    type, _, id = key.partition("/")
    resource = {"resourceType": type, "id": id, "language": text}
    gone = text == "deleted"
    parents = [] if follows is None else [follows.version_id]
    return NewVersion(
        Key(type, id),
        1 if follows is None else follows.generation + 1,
        digest_of(type, id, parents, deleted=gone, resource=None if gone else resource),
        "DELETE" if gone else "POST" if follows is None else "PUT",
        None if gone else tail_of(resource),
        NO_ROWS if gone else rows,
        before,
        follows,
    )


def unit(*versions: NewVersion, **rest) -> Unit:
    return Unit(versions, **rest)


async def newest(store: SqliteStore, key: str) -> Stored | None:
    type, _, id = key.partition("/")
    return (await store.newest([Key(type, id)], EVERYTHING)).get(Key(type, id))


def made(folder: Path) -> Path:
    """A migrated file."""
    path = folder / "fhir.db"
    migrate(f"sqlite:///{path}")
    return path


def on(path: Path, work: Callable[[SqliteStore], Awaitable[T]], **options) -> T:
    """Do something with an open store."""

    async def run() -> T:
        store = SqliteStore(path, **options)
        await store.open()
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def chained(
    key: str, *texts: str, follows: Stored | None = None, rows: IndexRows = NO_ROWS
) -> NewVersion:
    """Several versions of one resource in one commit, each made from the one before."""
    last = version(key, texts[0], follows=follows, rows=rows)
    earlier: list[Earlier] = []
    for text in texts[1:]:
        earlier.append(Earlier(last.generation, last.digest, last.method, last.tail))
        made = version(key, text, follows=as_stored(last), rows=rows)
        last = replace(made, follows=follows, before=last.before)
    return replace(last, earlier=tuple(earlier))


def as_stored(new: NewVersion) -> Stored:
    """As it will be read, but for where it is."""
    return Stored(new.key, Position(0), new.generation, new.digest, 0, new.method, new.tail)


def rev(new: NewVersion | Stored | Earlier | Stub) -> str:
    return version_id(new.generation, new.digest)
