"""arranging — a page of what was read in no order, or in two places: put in order in memory.

https://hl7.org/fhir/R4/search.html#sort
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from fhir_server.foundation.outcome import Invalid
from fhir_server.store.codec import Codec
from fhir_server.store.contract import ByRow, Collected, Page, Place, Stored, Value, rid
from fhir_server.store.row import stored
from fhir_server.store.select.bound import DAMAGED, Bound

BATCH = 250  # versions told their place between two looks at the clock


class Item(NamedTuple):
    """A resource at its place. version: what is shown of it, where it is at hand."""

    place: Place
    version: Stored | None


class Arranged(NamedTuple):
    """A page: its items in order, whether there are more, and where these begin."""

    items: Sequence[Item]
    more: bool
    edge: Place | None


def item_of(row: Sequence[Any], codec: Codec) -> Item:
    """From a row of page_sql."""
    place = Place(row[12], row[0])
    main = row[12] if row[12].__class__ is int else 0
    return Item(place, stored(row, codec, main, row[14] or 0))


def straight(items: list[Item], limit: int, *, backward: bool) -> Arranged:
    """Of items read in order, one more than the page holds."""
    more, kept = len(items) > limit, items[:limit]
    if not backward:
        return Arranged(kept, more, kept[-1].place if more and kept else None)
    return Arranged(kept[::-1], more, items[limit].place if more else None)


def arranged(
    items: list[Item],
    descending: tuple[bool, ...],
    *,
    after: Place | None,
    backward: bool,
    limit: int,
) -> Arranged:
    """The `limit` items beyond `after`, or, backward, the last ones up to it."""
    if after is not None:
        _demand_alike(items, after, len(descending))
        items = [*items, Item(after, None)]  # after an item of the same place: sorting is stable
    items = in_order(items, descending)
    if after is not None:
        at = max(n for n, item in enumerate(items) if item.place == after)
        items = items[:at] if backward else items[at + 1 :]
    more = len(items) > limit
    if backward:
        kept = items[-limit:] if limit else []
        return Arranged(kept, more, items[-limit - 1].place if more else None)
    kept = items[:limit]
    return Arranged(kept, more, kept[-1].place if more and kept else None)


def absent(page: Arranged) -> list[int]:
    """The numbers of those whose version is not at hand."""
    return [item.place.rid for item in page.items if item.version is None]


def page_of(found: Arranged, newest: Iterable[Stored], bound: Bound) -> Page:
    """newest: of those that are absent; who is not among them is gone, and left out."""
    rows, places = [], []
    known = {rid(version.key): version for version in newest}
    for place, at_hand in found.items:
        version = at_hand or known.get(place.rid)
        if version is not None:
            rows.append(version)
            places.append(place)
    return Page(rows, found.more, str(bound), found.edge, places)


def _demand_alike(items: list[Item], after: Place, keys: int) -> None:
    """A parameter of one's own may have become another between two pages. Raises Invalid."""
    for value in map(_value, range(keys)):
        there = value(Item(after, None))
        some = (each for item in items if (each := value(item)) is not None)
        other = next(some, None)
        if None not in (there, other) and isinstance(there, str) is not isinstance(other, str):
            raise Invalid(DAMAGED)


def in_order(items: list[Item], descending: tuple[bool, ...]) -> list[Item]:
    """By each key in its direction; without a value last, in either; then by number."""
    items = sorted(items, key=lambda item: item.place.rid, reverse=descending[0])
    for at, down in reversed(list(enumerate(descending))):
        value = _value(at)
        there = [item for item in items if value(item) is not None]
        # of one key all values are of one type
        there.sort(key=value, reverse=down)  # type: ignore[arg-type]  # None is left out above
        items = there + [item for item in items if value(item) is None]
    return items


def _value(at: int) -> Callable[[Item], Value]:
    def value(item: Item) -> Value:
        whole = item.place.value
        return whole[at] if isinstance(whole, tuple) else whole

    return value


def directions(order: ByRow | Collected) -> tuple[bool, ...]:
    return order.descending if isinstance(order, Collected) else (order.descending,)


def placed(
    found: Sequence[Sequence[Any]],
    order: ByRow | Collected,
    codec: Codec,
    look: Callable[[], None] = lambda: None,
) -> list[Item]:
    """Versions as they stood at the bound, at their places; `look` stops what takes too long.

    A row is Dialect.columns, the seq of the version that is the newest now, and the owner.
    """
    items: list[Item] = []
    for n, row in enumerate(found):
        if n % BATCH == 0:
            look()
        version = stored(row, codec, owner=row[13])
        value = order.keys(version) if isinstance(order, Collected) else order.key(version)
        shown = version if row[1] == row[12] and version.tail is not None else None
        items.append(Item(Place(value, row[0]), shown))
    return items
