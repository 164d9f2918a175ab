"""counting — which resources, and how many of them, meet a Select; or about how many.

https://hl7.org/fhir/R4/search.html#total
"""

from __future__ import annotations

from typing import NamedTuple

from fhir_server.store.condition import both, check, context_of, reach
from fhir_server.store.contract import Select
from fhir_server.store.dialect import Dialect
from fhir_server.store.select.body import ordinary
from fhir_server.store.select.rendered import Rendered
from fhir_server.store.select.weighing import Driver

EXACT = 1000  # matches that an estimate counts one by one
FEW = 5000  # resources of the types that an estimate asks all of
SAMPLES = (3000, 20_000)  # resources an estimate looks at
ENOUGH = 500  # of them of the types asked for; else it looks at more
WHOLE = 1 << 63  # numbers of resources: they are hashes, evenly spread


def find_sql(
    select: Select,
    *,
    at_most: int,
    dialect: Dialect,
    driver: Driver | None = None,
    ordered: bool = True,
) -> Rendered:
    """The rids, smallest first; or whichever come first."""
    body = ordinary(select, dialect, driver)
    text = f"select c.rid from {body.source.text} where {body.where.text}"
    values = body.source.values + body.where.values
    order = f" order by {body.rid}" if ordered else ""
    return Rendered(f"{text}{order} limit {at_most:d}", values, body.prepare)


def count_sql(
    select: Select, *, at_most: int | None, dialect: Dialect, driver: Driver | None = None
) -> Rendered:
    body = ordinary(select, dialect, driver)
    values = body.source.values + body.where.values
    rest = f"from {body.source.text} where {body.where.text}"
    if at_most is None:
        return Rendered(f"select count(*) {rest}", values, body.prepare)
    text = f"select count(*) from (select 1 {rest} limit {at_most:d}) n"
    return Rendered(text, values, body.prepare)


class Sample(NamedTuple):
    """Of the resources with the smallest numbers: how many there are, the greatest of their
    numbers, how many of them are of the types, and how many meet all that is asked."""

    looked_at: int
    last: int | None
    of_types: int | None
    met: int | None

    def is_enough(self, at_most: int) -> bool:
        return self.looked_at < at_most or (self.of_types or 0) >= ENOUGH

    def scaled(self, at_most: int) -> int:
        """What it says of all."""
        if self.looked_at < at_most or not self.last:
            return self.met or 0  # the sample was everything
        return round((self.met or 0) * WHOLE / self.last)


def is_counted(select: Select) -> bool:
    """Whether even an estimate counts: what a sample says of the few one may reach would be
    told by what others have."""
    return not select.restriction.is_of_types


def sample_sql(select: Select, dialect: Dialect, *, at_most: int) -> Rendered:
    """The row of a Sample: of what the caller may reach."""
    check(select.where)
    context = context_of(dialect, select.restriction)
    of, within = context.within(select.types), reach(context.of("x"))
    told = both([of, context.write(select.where)])
    text = (
        f"select count(*), max(c.rid), sum(case when {of.text} then 1 else 0 end),"
        f" sum(case when {told.text} then 1 else 0 end)"
        f" from (select * from current x where {within.text} order by x.rid limit {at_most:d}) c"
    )
    return Rendered(text, of.values + told.values + within.values, prepare=False)
