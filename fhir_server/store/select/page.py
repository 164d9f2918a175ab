"""page — a page of a search, written in SQL: a walk through an index that stands in its order.

https://hl7.org/fhir/R4/search.html#sort

A walk has up to two stretches: resources that have a value, then those that have none. Each is
asked for by itself, and the second only where the first does not fill the page.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from fhir_server.store.condition import Part, both, context_of, joined, member
from fhir_server.store.condition.part import YES
from fhir_server.store.contract import (
    EVERYTHING,
    FIRST,
    LAST,
    UNDATED,
    WHOLE_TEXT,
    ByMain,
    ByRow,
    ByUpdated,
    Place,
    Select,
)
from fhir_server.store.dialect import OWNER, Bigints, Dialect
from fhir_server.store.select.body import (
    CURRENT,
    Body,
    as_likely,
    current_of,
    from_,
    gathered,
    of_each_key,
    ordinary,
    reached_by,
)
from fhir_server.store.select.bound import Bound, newest_seen, seen, unseen
from fhir_server.store.select.reached import way_of
from fhir_server.store.select.rendered import Rendered
from fhir_server.store.select.weighing import COMMON, REACH, ByReach, Driver, Hoped
from fhir_server.store.types import NAMES, type_numbers

NOTHING = "null"  # the place of what has no value
FEW_TYPES = 12  # so many are read each from its own index; more by reading everything
Walked = ByMain | ByUpdated | ByRow


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a walk. after: None for all of the stretch. upward: in which direction it is read;
    inclusive: `after` itself belongs to it. limit: rows at most. bound: None at the first page."""

    order: Walked
    limit: int
    bound: Bound | None = None
    after: Place | None = None
    missing: bool = False
    upward: bool = False
    inclusive: bool = False

    @property
    def direction(self) -> str:
        return "asc" if self.upward else "desc"


def windows(
    order: Walked, *, limit: int, after: Place | None, backward: bool, bound: Bound | None
) -> Iterator[Window]:
    """The stretches from `after` on, in the order they are read."""
    whole = Window(order, limit, bound, upward=order.descending is backward, inclusive=backward)
    if not has_two(order):
        yield replace(whole, after=after)
        return
    stretches = [replace(whole, missing=missing) for missing in (backward, not backward)]
    if after is not None:
        if stretches[0].missing is not is_missing(after):
            del stretches[0]
        stretches[0] = replace(stretches[0], after=after)
    yield from stretches


def has_two(order: Walked) -> bool:
    """Newest first, what has no date stands at the end of the same index."""
    return isinstance(order, ByRow) or (isinstance(order, ByMain) and not order.descending)


def is_missing(place: Place) -> bool:
    return place.value is None or place.value == UNDATED


def page_sql(
    select: Select, window: Window, *, dialect: Dialect, driver: Driver | None = None
) -> Rendered:
    """Rows of `dialect.columns`, the place's value, what a Bound is made of, and the owner.

    The last column is null where a bound was given. On SQLite it is the newest seq, so the bound
    is `Bound(seq + 1)`; on PostgreSQL it is a snapshot.
    """
    match window.order:
        case ByMain():
            bodies = _by_main(select, window, dialect, driver)
        case ByUpdated():
            bodies = _by_updated(select, window, dialect, driver)
        case ByRow() as order:
            bodies = _by_row(select, window, order, dialect)
    # `union` where several may meet one resource: in the order of main dates
    union = " union " if isinstance(window.order, ByMain) else " union all "
    inner = joined(union, [_read(body, window) for body in bodies])
    snapshot = dialect.snapshot if window.bound is None else "null"
    way = window.direction
    text = (
        f"select {dialect.columns}, p.place, {snapshot}, {OWNER} from ({inner.text}) p"
        f" {dialect.version}"
        f" order by p.place {way}, p.rid {way} limit {window.limit:d}"
    )
    prepare = isinstance(window.order, ByMain) and bodies[0].prepare
    return Rendered(text, inner.values, prepare)


