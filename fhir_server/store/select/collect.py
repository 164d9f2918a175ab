"""collect — versions as they stood at the first page, to be put in order in memory.

https://hl7.org/fhir/R4/search.html#sort
"""

from __future__ import annotations

from fhir_server.store.condition import Part, both
from fhir_server.store.contract import Select
from fhir_server.store.dialect import Dialect
from fhir_server.store.select.body import Body, from_, ordinary
from fhir_server.store.select.bound import Bound, newest_seen, seen, unseen
from fhir_server.store.select.rendered import Rendered
from fhir_server.store.select.weighing import Driver


def collected_sql(
    select: Select,
    *,
    limit: int,
    bound: Bound | None,
    bodies: bool,
    dialect: Dialect,
    driver: Driver | None = None,
) -> Rendered:
    """All that match, in no order: rows of `dialect.columns` (without `bodies` the last is null),
    then the seq of the version that is the newest now, and the owner."""
    columns = dialect.columns if bodies else dialect.columns.replace("v.body", "null")
    return _as_it_was(ordinary(select, dialect, driver), limit, bound, columns)


def moved_sql(select: Select, *, limit: int, bound: Bound, dialect: Dialect) -> Rendered:
    """The same of those that moved since the bound."""
    later = unseen(bound, "m", dialect)
    moved = Part(f"(select distinct m.rid from moved m where {later.text}) d", later.values)
    source = Part(f"{moved.text} {dialect.join} current c on c.rid = d.rid", moved.values)
    return _as_it_was(from_(select, dialect, source), limit, bound, dialect.columns)


def _as_it_was(body: Body, limit: int, bound: Bound | None, columns: str) -> Rendered:
    dialect = body.dialect
    newest = Part("c.seq")
    where = [body.where]
    if bound is not None:
        where.append(seen(bound, "c", dialect, column="born"))
        changed, then = unseen(bound, "c", dialect), newest_seen(bound, "c", dialect)
        text = f"case when {changed.text} then {then.text} else c.seq end"
        newest = Part(text, changed.values + then.values)
    told = both(where)
    text = (
        f"select {columns}, p.now, p.owner from (select c.rid as rid, {newest.text} as seq,"
        f" c.seq as now, c.owner as owner from {body.source.text} where {told.text}"
        f" limit {limit:d}) p {dialect.version}"
    )
    return Rendered(text, newest.values + body.source.values + told.values, body.prepare)
