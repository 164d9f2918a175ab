"""sqlite_history — the versions that were, by resource, by type, and in the order they came.

https://hl7.org/fhir/R4/http.html#history

The one writer's counter is the order of everything, and `updated` never decreases with it: a
moment is found by bisection, and every page is a range of the primary key.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fhir_server.foundation.outcome import Invalid
from fhir_server.store.asking import answered
from fhir_server.store.choosing import Choosing
from fhir_server.store.codec import Codec
from fhir_server.store.condition import within_reach
from fhir_server.store.contract import (
    EpochEnded,
    Feed,
    Ground,
    History,
    Page,
    Restriction,
    Stored,
    rid,
)
from fhir_server.store.dialect import OWNER, SQLITE
from fhir_server.store.row import packed_id, stored
from fhir_server.store.select.reached import those
from fhir_server.store.select.weighing import REACH, reaches_few
from fhir_server.store.select.weights import weights_of
from fhir_server.store.sqlite_connection import Reader, Row
from fhir_server.store.sqlite_read import last_seq
from fhir_server.store.types import LEFT_NUMBER, type_numbers

FEW_TYPES = 12  # so many are read each from its own index; more by reading everything
DAMAGED = "The page's cursor is damaged: start again from the first page."
UNKNOWN = "The feed's cursor is not one this server gave: leave it out to start again."


class Part(NamedTuple):
    """A piece of SQL and the values of its marks, in order."""

    text: str
    values: tuple[object, ...] = ()


VERSIONS = Part("version v")


def history(reader: Reader, codec: Codec, asked: History) -> Page:
    """A page of versions, newest first unless `ascending`."""
    with reader.snapshot():
        last = last_seq(reader)
        bound = last if asked.bound is None else _number(asked.bound, DAMAGED)
        rows = _found(reader, asked, _asked(reader, asked, bound))
    page = [stored(row, codec, owner=row[12]) for row in rows[: asked.limit]]
    return Page(page, len(rows) > asked.limit, str(bound))


BEFORE = (
    f"SELECT {SQLITE.columns} FROM version v WHERE v.rid = ? AND v.seq < ?"
    f" AND v.method <> {LEFT_NUMBER} ORDER BY v.seq DESC LIMIT 1"
)


def before(reader: Reader, codec: Codec, versions: Sequence[Stored]) -> list[Stored]:
    """The row before each."""
    asked = ((rid(one.key), one.position.seq) for one in versions)
    return [stored(row, codec) for one in asked for row in reader.rows(BEFORE, one)]


def count_history(reader: Reader, asked: History) -> int:
    """How many versions all pages hold together."""
    with reader.snapshot():
        bound = last_seq(reader) if asked.bound is None else _number(asked.bound, DAMAGED)
        total = 0
        where = [*_asked(reader, asked, bound), *_reached(asked.restriction, asked.types)]
        for part in _sources(asked, where):
            row = reader.row(f"SELECT count(*) FROM version v WHERE {part.text}", part.values)
            total += row[0] if row else 0
    return total


def _found(reader: Reader, asked: History, where: list[Part]) -> list[Row]:
    """Rows of a page, and one more if there is. Who reaches little is told what is near, or else
    what is theirs, however much others have."""
    within = [*where, *_reached(asked.restriction, asked.types)]
    grounds: tuple[Ground, ...] = ()
    if asked.key is None and not reaches_few(asked.types, asked.restriction):
        choosing = Choosing(weights_of(reader), SQLITE).past(asked.types, asked.restriction)
        grounds = answered(choosing, lambda told: reader.rows(told.text, told.values))
    if not grounds:
        return reader.rows(*_page(asked, within))
    rows = reader.rows(*_page(asked, [*within, _near(asked, where)]))
    if len(rows) > asked.limit:
        return rows
    found = those(asked.types, grounds, SQLITE)
    source = Part(f"{found.text} CROSS JOIN version v", found.values)
    return reader.rows(*_page(asked, [Part("v.rid = k.rid"), *within], source))


def _near(asked: History, where: list[Part]) -> Part:
    """No further than REACH versions of the type, or of all."""
    where = _beyond(asked, where)
    if len(types := _types(asked) or ()) == 1:
        where = [Part("v.type = ?", types), *where]
    all_of, (order, edge) = _both(where), ("ASC", "max") if asked.ascending else ("DESC", "min")
    near = f"SELECT v.seq FROM version v WHERE {all_of.text} ORDER BY v.seq {order} LIMIT {REACH:d}"
    sign = "<=" if asked.ascending else ">="
    return Part(f"v.seq {sign} (SELECT {edge}(n.seq) FROM ({near}) n)", all_of.values)


def _beyond(asked: History, where: list[Part]) -> list[Part]:
    if asked.after is None:
        return where
    return [*where, Part(f"v.seq {'>' if asked.ascending else '<'} ?", (asked.after.seq,))]


def _page(
    asked: History, where: list[Part], source: Part = VERSIONS
) -> tuple[str, tuple[object, ...]]:
    order = "ASC" if asked.ascending else "DESC"
    sources = _sources(asked, _beyond(asked, where), of_resources=source != VERSIONS)
    ending = f"ORDER BY v.seq {order} LIMIT {asked.limit + 1:d}"
    pages = [
        f"SELECT * FROM (SELECT v.seq FROM {source.text} WHERE {s.text} {ending})" for s in sources
    ]
    text = (
        f"SELECT {SQLITE.columns}, {OWNER} FROM ({' UNION ALL '.join(pages)}) p"
        f" CROSS JOIN version v ON v.seq = p.seq {ending}"
    )
    return text, tuple(value for s in sources for value in (*source.values, *s.values))


def _sources(asked: History, where: list[Part], *, of_resources: bool = False) -> list[Part]:
    """One range each, already in order: of the resource, of each type, or of everything.
    of_resources: of those that are named."""
    if asked.key is not None:
        return [_both([Part("v.rid = ?", (rid(asked.key),)), *where])]
    types = _types(asked)
    if types is None:
        return [_both(where or [Part("true")])]
    of_resources = of_resources or reaches_few(asked.types, asked.restriction)
    if len(types) <= FEW_TYPES and not of_resources:
        each = [Part("v.type = ?", (number,)) for number in types or (0,)]
    else:
        # `+` keeps SQLite from the type's index: many types are nearly everything, and what few
        # patients have is found by them.
        each = [Part("+v.type IN (SELECT value FROM json_each(?))", (json.dumps(types),))]
    return [_both([one, *where]) for one in each]


def _types(asked: History) -> tuple[int, ...] | None:
    """The numbers of the types asked for and allowed; None: every type."""
    allowed = asked.restriction.types
    if allowed is None:
        return type_numbers(asked.types) if asked.types else None
    return type_numbers(allowed & frozenset(asked.types) if asked.types else allowed)


def _asked(reader: Reader, asked: History, bound: int) -> list[Part]:
    """What a version must be, as ranges of seq where it can be one."""
    where = [Part("v.seq <= ?", (bound,)), Part(f"v.method <> {LEFT_NUMBER}")]
    if asked.since is not None:
        where.append(Part("v.seq >= ?", (seq_at(reader, asked.since),)))
    if asked.at is not None:
        low, high = asked.at
        where.append(Part("v.seq < ?", (seq_at(reader, high),)))
        replaced = (
            "NOT EXISTS (SELECT 1 FROM version n WHERE n.rid = v.rid AND n.seq > v.seq"
            " AND (n.updated <= ? OR n.updated = v.updated))"
        )
        where.append(Part(replaced, (low,)))
    if asked.key is not None:
        where.append(Part("v.id = ?", (packed_id(asked.key.id),)))
    return where


def _reached(restriction: Restriction, types: Sequence[str]) -> list[Part]:
    """What the caller may reach is told by the newest version."""
    if restriction.is_free:
        return []
    within = within_reach(restriction, "c", SQLITE, types)
    if reaches_few(types, restriction):
        text = f"v.rid IN (SELECT c.rid FROM current c WHERE {within.text})"
        return [Part(text, within.values)]
    text = f"EXISTS (SELECT 1 FROM current c WHERE c.rid = v.rid AND {within.text})"
    return [Part(text, within.values)]


def _both(parts: list[Part]) -> Part:
    return Part(
        " AND ".join(part.text for part in parts),
        tuple(value for part in parts for value in part.values),
    )


def seq_at(reader: Reader, moment: int) -> int:
    """The first seq whose version is not before the moment; one past the last if there is none."""
    low, high = 0, last_seq(reader) + 1
    while low < high:
        middle = (low + high) // 2
        row = _first_from(reader, middle)
        if row is None or row[1] >= moment:
            high = middle
        else:
            low = row[0] + 1
    row = _first_from(reader, low)
    return low if row is None else int(row[0])


def _first_from(reader: Reader, seq: int) -> Row | None:
    asked = "SELECT seq, updated FROM version WHERE seq >= ? ORDER BY seq LIMIT 1"
    return reader.row(asked, (seq,))


def _number(text: str, complaint: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 19 or int(text) >= 2**63:
        raise Invalid(complaint)
    return int(text)


# --- the change log ------------------------------------------------------------------------------


def feed(
    reader: Reader,
    codec: Codec,
    cursor: str | None,
    types: Iterable[str],
    restriction: Restriction,
    limit: int,
) -> Feed:
    """Versions after the cursor, oldest first. The cursor is `<epoch>.<mark>.<seq>`."""
    wanted = tuple(types)
    with reader.snapshot():
        number, mark, _ = epochs(reader)[-1]
        last = last_seq(reader)
        after = 0 if cursor is None else position(reader, cursor)
        where = [Part("v.seq > ? AND v.seq <= ?", (after, last))]
        if wanted:
            numbers = json.dumps(type_numbers(wanted))
            where.append(Part("+v.type IN (SELECT value FROM json_each(?))", (numbers,)))
        source = _both(where + _reached(restriction, wanted))
        text = f"SELECT {SQLITE.columns} FROM version v WHERE {source.text} ORDER BY v.seq LIMIT ?"
        rows = reader.rows(text, (*source.values, limit))
    reached = rows[-1][1] if len(rows) == limit and rows else last
    return Feed([stored(row, codec) for row in rows], f"{number}.{mark}.{reached}")


def epochs(reader: Reader) -> list[Row]:
    """(number, mark, start) of each history this database has had, oldest first."""
    return reader.rows("SELECT number, mark, start FROM epoch ORDER BY number") or [(0, 0, 0)]


def position(reader: Reader, cursor: str) -> int:
    """The seq a cursor stands at. Raises EpochEnded where what it saw may not be here."""
    parts = cursor.split(".")
    if len(parts) != 3:
        raise Invalid(UNKNOWN)
    number, mark, seq = (_number(part, UNKNOWN) for part in parts)
    known = epochs(reader)
    for i, epoch in enumerate(known):
        if epoch[:2] == (number, mark):
            end = known[i + 1][2] if i + 1 < len(known) else last_seq(reader)
            if seq <= end:
                return seq
            break
    raise EpochEnded
