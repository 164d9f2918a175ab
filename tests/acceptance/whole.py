"""whole — whether a database that nobody serves is whole: versions, pointers, and index rows.

The index is computed again from every body and compared with the rows that are there.
"""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import create_engine, text

from fhir_server.conformance import definitions
from fhir_server.search.index import Indexer
from fhir_server.search.live import Live
from fhir_server.search.parameters import Parameters
from fhir_server.store import upkeep
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import EVERYTHING, NO_ROWS, Stored, rid
from fhir_server.store.engine import store_at
from fhir_server.store.row import bits

TABLES = {
    "index_key": "v, main, rid, w",
    "index_string": "param, word, rid, whole",
    "index_date": "param, lo, hi, rid",
    "index_quantity": "param, unit, lo, hi, rid",
    "current": "rid, keys",
}


def wrong_with(url: str, zone_minutes: int = 420) -> list[str]:
    """What is wrong; nothing, where the list is empty."""
    return [*upkeep.verify(url), *asyncio.run(_index_differs(url, zone_minutes))]


async def _index_differs(url: str, zone_minutes: int) -> list[str]:
    live = Live(Indexer(Parameters(definitions.load()), zone_minutes=zone_minutes))
    store = store_at(url, pool_size=2)
    await store.open()
    live.take(await store.parameters.all())
    indexer = live.current.indexer
    newest: dict[Any, Stored] = {}
    cursor = None
    try:
        while (page := await store.feed(cursor, limit=500, restriction=EVERYTHING)).rows:
            newest |= {row.key: row for row in page.rows}
            cursor = page.next
    finally:
        await store.close()
    should: dict[str, set[tuple[Any, ...]]] = {name: set() for name in TABLES}
    for stored in newest.values():
        number = rid(stored.key)
        rows = NO_ROWS if stored.deleted else indexer.rows(resource_of(stored))
        should["current"].add((number, bits(rows.keys)))
        should["index_key"] |= {
            (r.v, rows.main[0], number, r.w) for r in rows.keys if not r.dominant
        }
        should["index_string"] |= {(r.param, r.word, number, r.whole) for r in rows.strings}
        should["index_date"] |= {(r.param, r.lo, r.hi, number) for r in rows.dates}
        should["index_quantity"] |= {(r.param, r.unit, r.lo, r.hi, number) for r in rows.quantities}
    found = rows_in(url)
    return [
        f"{name}: {len(should[name] - found[name])} rows lack, {len(found[name] - should[name])}"
        " are too many"
        for name in TABLES
        if should[name] != found[name]
    ]


def rows_in(url: str) -> dict[str, set[tuple[Any, ...]]]:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        found = {
            name: {tuple(row) for row in connection.execute(text(f"select {columns} from {name}"))}
            for name, columns in TABLES.items()
        }
    engine.dispose()
    return found
