"""condition — a Condition on index rows, written in SQL for both databases.

https://hl7.org/fhir/R4/search.html

A key condition is a probe of a whole primary key, since the row of `current` knows the main date.
Conditions on ranges are sets of rids. Everything a client sent is a bound value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from fhir_server.foundation.outcome import Invalid
from fhir_server.store.contract import (
    AllOf,
    AnyOf,
    Condition,
    Interval,
    KeyBetween,
    KeyIs,
    Not,
    RidIn,
    UpdatedWithin,
    WordStarts,
)
from fhir_server.store.dialect import Bigints, Dialect
from fhir_server.store.types import type_numbers

MAX_DEPTH = 32
MAX_CONDITIONS = 2000
LAST = 0x10FFFF
WHOLE = 2**63 - 1
LONGEST = 400  # characters of a word that are kept: a page of an index holds no longer one


class Part(NamedTuple):
    """A piece of SQL and the values of its marks, in order."""

    text: str
    values: tuple[Any, ...] = ()


YES, NO = Part("true"), Part("false")


# --- taking a condition apart --------------------------------------------------------------------


def every(condition: Condition) -> list[Condition]:
    """The conditions that must all hold, nested ones laid flat."""
    if isinstance(condition, AllOf):
        return [inner for c in condition.conditions for inner in every(c)]
    return [condition]


def check(condition: Condition) -> None:
    """Refuse what is too deep or too much to be asked of a database."""
    number, todo = 0, [(condition, 0)]
    while todo:
        this, depth = todo.pop()
        number += 1
        if depth > MAX_DEPTH or number > MAX_CONDITIONS:
            raise Invalid(
                f"The search asks for too much at once: at most {MAX_CONDITIONS} conditions,"
                f" nested {MAX_DEPTH} deep. Give fewer parameters or fewer values."
            )
        match this:
            case AllOf(conditions) | AnyOf(conditions):
                todo.extend((inner, depth + 1) for inner in conditions)
            case Not(inner):
                todo.append((inner, depth + 1))


def in_index(condition: Condition) -> bool:
    """Whether it is answered by index_key: dominant values are bits of `current`."""
    return isinstance(condition, KeyIs) and not condition.dominant


def only_keys(condition: Condition) -> bool:
    return (
        isinstance(condition, AnyOf)
        and bool(condition.conditions)
        and all(in_index(c) for c in condition.conditions)
    )


def has_range(condition: Condition) -> bool:
    """Whether the best plan depends on the values, not only on the shape."""
    match condition:
        case AllOf(conditions) | AnyOf(conditions):
            return any(has_range(inner) for inner in conditions)
        case Not(inner):
            return has_range(inner)
        case KeyBetween() | WordStarts():
            return True
        case Interval():
            return condition.param is not None
    return False


# --- pieces --------------------------------------------------------------------------------------


def joined(separator: str, parts: Iterable[Part]) -> Part:
    texts: list[str] = []
    values: list[Any] = []
    for part in parts:
        texts.append(part.text)
        values.extend(part.values)
    return Part(separator.join(texts), tuple(values))


def both(parts: Iterable[Part]) -> Part:
    kept = [part for part in parts if part is not YES]
    if any(part is NO for part in kept):
        return NO
    return joined(" and ", kept) if kept else YES


def either(parts: Iterable[Part]) -> Part:
    kept = [part for part in parts if part is not NO]
    if any(part is YES for part in kept):
        return YES
    if len(kept) < 2:
        return kept[0] if kept else NO
    return Part(f"({joined(' or ', kept).text})", joined("", kept).values)


def member(column: str, numbers: Sequence[int], dialect: Dialect) -> Part:
    """`column` is one of the numbers: one bound value, however many they are."""
    if not numbers:
        return NO
    if len(numbers) == 1:
        return Part(f"{column} = {dialect.mark}", (numbers[0],))
    if dialect.postgresql:
        return Part(f"{column} = any({dialect.mark})", (Bigints(numbers),))
    return Part(f"{column} in (select value from json_each(?))", (json.dumps(list(numbers)),))


def masked(alias: str, w: int, mask: int, dialect: Dialect) -> list[Part]:
    mark = dialect.mark
    if mask == 0:
        return []
    if mask == -1:
        return [Part(f"{alias}.w = {mark}", (w,))]
    return [Part(f"({alias}.w & {mark}) = {mark}", (mask, w & mask))]


def key_row(key: KeyIs, alias: str, dialect: Dialect) -> Part:
    v = Part(f"{alias}.v = {dialect.mark}", (key.v,))
    return both([v, *masked(alias, key.w, key.mask, dialect)])


def once(key: KeyIs, dialect: Dialect) -> Part:
    """One code under two systems is two rows of `k`: the first stands for both."""
    if key.mask == -1:
        return YES
    same = "d.v = k.v and d.main = k.main and d.rid = k.rid and d.w < k.w"
    row = both([Part(same), *masked("d", key.w, key.mask, dialect)])
    return Part(f"not exists (select 1 from index_key d where {row.text}{dialect.fence})", row[1])


def keys_table(keys: Sequence[KeyIs], dialect: Dialect) -> Part:
    """The keys as a table a(v, w, m), so that the text does not grow with their number."""
    rows = [(key.v, key.w & key.mask, key.mask) for key in keys]
    if dialect.postgresql:
        columns = tuple(Bigints(column) for column in zip(*rows, strict=True))
        return Part("unnest(%s, %s, %s) a(v, w, m)", columns)
    told = ", ".join(f"json_extract(value, '$[{i}]') as {n}" for i, n in enumerate("vwm"))
    return Part(f"(select {told} from json_each(?)) a", (json.dumps(rows),))


def successor(prefix: str) -> str | None:
    """The smallest text after every text that begins with `prefix`; None: there is none."""
    for at in range(len(prefix) - 1, -1, -1):
        point = ord(prefix[at]) + 1
        if point <= LAST:
            # U+D800 to U+DFFF are no characters
            return prefix[:at] + chr(0xE000 if 0xD800 <= point < 0xE000 else point)
    return None


def storable(text: str) -> bool:
    """Whether a database can hold the text: no NUL and no half of a character."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def within(column: str, start: float | None, end: float | None, mark: str) -> list[Part]:
    """start <= column < end."""
    bounds = ((">=", start), ("<", end))
    return [Part(f"{column} {sign} {mark}", (b,)) for sign, b in bounds if b is not None]


