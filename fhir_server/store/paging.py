"""paging — a page of a search in whichever order, as questions to either database.

https://hl7.org/fhir/R4/http.html#search
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from fhir_server.foundation.outcome import TooCostly
from fhir_server.store.arranging import (
    Arranged,
    Item,
    arranged,
    directions,
    item_of,
    placed,
    straight,
)
from fhir_server.store.asking import Asking, Rows
from fhir_server.store.codec import Codec
from fhir_server.store.contract import (
    COLLECTED,
    ByRow,
    Collected,
    Order,
    Place,
    Select,
)
from fhir_server.store.dialect import Dialect
from fhir_server.store.select import (
    Bound,
    Driver,
    collected_sql,
    moved_sql,
    page_sql,
    windows,
)
from fhir_server.store.select.page import Walked

AGAIN = (
    f"More than {COLLECTED} resources changed since the first page of this search. Begin it again, "
    "from its `first` link."
)
TOO_MANY = (
    f"More than {COLLECTED} resources match, too many to be put into this order. Add a parameter "
    "that fewer of them meet, or sort by `_lastUpdated`."
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which page: see contract.Store.search."""

    select: Select
    limit: int
    order: Order
    after: Place | None
    bound: str | None
    backward: bool

    @property
    def moment(self) -> Bound | None:
        """That of the first page, if this is another. Raises Invalid."""
        return None if self.bound is None else Bound.parse(self.bound)

    @property
    def met(self) -> int:
        """One more than the page holds tells whether there is another."""
        return self.limit + 1


@dataclass(frozen=True, slots=True)
class Paging:
    """bound: the moment the page is of; None: that at which it is asked for. driver: what the
    database is to begin with. look: stops what takes too long."""

    wanted: Wanted
    bound: Bound | None
    driver: Driver | None
    dialect: Dialect
    codec: Codec
    look: Callable[[], None] = lambda: None

    def page(self) -> Asking[Arranged]:
        order = self.wanted.order
        if isinstance(order, Collected):
            return self._arranged((yield from self._collected(order)), order)
        if isinstance(order, ByRow) and (moved := (yield from self._moved(order))):
            return self._arranged(moved + (yield from self._walk(order)), order)
        items = yield from self._walk(order)
        return straight(items, self.wanted.limit, backward=self.wanted.backward)

    def _walk(self, order: Walked) -> Asking[list[Item]]:
        """The items beyond `after`, in the order they are read."""
        wanted, items, enough = self.wanted, list[Item](), self.wanted.met
        for window in windows(
            order, limit=enough, after=wanted.after, backward=wanted.backward, bound=self.bound
        ):
            rest = replace(window, limit=enough - len(items)) if items else window
            found = yield page_sql(wanted.select, rest, dialect=self.dialect, driver=self.driver)
            items += [item_of(row, self.codec) for row in found]
            if len(items) >= enough:
                break
        return items

    def _moved(self, order: ByRow) -> Asking[list[Item]]:
        """What changed since the first page, where it stood then."""
        if self.bound is None or self.wanted.bound is None:
            return []
        found = yield moved_sql(
            self.wanted.select, limit=COLLECTED + 1, bound=self.bound, dialect=self.dialect
        )
        return self._placed(found, order, AGAIN)

    def _collected(self, order: Collected) -> Asking[list[Item]]:
        found = yield collected_sql(
            self.wanted.select,
            limit=COLLECTED + 1,
            bound=self.bound,
            bodies=order.bodies,
            dialect=self.dialect,
            driver=self.driver,
        )
        return self._placed(found, order, TOO_MANY)

    def _placed(self, found: Rows, order: ByRow | Collected, complaint: str) -> list[Item]:
        if len(found) > COLLECTED:
            raise TooCostly(complaint)
        return placed(found, order, self.codec, self.look)

    def _arranged(self, items: list[Item], order: ByRow | Collected) -> Arranged:
        wanted = self.wanted
        return arranged(
            items,
            directions(order),
            after=wanted.after,
            backward=wanted.backward,
            limit=wanted.limit,
        )