def _read(body: Body, window: Window) -> Part:
    """The rows of the window that come first, as a table."""
    if body.ways:
        return _by_ways(body, window)
    if body.hope is not None:
        return _hoped(body.hope, replace(body, hope=None), window)
    told, way = _told(body, window), window.direction
    order = f"{body.rid} {way}"
    if body.place != NOTHING:
        order = f"{body.place} {way}, {order}"
    text = (
        f"select {body.rid} as rid, c.seq as seq, {body.place} as place from {body.source.text}"
        f" where {told.text} order by {order} limit {window.limit:d}"
    )
    values = body.source.values + told.values
    if body.each is None:
        return Part(f"select * from ({text}) q", values)
    found = f"select distinct q.* from {body.each.text} cross join lateral ({text}) q"
    first = f"select * from ({found}) q order by place {way}, rid {way} limit {window.limit:d}"
    return Part(f"select * from ({first}) q", body.each.values + values)


def _told(body: Body, window: Window) -> Part:
    where = [body.where]
    if window.bound is not None:
        where.append(seen(window.bound, "c", body.dialect, column="born"))
    return both([*where, _beyond(body, window)])


def _by_ways(body: Body, window: Window) -> Part:
    """What comes first of all ways. As tables beside one another: SQLite reads no statement that
    is nested much deeper than what a search itself may ask."""
    tables, ways = list[Part](), list[Part]()
    for at, way in enumerate(body.ways):
        if way.patients is not None:
            tables.append(_heads(way, way.patients, window, f"n{at}"))
            ways.append(_of_heads(way, window, f"n{at}"))
        else:
            ways.append(_read(way, window))
    union, limit = joined(" union ", ways), window.limit
    order = f"order by place {window.direction}, rid {window.direction} limit {limit:d}"
    tables.append(Part(f"u as ({union.text})", union.values))
    text = f"select * from u {order}"
    if body.hope is not None:
        met = _near(body.hope, window)
        tables.insert(0, Part(f"h as materialized ({met.text})", met.values))
        enough = f"(select count(*) from h) >= {limit:d}"
        rest = f"select * from (select * from u {order}) r where not {enough}"
        text = f"select * from h where {enough} union all {rest} limit {limit:d}"
    told = joined(", ", tables)
    return Part(f"select * from (with {told.text} {text}) q", told.values)


def _heads(body: Body, patients: Part, window: Window, name: str) -> Part:
    """Of each patient what comes first, as a table; body.source: a patient's records."""
    told, way = _told(body, window), window.direction
    order = f"order by c.main_lo {way}, c.rid {way}"
    mine = f"from {_of_patient(body, order)} and {told.text} {order} limit 1"
    values = body.source.values + told.values
    if body.dialect.postgresql:
        lateral = f"cross join lateral (select c.main_lo, c.rid {mine}) h"
        text = f"select p.patient, h.main_lo, h.rid from {patients.text} {lateral}"
        return Part(f"{name} as ({text})", patients.values + values)
    text = f"select (select c.rid {mine}) as rid from {patients.text}"
    return Part(f"{name} as ({text})", values + patients.values)


def _of_heads(body: Body, window: Window, name: str) -> Part:
    """A page is of no more patients than it has rows, those whose first come first."""
    told, way, limit = _told(body, window), window.direction, window.limit
    heads = f"select patient from {name} order by main_lo {way}, rid {way} limit {limit:d}"
    if not body.dialect.postgresql:
        join = f"{name} cross join current h on h.rid = {name}.rid"
        order = f"order by h.main_lo {way}, h.rid {way} limit {limit:d}"
        heads = f"select h.owner as patient from {join} {order}"
    text = (
        f"select c.rid as rid, c.seq as seq, {body.place} as place"
        f" from ({heads}) p cross join {_of_patient(body)} and {told.text}"
        f" order by {body.place} {way}, {body.rid} {way} limit {limit:d}"
    )
    return Part(f"select * from ({text}) q", body.source.values + told.values)


def _of_patient(body: Body, order: str = "") -> str:
    """Apart, so that PostgreSQL never walks the type and looks for the patient."""
    if not body.dialect.postgresql:
        return f"current c where {body.source.text}"
    return (
        f"lateral (select * from current c where {body.source.text} {order} offset 0) c where true"
    )


