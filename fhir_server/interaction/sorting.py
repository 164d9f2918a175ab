"""sorting — in which order the store is asked for the matches, and at what price.

https://hl7.org/fhir/R4/search.html#sort

Some orders are those of an index, which is walked however many match. Where few match, reading
them all costs less than walking past all that do not; and every other order has no other way.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from fhir_server.foundation.outcome import Invalid, TooCostly
from fhir_server.interaction.context import Server
from fhir_server.interaction.paging import STRANGE, Cursor
from fhir_server.search.query import Query
from fhir_server.search.sort import UPDATED, instead, keys_of
from fhir_server.search.wanted import SortKey
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import (
    COLLECTED,
    FIRST,
    LAST,
    NEWEST,
    WHOLE_TEXT,
    AllOf,
    ByMain,
    ByRow,
    ByUpdated,
    Collected,
    Order,
    Place,
    Select,
    Stored,
    Value,
)

FEW = 250  # matches that are rather read than walked for
FEW_TIMES = 2000  # the same where only their times are read


async def order_of(server: Server, query: Query, select: Select, *, begun: str | None) -> Order:
    """The order of a search; begun: how its first page was read, told by the cursor."""
    walk = walked(server, query.sort)
    if isinstance(walk, ByMain):
        return walk
    if begun is not None:
        return collected(server, query.sort) if walk is None or begun == "c" else walk
    if walk is None:
        if await server.store.count(select, at_most=COLLECTED + 1) > COLLECTED:
            raise too_many(server, query)
        return collected(server, query.sort)
    if select.where == AllOf() and select.restriction.is_of_types:
        return walk
    few = FEW_TIMES if isinstance(walk, ByUpdated) else FEW
    if await server.store.count(select, at_most=few + 1) <= few:
        return collected(server, query.sort)
    return walk


def begun_as(order: Order) -> str:
    """How a cursor tells it: every page of a search is read in the same way."""
    return "c" if isinstance(order, Collected) else "w"


def at(order: Order, cursor: Cursor | None) -> Place | None:
    """Where the page is parted from what is before it. Raises Invalid for a place of another
    order."""
    if cursor is None:
        return None
    value = cursor.after.value
    match order:
        case Collected():
            fits = isinstance(value, tuple) and len(value) == len(order.descending)
        case ByRow(kind="string"):
            fits = value is None or isinstance(value, str)
        case ByRow():
            fits = value is None or isinstance(value, int)
        case _:
            fits = isinstance(value, int)
    if not fits:
        raise Invalid(STRANGE, expression="http._cursor")
    return cursor.after


def too_many(server: Server, query: Query) -> TooCostly:
    codes = ",".join("-" * key.descending + key.code for key in query.sort)
    return TooCostly(
        f"More than {COLLECTED} resources match, too many to be sorted by `{codes}`. Add a "
        f"parameter that fewer of them meet. {instead(server.parameters, query.types)}",
        expression="http._sort",
    )


def collected(server: Server, keys: Sequence[SortKey]) -> Collected:
    return Collected(
        keys_of(keys, server.definitions, server.indexer.site),
        tuple(key.descending for key in keys),
        bodies=any(key.code != UPDATED for key in keys),
    )


def walked(server: Server, keys: Sequence[SortKey]) -> ByMain | ByUpdated | ByRow | None:
    """The order as that of an index, where it is one."""
    if not keys:
        return NEWEST
    if len(keys) > 1:
        return None
    (key,) = keys
    if key.code == UPDATED:
        return ByUpdated(key.descending)
    if all(parameter.main for parameter in key.parameters):
        return ByMain(key.descending)
    return _by_row(server, key)


def _by_row(server: Server, key: SortKey) -> ByRow | None:
    """What narrower parameters have is not among the rows of a wider one."""
    numbers = frozenset(parameter.number for parameter in key.parameters)
    given = tuple(sorted(numbers)), key.descending
    if not all(p.stored and not p.main and not p.also for p in key.parameters):
        return None
    if all(p.type == "string" for p in key.parameters):
        flag = LAST if key.descending else FIRST
        return ByRow("string", *given, partial(_string, server, numbers, flag))
    if all(p.type == "date" and not p.many for p in key.parameters):
        return ByRow("date", *given, partial(_date, server, numbers))
    return None


def _string(server: Server, numbers: frozenset[int], flag: int, version: Stored) -> Value:
    """Told as the index tells it."""
    rows = server.indexer.rows(resource_of(version)).strings
    found = (r for r in rows if r.whole & flag and r.param & ~WHOLE_TEXT in numbers)
    return next((row.word for row in found), None)


def _date(server: Server, numbers: frozenset[int], version: Stored) -> Value:
    rows = server.indexer.rows(resource_of(version)).dates
    return next((row.lo for row in rows if row.param in numbers), None)
