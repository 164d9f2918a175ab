"""searching — a page of a search on PostgreSQL, in whichever order.

https://hl7.org/fhir/R4/http.html#search
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from fhir_server.foundation.outcome import TooCostly
from fhir_server.store.arranging import (
    AGAIN,
    MANY,
    TOO_MANY,
    Arranged,
    Item,
    arranged,
    directions,
    item_of,
    page_of,
    placed,
    straight,
)
from fhir_server.store.codec import Codec
from fhir_server.store.contract import (
    COLLECTED,
    EVERYTHING,
    NEWEST,
    ByRow,
    Collected,
    Condition,
    Order,
    Page,
    Place,
    Select,
    Stored,
    rid,
)
from fhir_server.store.dialect import POSTGRESQL
from fhir_server.store.postgresql.connection import Pool, rows
from fhir_server.store.postgresql.reading import BASE, Newest, bound_of, by_rid, driver_of
from fhir_server.store.select import (
    Bound,
    Rendered,
    collected_sql,
    has_two,
    moved_sql,
    page_sql,
    windows,
)
from fhir_server.store.select.page import Walked

NOW = f"select pg_current_snapshot()::text, {BASE}"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a search is read with."""

    pool: Pool
    newest: Newest
    codec: Codec


async def search(
    reading: Reading,
    select: Select,
    *,
    limit: int,
    order: Order = NEWEST,
    after: Place | None = None,
    bound: str | None = None,
    backward: bool = False,
) -> Page:
    """See contract.Store.search."""
    pin = None if bound is None else Bound.parse(bound)
    driver = await driver_of(reading.pool, select)
    if not isinstance(order, (Collected, ByRow)) and not has_two(order):
        asked = _Asked(reading, select, limit, after, pin, backward, driver)
        return await asked.at_once(order)
    first = pin is None
    if pin is None:
        pin = bound_of(*(await rows(reading.pool, NOW, ()))[0])
    asked = _Asked(reading, select, limit, after, pin, backward, driver)
    if isinstance(order, Collected):
        page = await asked.collected(order)
    elif isinstance(order, ByRow) and not first and (moved := await asked.moved(order)):
        page = asked.arranged(moved + await asked.walk(order), order)
    else:
        page = straight(await asked.walk(order), limit, backward=backward)
    return await asked.shown(page, str(pin))


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked of one page."""

    reading: Reading
    select: Select
    limit: int
    after: Place | None
    bound: Bound | None
    backward: bool
    driver: Condition | None

    async def at_once(self, order: Walked) -> Page:
        """A walk of one stretch: the page, its snapshot and the base in the same statement."""
        (window,) = windows(
            order,
            limit=self.limit + 1,
            after=self.after,
            backward=self.backward,
            bound=self.bound,
        )
        asked = page_sql(self.select, window, dialect=POSTGRESQL, driver=self.driver)
        text = f"select s.*, {BASE} from ({asked.text}) s"
        found = await rows(self.reading.pool, text, asked.values, prepare=asked.prepare)
        pin = self.bound
        if pin is None and found:
            pin = bound_of(str(found[0][13]), int(found[0][14]))
        items = [item_of(row, self.reading.codec) for row in found]
        page = straight(items, self.limit, backward=self.backward)
        told = "0" if pin is None else str(pin)
        return await self.shown(page, told)

    async def walk(self, order: Walked) -> list[Item]:
        """The items beyond `after`, in the order they are read."""
        items: list[Item] = []
        for window in windows(
            order,
            limit=self.limit + 1,
            after=self.after,
            backward=self.backward,
            bound=self.bound,
        ):
            rest = replace(window, limit=self.limit + 1 - len(items))
            asked = page_sql(self.select, rest, dialect=POSTGRESQL, driver=self.driver)
            found = await rows(self.reading.pool, asked.text, asked.values, prepare=asked.prepare)
            items += [item_of(row, self.reading.codec) for row in found]
            if len(items) > self.limit:
                break
        return items

    async def moved(self, order: ByRow) -> list[Item]:
        """What changed since the first page, where it stood then."""
        assert self.bound is not None
        asked = moved_sql(self.select, limit=COLLECTED + 1, bound=self.bound, dialect=POSTGRESQL)
        return await self.placed(asked, order, AGAIN)

    async def collected(self, order: Collected) -> Arranged:
        asked = collected_sql(
            self.select,
            limit=COLLECTED + 1,
            bound=self.bound,
            bodies=order.bodies,
            dialect=POSTGRESQL,
            driver=self.driver,
        )
        items = await self.placed(asked, order, TOO_MANY)
        if len(items) > MANY:
            return await asyncio.to_thread(self.arranged, items, order)
        return self.arranged(items, order)

    async def placed(self, asked: Rendered, order: ByRow | Collected, complaint: str) -> list[Item]:
        found = await rows(self.reading.pool, asked.text, asked.values, prepare=asked.prepare)
        if len(found) > COLLECTED:
            raise TooCostly(complaint)
        if len(found) > MANY:
            return await asyncio.to_thread(placed, found, order, self.reading.codec)
        return placed(found, order, self.reading.codec)

    def arranged(self, items: list[Item], order: ByRow | Collected) -> Arranged:
        return arranged(
            items,
            directions(order),
            after=self.after,
            backward=self.backward,
            limit=self.limit,
        )

    async def shown(self, page: Arranged, bound: str) -> Page:
        """The newest version of each; who is gone meanwhile is left out."""
        absent = [item.place.rid for item in page.items if item.version is None]
        newest: dict[int, Stored] = {}
        if absent:
            found = await by_rid(self.reading.newest, self.reading.codec, absent, EVERYTHING)
            newest = {rid(version.key): version for version in found}
        return page_of(page, newest, bound)