def _beyond(body: Body, window: Window) -> Part:
    """After the place that the page before ended with."""
    if window.after is None:
        return YES
    sign = (">" if window.upward else "<") + ("=" if window.inclusive else "")
    mark, (value, rid) = body.dialect.mark, window.after
    if value is None:
        return Part(f"{body.rid} {sign} {mark}", (rid,))
    return Part(f"({body.place}, {body.rid}) {sign} ({mark}, {mark})", (value, rid))


def _near(hope: Body, window: Window) -> Part:
    """What a walk of no more than REACH resources meets."""
    told, way = both([hope.source, _beyond(hope, window)]), window.direction
    order = f"{hope.place} {way}, {hope.rid} {way}"
    near = f"(select * from current c where {told.text} order by {order} limit {REACH:d}) c"
    return _read(replace(hope, source=Part(near, told.values)), window)


def _hoped(hope: Body, otherwise: Body, window: Window) -> Part:
    """That, if it is enough; else all there is."""
    walk, rest = _near(hope, window), _read(otherwise, window)
    text = (
        f"select * from (with h as materialized ({walk.text})"
        f" select * from h where (select count(*) from h) >= {window.limit:d}"
        f" union all select * from ({rest.text}) r"
        f" where (select count(*) from h) < {window.limit:d}"
        f" limit {window.limit:d}) q"  # or SQLite would not leave the second part alone
    )
    return Part(text, walk.values + rest.values)


# --- by the main date ----------------------------------------------------------------------------


def _by_main(select: Select, window: Window, dialect: Dialect, driver: Driver | None) -> list[Body]:
    one_type = len(select.types) == 1 and select.restriction.is_of_types
    if isinstance(driver, Hoped):
        context = context_of(dialect, select.restriction)
        hope = from_(select, dialect, context.within(select.types))
        bodies = [replace(ordinary(select, dialect, driver), hope=hope)]
    elif isinstance(driver, ByReach):
        bodies = [_by_reach(select, driver, dialect)]
    elif driver == COMMON and one_type and not gathered(select):
        bodies = [from_(select, dialect, CURRENT)]
    else:
        bodies = of_each_key(select, dialect, driver) or [ordinary(select, dialect, driver)]
    if window.bound is not None:
        # Who moved since the first page stands where it stood then, and nowhere else.
        bodies = [body.also(_unmoved(window.bound, dialect)) for body in bodies]
        bodies.append(_moved(select, dialect, window.bound))
    if has_two(window.order):
        sign = "=" if window.missing else ">"
        bodies = [
            body.also(Part(f"{body.place} {sign} {dialect.mark}", (UNDATED,))) for body in bodies
        ]
    return bodies


def _by_reach(select: Select, driver: ByReach, dialect: Dialect) -> Body:
    """Each ground and type is a walk of its own, or one of each patient's."""
    each, ways = as_likely(from_(select, dialect, CURRENT)), list[Body]()
    for ground in driver.grounds:
        patients, row = way_of(ground, "c", dialect)
        for number in type_numbers(select.types):
            mine = both([row, Part(f"c.type = {dialect.mark}", (number,))])
            if patients is None:
                ways.append(each.also(mine))
            else:
                ways.append(replace(each, source=mine, patients=patients))
    hope = None
    if driver.hoped:
        of_type = context_of(dialect, EVERYTHING).within(select.types)
        hope = from_(select, dialect, of_type)
    return replace(each, ways=tuple(ways), hope=hope)


def _unmoved(bound: Bound, dialect: Dialect) -> Part:
    later = unseen(bound, "m", dialect)
    text = f"not exists (select 1 from moved m where m.rid = c.rid and {later.text})"
    return Part(text, later.values)


def _moved(select: Select, dialect: Dialect, bound: Bound) -> Body:
    """The same question of those that moved since `bound`, at their place then."""
    later, earlier = unseen(bound, "m", dialect), unseen(bound, "e", dialect)
    first = Part(
        f"{later.text} and not exists (select 1 from moved e where e.rid = m.rid"
        f" and e.seq < m.seq and {earlier.text})",
        later.values + earlier.values,
    )
    source = Part(f"moved m {dialect.join} current c on c.rid = m.rid")
    return replace(from_(select, dialect, source, first), place="m.main_lo")


