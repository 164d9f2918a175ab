"""weighing — what a search had better be driven from: a key, a rare word, or a walk.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fhir_server.store.condition import (
    Part,
    alternatives,
    check,
    every,
    in_index,
    joined,
    key_row,
    keys_table,
    only_keys,
    word_row,
)
from fhir_server.store.contract import (
    AllOf,
    AnyOf,
    Condition,
    Ground,
    KeyIs,
    Restriction,
    RidIn,
    Select,
)
from fhir_server.store.dialect import Dialect
from fhir_server.store.select.rendered import Rendered
from fhir_server.store.types import type_numbers

WEIGHED = 8  # conditions at most
WEIGHED_UP_TO = 1000  # beyond so many rows two keys count as equally common
# Rows that are rather read and sorted than met on a walk through the type, which has to meet a
# page of them; a walk for two words at once has to go further.
RARE, RARE_TOGETHER = 2000, 5000
SAMPLE = 300  # resources of which it is told how many there are of a type
NUMBERS = float(1 << 63)  # of resources: they are hashes, evenly spread
REACH = 1500  # resources that are walked in the hope of a page, and in vain at worst
TREATED = 20_000  # patients in care; beyond so many a walk meets a page of theirs
TREATED_AT_ONCE = 400  # so many are sooner looked up than a page is hoped for
MINUTE = 60_000  # milliseconds
FEW_OWNERS = 16  # patients whose records are read rather than what leads to them
COMMON = AllOf()  # no condition: drive it by a walk through the type


@dataclass(frozen=True, slots=True)
class Hoped:
    """A walk through the first REACH resources; where that meets no page, `otherwise`. What has a
    word by chance is met soon; but names have their generations, and pages begin with the
    youngest."""

    otherwise: Condition


@dataclass(frozen=True, slots=True)
class ByReach:
    """What the caller reaches, each ground through an index of its own (select/reached.py).
    hoped: where a walk through the first REACH resources meets no page."""

    grounds: tuple[Ground, ...]
    hoped: bool = False


class Treated(NamedTuple):
    """Those that a facility has in its care at a moment, to be counted."""

    facility: int
    moment: int


Driver = Condition | Hoped | ByReach
Weighable = Condition | Treated | str  # or the code of a type


def reaches_few(types: Sequence[str], restriction: Restriction) -> bool:
    """Whether all that the caller reaches of what is asked for is a few patients': their records
    are read through the index by owner, however much others have."""
    grounds = restriction.among(frozenset(types)).grounds or ()
    owners = grounds[0].owners if len(grounds) == 1 else None
    return bool(owners) and len(owners or ()) <= FEW_OWNERS and 0 not in (owners or ())


def is_of_few(select: Select) -> bool:
    """The same of a search, unless it names resources itself."""
    named = any(isinstance(condition, RidIn) for condition in every(select.where))
    return not named and reaches_few(select.types, select.restriction)


def drivers(select: Select) -> tuple[Condition, ...]:
    """The conditions a search could be driven from: keys, whose rows stand in order, and words."""
    check(select.where)
    if is_of_few(select):
        return ()
    conditions = every(select.where)
    keys = {c for c in conditions if isinstance(c, KeyIs) and in_index(c)}
    words = (c for c in conditions if not isinstance(c, KeyIs) and alternatives(c))
    ordered = sorted(keys, key=lambda key: (key.mask != -1, key.mask == 0, key.v, key.w))
    return (*ordered, *dict.fromkeys(words))[:WEIGHED]


def worth_weighing(found: Sequence[Condition]) -> bool:
    """One key is the best there is; of one word it is still to be known whether it is rare."""
    return len(found) > 1 or any(map(alternatives, found))


def walked_type(select: Select, found: Sequence[Condition]) -> str | None:
    """The type that a page could be found on a walk through, where words are all that is asked for:
    then it is worth knowing how many there are of it."""
    alone = len(select.types) == 1 and select.restriction.is_of_types
    words = bool(found) and all(map(alternatives, found)) and {*found} == {*every(select.where)}
    return select.types[0] if alone and words else None


def weigh_sql(limits: Sequence[tuple[Weighable, int]], dialect: Dialect) -> Rendered:
    """How many rows each condition has, counted no further than its limit, and about how many
    resources there are of a type: one column each."""
    counts = []
    for weighed, limit in limits:
        if isinstance(weighed, str):
            counts.append(_size(weighed, dialect))
            continue
        row = _rows_of(weighed, dialect)
        text = f"(select count(*) from (select 1 from {row.text} limit {limit}) n)"
        counts.append(Part(text, row.values))
    told = joined(", ", counts)
    return Rendered(f"select {told.text}", told.values)


def _rows_of(weighed: Condition | Treated, dialect: Dialect) -> Part:
    """FROM and WHERE of the rows that are counted."""
    if isinstance(weighed, Treated):
        mark = dialect.mark
        return Part(f"care y where y.facility = {mark} and y.until > {mark}", weighed)
    if isinstance(weighed, KeyIs):
        row = key_row(weighed, "k", dialect)
        return Part(f"index_key k where {row.text}", row.values)
    if isinstance(weighed, AnyOf) and only_keys(weighed):
        keys = keys_table([c for c in weighed.conditions if isinstance(c, KeyIs)], dialect)
        join = f"{dialect.join} index_key x on x.v = a.v and (x.w & a.m) = a.w"
        return Part(f"{keys.text} {join}", keys.values)
    row = word_row(alternatives(weighed), dialect)
    return Part(f"index_string x where {row.text}", row.values)


def _size(type: str, dialect: Dialect) -> Part:
    """Resources have numbers that are evenly spread: what the smallest tell goes for all."""
    (number,) = type_numbers((type,))
    few = f"select r.type, r.rid from current r order by r.rid limit {SAMPLE:d}"
    met = f"sum(case when n.type = {dialect.mark} then 1.0 else 0.0 end)"
    text = f"(select coalesce(cast({met} / max(n.rid) * {NUMBERS} as bigint), 0) from ({few}) n)"
    return Part(text, (number,))


def rarest(found: Sequence[Condition], weights: Sequence[int]) -> Condition:
    """What to be driven from: the rarest of these, and where all are common a key, whose rows
    stand in order, else COMMON."""
    weighed = zip(weights, limits_of(found), range(len(found)), strict=True)
    rare = [(weight, at) for weight, limit, at in weighed if weight < limit]
    if rare:
        return found[min(rare)[1]]
    return found[0] if isinstance(found[0], KeyIs) else COMMON


def for_page(
    found: Sequence[Condition], weights: Sequence[int], size: int, page: int, dialect: Dialect
) -> Driver:
    """The same, for a page of so many of a type that there are so many of."""
    first = rarest(found, weights)
    if not size or first == COMMON:
        return first
    weighed = zip(weights, limits_of(found), strict=True)
    met = math.prod(_share(weight, limit, size) for weight, limit in weighed)
    return Hoped(first) if page * dialect.walked < met * min(REACH, *weights) else first


def _share(weight: int, limit: int, size: int) -> float:
    """Of the resources of a type those that have a word: where counting ended at its limit, half
    of what is between that and all."""
    return min(1.0, (weight if weight < limit else (limit + size) / 2) / size)


def by_reach(
    select: Select,
    grounds: tuple[Ground, ...],
    found: Sequence[tuple[Condition, int]],
    weights: Sequence[int],
) -> Condition | ByReach | None:
    """What to be driven from where each ground has an index: the rarest of these, each with how far
    it was counted; else the grounds, unless too many are in care. weights: theirs, then how many
    are in care."""
    weighed = zip(weights, found, range(len(found)), strict=False)
    if rare := [(weight, at) for weight, (_, limit), at in weighed if weight < limit]:
        return found[min(rare)[1]][0]
    treated = sum(weights[len(found) :])
    if treated >= TREATED:
        return None
    many = treated + sum(len(ground.owners or ()) for ground in grounds)
    return ByReach(grounds, hoped=many > TREATED_AT_ONCE and len(select.types) == 1)


def is_common(
    select: Select, found: Sequence[Condition], weights: Sequence[int], at_most: int
) -> bool:
    """Whether the weights alone tell that more than `at_most` meet it: it is its only condition.
    A resource may have several rows for one word, but not for one key."""
    if select.where not in found:
        return False
    if isinstance(select.where, KeyIs):
        return weights[0] > at_most
    return weights[0] >= limits_of(found)[0]


def limits_of(found: Sequence[Condition], at_most: int = 0) -> list[int]:
    """How far each of these is worth counting; at_most: of a key alone, at least beyond that."""
    words = sum(bool(alternatives(condition)) for condition in found)
    rare = RARE if len(found) == 1 else RARE_TOGETHER
    keys = max(WEIGHED_UP_TO, at_most + 1) if len(found) == 1 else WEIGHED_UP_TO
    return [keys] * (len(found) - words) + [rare] * words
