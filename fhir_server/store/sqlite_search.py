"""sqlite_search — a page of a search on SQLite, in whichever order.

https://hl7.org/fhir/R4/http.html#search
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from fhir_server.foundation.outcome import TooCostly
from fhir_server.store.arranging import (
    AGAIN,
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
from fhir_server.store.dialect import SQLITE
from fhir_server.store.select import Bound, collected_sql, moved_sql, page_sql, windows
from fhir_server.store.select.page import Walked
from fhir_server.store.sqlite_connection import Reader, TooSlow
from fhir_server.store.sqlite_read import by_rid, driver_of, last_seq


def search(
    reader: Reader,
    codec: Codec,
    select: Select,
    *,
    limit: int,
    order: Order = NEWEST,
    after: Place | None = None,
    bound: str | None = None,
    backward: bool = False,
) -> Page:
    """See contract.Store.search."""
    given = None if bound is None else Bound.parse(bound)
    with reader.snapshot():
        pin = given or Bound(last_seq(reader) + 1)
        driver = driver_of(reader, select)
        asked = _Asked(reader, codec, select, limit, after, given, backward, driver)
        if isinstance(order, Collected):
            page = asked.collected(order)
        elif isinstance(order, ByRow) and (moved := asked.moved(order)):
            page = asked.merged(order, moved)
        else:
            page = asked.walked(order)
        return asked.shown(page, str(pin))


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked of one page."""

    reader: Reader
    codec: Codec
    select: Select
    limit: int
    after: Place | None
    bound: Bound | None
    backward: bool
    driver: Condition | None

    def walked(self, order: Walked) -> Arranged:
        """One more than the page holds tells whether there is another."""
        return straight(self.walk(order), self.limit, backward=self.backward)

    def walk(self, order: Walked) -> list[Item]:
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
            asked = page_sql(self.select, rest, dialect=SQLITE, driver=self.driver)
            found = self.reader.rows(asked.text, asked.values)
            items += [item_of(row, self.codec) for row in found]
            if len(items) > self.limit:
                break
        return items

    def moved(self, order: ByRow) -> list[Item]:
        """What changed since the first page, where it stood then."""
        if self.bound is None:
            return []
        asked = moved_sql(self.select, limit=COLLECTED + 1, bound=self.bound, dialect=SQLITE)
        return self.placed(asked.text, asked.values, order, AGAIN)

    def merged(self, order: ByRow, moved: list[Item]) -> Arranged:
        return self.arranged(moved + self.walk(order), order)

    def collected(self, order: Collected) -> Arranged:
        asked = collected_sql(
            self.select,
            limit=COLLECTED + 1,
            bound=self.bound,
            bodies=order.bodies,
            dialect=SQLITE,
            driver=self.driver,
        )
        return self.arranged(self.placed(asked.text, asked.values, order, TOO_MANY), order)

    def placed(
        self, text: str, values: tuple[object, ...], order: ByRow | Collected, complaint: str
    ) -> list[Item]:
        found = self.reader.rows(text, values)
        if len(found) > COLLECTED:
            raise TooCostly(complaint)
        return placed(found, order, self.codec, self._look)

    def arranged(self, items: list[Item], order: ByRow | Collected) -> Arranged:
        return arranged(
            items,
            directions(order),
            after=self.after,
            backward=self.backward,
            limit=self.limit,
        )

    def shown(self, page: Arranged, bound: str) -> Page:
        """The newest version of each; who is gone meanwhile is left out."""
        absent = [item.place.rid for item in page.items if item.version is None]
        newest: dict[int, Stored] = {}
        if absent:
            found = by_rid(self.reader, self.codec, absent, EVERYTHING)
            newest = {rid(version.key): version for version in found}
        return page_of(page, newest, bound)

    def _look(self) -> None:
        if time.monotonic() > self.reader.deadline:
            raise TooSlow