# --- by the time of the last change --------------------------------------------------------------


def _by_updated(
    select: Select, window: Window, dialect: Dialect, driver: Driver | None
) -> list[Body]:
    """A walk through versions: those that were the newest at the bound.

    SQLite has one writer, whose time never goes back: the order of seq is that of time.
    """
    place = "v.updated" if dialect.postgresql else "v.seq"
    newest = _newest(window.bound, dialect)
    if isinstance(driver, ByReach):
        found = reached_by(select, driver, dialect)
        source = Part(f"{found.text} cross join version v", found.values)
        body = from_(select, dialect, source, Part("v.rid = c.rid"), newest)
        return [replace(body, place=place, rid="v.rid")]
    source = Part(f"version v {current_of('v', dialect)}")
    body = as_likely(from_(select, dialect, source, newest))
    body = replace(body, place=place, rid="v.rid")
    types = _types(select)
    if dialect.postgresql and len(types) != 1:
        each = Part(f"unnest({dialect.mark}) t(type)", (Bigints(types),))
        return [replace(body.also(Part("v.type = t.type")), each=each)]
    if len(types) > FEW_TYPES:
        # `+` keeps SQLite from the type's index: many types are nearly everything.
        return [body.also(member("+v.type", types, dialect))]
    return [body.also(Part(f"v.type = {dialect.mark}", (type,))) for type in types or (0,)]


def _newest(bound: Bound | None, dialect: Dialect) -> Part:
    if bound is None:
        return Part(dialect.same)
    changed, newest = unseen(bound, "c", dialect), newest_seen(bound, "c", dialect)
    text = f"({dialect.same} or ({changed.text} and v.seq = {newest.text}{dialect.last}))"
    return both([seen(bound, "v", dialect), Part(text, changed.values + newest.values)])


def _types(select: Select) -> tuple[int, ...]:
    allowed, asked = select.restriction.types, frozenset(select.types or NAMES)
    return type_numbers(asked if allowed is None else asked & allowed)


# --- by the rows of an index ---------------------------------------------------------------------


def _by_row(select: Select, window: Window, order: ByRow, dialect: Dialect) -> list[Body]:
    """What changed since the first page is left out: the store puts it in where it stood then."""
    if window.missing:
        body = from_(select, dialect, Part("current c"), _without(order, dialect))
        bodies = [replace(body, place=NOTHING)]
    else:
        body = as_likely(from_(select, dialect, _rows_of(order, dialect)))
        place = "s.word" if order.kind == "string" else "s.lo"
        body = replace(body, place=place, rid="s.rid")
        bodies = [body.also(*row) for row in _rows(order, dialect)]
    if window.bound is None:
        return bodies
    return [body.also(_unmoved(window.bound, dialect)) for body in bodies]


def _rows_of(order: ByRow, dialect: Dialect) -> Part:
    return Part(f"index_{order.kind} s {current_of('s', dialect)}")


def _rows(order: ByRow, dialect: Dialect) -> Iterator[list[Part]]:
    """The rows of each number: a resource has one of them, or none."""
    for number in _numbers(order):
        row = [Part(f"s.param = {dialect.mark}", (number,))]
        if order.kind == "string":
            row.append(Part(f"(s.whole & {LAST if order.descending else FIRST}) <> 0"))
        yield row


def _numbers(order: ByRow) -> tuple[int, ...]:
    if order.kind == "date":
        return order.numbers
    return tuple(number + of for number in order.numbers for of in (0, WHOLE_TEXT))


def _without(order: ByRow, dialect: Dialect) -> Part:
    there = [member("x.param", _numbers(order), dialect)]
    if order.kind == "string":
        there.append(Part(f"(x.whole & {LAST if order.descending else FIRST}) <> 0"))
    told = both(there)
    if dialect.postgresql:
        text = f"select 1 from index_{order.kind} x where x.rid = c.rid and {told.text}"
        return Part(f"not exists ({text})", told.values)
    text = f"select x.rid from index_{order.kind} x where {told.text}"
    return Part(f"c.rid not in ({text})", told.values)