def whole(bound: float | None) -> int | None:
    """A bound for whole numbers: x >= 1.5 and x >= 2 say the same, and so do x < 1.5 and x < 2."""
    if bound is None or isinstance(bound, int):
        return bound if bound is None else max(-WHOLE, min(WHOLE, bound))
    if not math.isfinite(bound) or abs(bound) > WHOLE:
        return -WHOLE if bound < 0 else WHOLE
    return math.ceil(bound)


# --- conditions ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Writer:
    """Conditions on the resource of a row of `current c`; main, rid: where its place is known."""

    dialect: Dialect
    main: str = "c.main_lo"
    rid: str = "c.rid"

    def write(self, condition: Condition) -> Part:
        return WRITERS[type(condition)](self, condition)

    def key_is(self, key: KeyIs) -> Part:
        if not in_index(key):
            return self._dominant([key])
        return self._probe("index_key x", key_row(key, "x", self.dialect))

    def _probe(self, table: str, row: Part) -> Part:
        there = f"x.main = {self.main} and x.rid = {self.rid}"
        text = f"exists (select 1 from {table} where {row.text} and {there}{self.dialect.fence})"
        return Part(text, row.values)

    def _dominant(self, keys: Sequence[KeyIs]) -> Part:
        """Any of these bits of `current.keys`; what a bit means goes by the type.

        CASE hides the question from PostgreSQL's planner, which would take it for a rare match
        and sort the whole type instead of walking it in order, and the type from SQLite's, which
        would walk the type instead of what was asked for beside it.
        """
        masks: dict[str, int] = {}
        for key in keys:
            masks[key.of] = masks.get(key.of, 0) | 1 << key.dominant - 1
        mark = self.dialect.mark
        there = either(
            Part(f"(c.type = {mark} and (c.keys & {mark}) <> 0)", (number, mask))
            for of, mask in masks.items()
            for number in type_numbers((of,))
        )
        return (
            NO
            if there is NO
            else Part(f"case when {there.text} then true else false end", there.values)
        )

    def key_between(self, asked: KeyBetween) -> Part:
        v = within("x.v", asked.lo, asked.hi, self.dialect.mark)
        return self._set("index_key", both([*v, *masked("x", asked.w, asked.mask, self.dialect)]))

    def _set(self, table: str, row: Part) -> Part:
        """SQLite reads a set once; PostgreSQL's planner chooses by what its statistics say."""
        if self.dialect.postgresql:
            text = f"exists (select 1 from {table} x where x.rid = {self.rid} and {row.text})"
        else:
            text = f"{self.rid} in (select x.rid from {table} x where {row.text})"
        return Part(text, row.values)

    def word_starts(self, asked: WordStarts) -> Part:
        if not storable(asked.prefix):
            return NO
        mark = self.dialect.mark
        row = [member("x.param", (asked.param, *asked.also), self.dialect)]
        if prefix := asked.prefix[:LONGEST]:
            row.append(Part(f"x.word >= {mark}", (prefix,)))
            after = successor(prefix)
            row += [Part(f"x.word < {mark}", (after,))] if after is not None else []
        return self._set("index_string", both(row))

    def interval(self, asked: Interval) -> Part:
        mark = self.dialect.mark
        if asked.param is not None and asked.unit is not None:
            return self._quantity(asked)
        lo = (whole(asked.lo_from), whole(asked.lo_to))
        hi = (whole(asked.hi_from), whole(asked.hi_to))
        if asked.param is None:
            dated = Part("c.main_hi <> c.main_lo")  # (0, 0) is no date
            return both([*within(self.main, *lo, mark), *within("c.main_hi", *hi, mark), dated])
        row = [Part(f"x.param = {mark}", (asked.param,))]
        row += [*within("x.lo", *lo, mark), *within("x.hi", *hi, mark)]
        return self._set("index_date", both(row))

    def _quantity(self, asked: Interval) -> Part:
        mark = self.dialect.mark
        row = [Part(f"x.param = {mark}", (asked.param,))]
        if asked.unit != -1:
            row.append(Part(f"x.unit = {mark}", (asked.unit,)))
        for column, start, end in (
            ("x.lo", asked.lo_from, asked.lo_to),
            ("x.hi", asked.hi_from, asked.hi_to),
        ):
            row += within(
                column,
                None if start is None else float(start),
                None if end is None else float(end),
                mark,
            )
        return self._set("index_quantity", both(row))

    def updated(self, asked: UpdatedWithin) -> Part:
        times = within("u.updated", whole(asked.start), whole(asked.end), self.dialect.mark)
        if not times:
            return YES
        version = "u.rid = c.rid and u.seq = c.seq" if self.dialect.postgresql else "u.seq = c.seq"
        row = both([Part(version), *times])
        text = f"exists (select 1 from version u where {row.text}{self.dialect.fence})"
        return Part(text, row.values)

    def rid_in(self, asked: RidIn) -> Part:
        return member(self.rid, asked.rids, self.dialect)

    def all_of(self, asked: AllOf) -> Part:
        told = both(self.write(inner) for inner in asked.conditions)
        return told if told in (YES, NO) else Part(f"({told.text})", told.values)

    def any_of(self, asked: AnyOf) -> Part:
        """Key conditions of one list are one probe, however many they are, and so are bits."""
        keys = [c for c in asked.conditions if isinstance(c, KeyIs)]
        common = [key for key in keys if key.dominant]
        parts = [self._dominant(common)] if common else []
        parts += self._probes([key for key in keys if not key.dominant])
        parts += [self.write(c) for c in asked.conditions if not isinstance(c, KeyIs)]
        return either(parts)

    def _probes(self, keys: Sequence[KeyIs]) -> list[Part]:
        if len(keys) < 2:
            return [self.key_is(key) for key in keys]
        table = keys_table(keys, self.dialect)
        text = f"{table.text} {self.dialect.join} index_key x on x.v = a.v and (x.w & a.m) = a.w"
        there = f"x.main = {self.main} and x.rid = {self.rid}"
        exists = f"exists (select 1 from {text} where {there}{self.dialect.fence})"
        return [Part(exists, table.values)]

    def negated(self, asked: Not) -> Part:
        told = self.write(asked.condition)
        if told in (YES, NO):
            return NO if told is YES else YES
        return Part(f"not ({told.text})", told.values)


WRITERS: dict[type, Callable[[Writer, Any], Part]] = {
    KeyIs: Writer.key_is,
    KeyBetween: Writer.key_between,
    WordStarts: Writer.word_starts,
    Interval: Writer.interval,
    UpdatedWithin: Writer.updated,
    RidIn: Writer.rid_in,
    AllOf: Writer.all_of,
    AnyOf: Writer.any_of,
    Not: Writer.negated,
}
