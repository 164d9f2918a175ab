"""choosing — what a search is driven from, after a look at how much there is of what it asks.

https://hl7.org/fhir/R4/search.html

Neither database can tell by itself: SQLite keeps no statistics that would say so, and a plan that
PostgreSQL has prepared is to serve every value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fhir_server.store.asking import Asking
from fhir_server.store.condition import every, only_keys
from fhir_server.store.contract import Condition, Ground, Restriction, Select
from fhir_server.store.dialect import Dialect
from fhir_server.store.select import (
    Driver,
    drivers,
    find_sql,
    for_page,
    is_common,
    limits_of,
    rarest,
    walked_type,
    weigh_sql,
    worth_weighing,
)
from fhir_server.store.select.reached import grounds_of, grounds_of_past, treated_by
from fhir_server.store.select.weighing import TREATED, WEIGHED_UP_TO, Weighable, by_reach
from fhir_server.store.select.weights import EVERY, Weights


@dataclass(frozen=True, slots=True)
class Choosing:
    """remembered: what was counted of this database before."""

    remembered: Weights
    dialect: Dialect

    def driver(self, select: Select) -> Asking[Driver | None]:
        """The rarest of several conditions, or what the caller reaches, where that is little."""
        found, grounds = drivers(select), grounds_of(select)
        if grounds and (driver := (yield from self._by_reach(select, found, grounds))):
            return driver
        if not worth_weighing(found):
            return None
        return rarest(found, (yield from self._weighed(_limits(found))))

    def driver_of_page(self, select: Select, met: int) -> Asking[Driver | None]:
        """What leads soonest to the first so many of those that meet it, in the order of main
        dates."""
        found, grounds = drivers(select), grounds_of(select)
        if grounds and (driver := (yield from self._by_reach(select, found, grounds))):
            return driver
        if not worth_weighing(found):
            return None
        limits, type = _limits(found), walked_type(select, found)
        if type is not None:
            limits[type] = EVERY
        weights = yield from self._weighed(limits)
        size = weights.pop() if type is not None else 0
        return for_page(found, weights, size, met, self.dialect)

    def few(self, select: Select, at_most: int) -> Asking[tuple[int, ...] | None]:
        """See contract.Store.few."""
        found, grounds = drivers(select), grounds_of(select)
        driver: Driver | None = None
        if grounds:
            driver = yield from self._by_reach(select, found, grounds)
        if driver is None and (worth_weighing(found) or select.where in found):
            weights = yield from self._weighed(_limits(found, at_most))
            driver = rarest(found, weights)
            if is_common(select, found, weights, at_most):
                return None
        asked = find_sql(
            select, at_most=at_most + 1, dialect=self.dialect, driver=driver, ordered=False
        )
        met = yield asked
        return tuple(row[0] for row in met) if len(met) <= at_most else None

    def past(self, types: Sequence[str], restriction: Restriction) -> Asking[tuple[Ground, ...]]:
        """By what the history of these types is read, rather than by walking it; (): by nothing."""
        if restriction.is_of_types or not (grounds := grounds_of_past(types, restriction)):
            return ()
        limits = dict[Weighable, int](dict.fromkeys(treated_by(grounds), TREATED))
        weights = yield from self._weighed(limits)
        return grounds if sum(weights) < TREATED else ()

    def _by_reach(
        self, select: Select, found: Sequence[Condition], grounds: tuple[Ground, ...]
    ) -> Asking[Condition | Driver | None]:
        lists = dict.fromkeys(c for c in every(select.where) if only_keys(c))
        most = [*limits_of(found), *[WEIGHED_UP_TO] * len(lists)]
        asked = list(zip([*found, *lists], most, strict=True))
        treated = ((each, TREATED) for each in treated_by(grounds))
        weights = yield from self._weighed(dict[Weighable, int]([*asked, *treated]))
        return by_reach(select, grounds, asked, weights)

    def _weighed(self, limits: dict[Weighable, int]) -> Asking[list[int]]:
        """How many rows each has, counted no further than is worth knowing (see limits_of), and
        about how many there are of a type."""
        known = self.remembered.known(limits)
        if new := [one for one in limits.items() if one[0] not in known]:
            counted = (yield weigh_sql(new, self.dialect))[0]
            self.remembered.learn(new, counted)
            known.update(zip((weighed for weighed, _ in new), counted, strict=True))
        return [known[weighed] for weighed in limits]


def _limits(found: Sequence[Condition], at_most: int = 0) -> dict[Weighable, int]:
    return dict(zip(found, limits_of(found, at_most), strict=True))
