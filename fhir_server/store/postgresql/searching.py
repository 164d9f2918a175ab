"""searching — a page of a search on PostgreSQL: every statement sees a moment of its own.

https://hl7.org/fhir/R4/http.html#search

So the first question brings the moment that the others are asked about.
"""

from __future__ import annotations

from functools import partial

from fhir_server.store.arranging import Arranged, absent, page_of
from fhir_server.store.asking import Asking, awaited, onward
from fhir_server.store.codec import Codec
from fhir_server.store.contract import ByMain, ByUpdated, Collected, Page
from fhir_server.store.dialect import POSTGRESQL
from fhir_server.store.paging import Paging, Wanted
from fhir_server.store.postgresql.connection import Pool, Row, rows
from fhir_server.store.postgresql.reading import (
    BASE,
    Newest,
    bound_of,
    by_rid,
    driver_of,
    driver_of_page,
)
from fhir_server.store.select import Bound, Driver, Rendered, has_two
from fhir_server.store.select.reached import grounds_of

NOW = f"select pg_current_snapshot()::text, {BASE}"


async def search(pool: Pool, newest: Newest, codec: Codec, wanted: Wanted) -> Page:
    """See contract.Store.search."""
    bound, order = wanted.moment, wanted.order
    driver = await driver_for(pool, wanted)
    if bound is None and not isinstance(order, Collected) and not has_two(order):
        asking = Paging(wanted, None, driver, POSTGRESQL, codec).page()
        page, bound = await _at_once(pool, asking)
    else:
        bound = bound or bound_of(*(await rows(pool, NOW, ()))[0])
        asking = Paging(wanted, bound, driver, POSTGRESQL, codec).page()
        page = await awaited(asking, partial(_rows, pool))
    rids = absent(page)
    # Read a moment later: who is out of reach by then is gone.
    found = await by_rid(newest, codec, rids, wanted.select.restriction) if rids else ()
    return page_of(page, found, bound)


async def _at_once(pool: Pool, asking: Asking[Arranged]) -> tuple[Arranged, Bound]:
    """A walk of one stretch is one question: its rows bring the moment that it is of."""
    asked = next(asking)
    asked = asked._replace(text=f"select s.*, {BASE} from ({asked.text}) s")
    found = await _rows(pool, asked)
    page = onward(asking, found)
    assert isinstance(page, Arranged), "there is one stretch"
    bound = bound_of(str(found[0][13]), int(found[0][15])) if found else Bound(0)
    return page, bound


async def _rows(pool: Pool, asked: Rendered) -> list[Row]:
    return await rows(pool, asked.text, asked.values, prepare=asked.prepare)


async def driver_for(pool: Pool, wanted: Wanted) -> Driver | None:
    """A walk by anything but the main date goes through the index of that, unless what the caller
    reaches is put in order."""
    match wanted.order:
        case ByMain():
            return await driver_of_page(pool, wanted.select, wanted.met)
        case Collected():
            return await driver_of(pool, wanted.select)
        case ByUpdated() if grounds_of(wanted.select):
            return await driver_of(pool, wanted.select)
    return None
