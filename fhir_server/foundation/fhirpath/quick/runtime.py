"""runtime — what quick expressions call: the engine's own answers, the usual ones told sooner.

http://hl7.org/fhirpath/N1/#operations
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Hashable, Iterable
from itertools import repeat, zip_longest
from typing import Any, NoReturn

from fhir_server.foundation.fhirpath.items import Item, plain
from fhir_server.foundation.fhirpath.patterns import tries
from fhir_server.foundation.fhirpath.scope import MAX_TOGETHER
from fhir_server.foundation.fhirpath.temporal import Temporal
from fhir_server.foundation.fhirpath.texts import TRIES_A_STEP
from fhir_server.foundation.fhirpath.values import arithmetic, compare, equal, item_key
from fhir_server.foundation.fhirpath.values import weight as engine_weight
from fhir_server.foundation.outcome import Invalid

MAX_STEPS = MAX_TOGETHER
NOTHING: tuple[Any, ...] = ()
SECONDS = {20, 25}  # characters of a time to the second, with `Z` or with an offset
NEAR = {-1, 0, 1}  # days between which the hour and the zone may decide
SECONDS = {20, 25}  # characters of a time to the second, with `Z` or with an offset


def weight(value: Any) -> int:
    """The steps that comparing an element takes: each value within is like five others."""
    return 5 * engine_weight([Item(value, "")]) + 5


def tried(length: int, pattern: str) -> int:
    """The steps that a pattern may take on a text."""
    return tries(pattern, length) // TRIES_A_STEP


def pairs(values: Any, besides: Any) -> Iterable[tuple[Any, Any]]:
    """Each primitive of a list with what stands beside it."""
    if besides is None:
        return zip(values or NOTHING, repeat(None))
    both = zip_longest(values or NOTHING, besides)
    return [(one, other) for one, other in both if one is not None or other is not None]


def costly(most: int) -> NoReturn:
    raise Invalid(f"FHIRPath: the expression takes more than {most} steps, with those before it.")


def too_many(count: int) -> NoReturn:
    raise Invalid(f"FHIRPath: a single value is needed, and there are {count}.")


def too_long() -> NoReturn:
    raise Invalid("FHIRPath: the pattern could take too long on so long a text.")


def time_order(one: Any, one_type: str, two: Any, two_type: str, op: str) -> int | None:
    """As values.compare(); at once where the texts tell: written alike, or days apart."""
    if one.__class__ is str and two.__class__ is str and one_type != "time" != two_type:
        length = len(one)
        alike = length <= 10 or (length in SECONDS and one[19:] == two[19:])
        if length == len(two) and alike:
            return (one > two) - (one < two)
        if min(length, len(two)) >= 10 and (days := _day(one) - _day(two)) not in NEAR:
            return 1 if days > 0 else -1
    return compare(plain(Item(one, one_type)), plain(Item(two, two_type)), op)


def _day(text: str) -> int:
    return dt.date.fromisoformat(text[:10]).toordinal()


def moment_order(one: Any, one_type: str, two: Any, op: str) -> int | None:
    """The order of a date or dateTime and a Temporal."""
    is_day = one.__class__ is str and len(one) >= 10 and len(two.parts) >= 3
    if is_day and (len(one) == 10 or one_type != "date") and one_type != "time" != two.kind:
        year, month, day = two.parts[:3]
        days = _day(one) - dt.date(year, month, day).toordinal()
        if days not in NEAR:
            return 1 if days > 0 else -1
    return compare(plain(Item(one, one_type)), two, op)


def turnedmoment_order(one: Any, one_type: str, two: Any, op: str) -> int | None:
    """moment_order(), the other way round."""
    order = moment_order(one, one_type, two, op)
    return None if order is None else -order


def moved(value: Any, type: str, by: Any, op: str) -> Any:
    """A time, moved by a quantity; None where there is no such time."""
    return None if value is None else arithmetic(op, plain(Item(value, type)), by)


def quantity_order(one: Any, one_type: str, two: Any, two_type: str, op: str) -> int | None:
    return compare(plain(Item(one, one_type)), plain(Item(two, two_type)), op)


def same(one: Any, one_type: str, two: Any, two_type: str) -> bool | None:
    """`=` of two values."""
    return equal([Item(one, one_type)], [Item(two, two_type)])


def key(value: Any, beside: Any, type: str) -> Hashable:
    """What is equal for equal items."""
    if isinstance(value, str) and type not in TIMES:
        return value
    return item_key(Item(value, type, beside=beside))


TIMES = frozenset({"date", "dateTime", "instant", "time"})


def today(now: dt.datetime | None) -> Temporal:
    return _clock(now, "date", 10)


def moment(now: dt.datetime | None) -> Temporal:
    return _clock(now, "dateTime", None)


def _clock(now: dt.datetime | None, kind: str, end: int | None) -> Temporal:
    text = (now or dt.datetime.now(dt.UTC).astimezone()).isoformat(timespec="milliseconds")[:end]
    found = Temporal.parse(text, kind)
    assert found is not None
    return found
