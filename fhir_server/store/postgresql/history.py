"""history — the versions that were, newest first, and the change log, oldest first.

https://hl7.org/fhir/R4/http.html#history

A version's place is (base + transaction id, number in the transaction). A follower of the change
log stops before the oldest transaction still open: nothing can appear behind its cursor. The
history of one type is in the order of time, then of places; a transaction is all of one time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fhir_server.foundation.outcome import Invalid
from fhir_server.store.asking import awaited
from fhir_server.store.choosing import Choosing
from fhir_server.store.codec import Codec
from fhir_server.store.condition import NO, Part, both, member, within_reach
from fhir_server.store.contract import (
    EpochEnded,
    Feed,
    Ground,
    History,
    Page,
    Position,
    Restriction,
    Stored,
    rid,
)
from fhir_server.store.dialect import OWNER, POSTGRESQL, Bigints
from fhir_server.store.postgresql.connection import Pool, Row, rows
from fhir_server.store.postgresql.reading import BASE, COLUMNS, bound_of
from fhir_server.store.row import packed_id, stored
from fhir_server.store.select import Bound, unseen
from fhir_server.store.select.reached import those
from fhir_server.store.select.weighing import REACH, reaches_few
from fhir_server.store.select.weights import weights_of
from fhir_server.store.types import LEFT_NUMBER, type_numbers

VERSIONS = Part("version v")
REPLACED = (
    "not exists (select 1 from version n where n.rid = v.rid and (n.seq, n.num) > (v.seq, v.num)"
    " and (n.updated <= %s or n.updated = v.updated))"
)
FOREIGN = "`cursor` is not one this server gave. Leave it out to start again."


async def history(pool: Pool, codec: Codec, asked: History) -> Page:
    """A page of versions, newest first unless `ascending`."""
    pin = None if asked.bound is None else Bound.parse(asked.bound)
    found = await _found(pool, asked, _asked(asked, pin))
    if pin is None and found:
        pin = bound_of(found[0][12], found[0][13])
    page = [stored(row, codec, owner=row[14]) for row in found[: asked.limit]]
    return Page(page, len(found) > asked.limit, "0" if pin is None else str(pin))


async def _found(pool: Pool, asked: History, where: list[Part]) -> list[Row]:
    """Rows of a page, and one more if there is. Who reaches little is told what is near, or else
    what is theirs, however much others have."""
    within = [*where, *_reached(asked.restriction, asked.types)]
    grounds: tuple[Ground, ...] = ()
    if asked.key is None and not reaches_few(asked.types, asked.restriction):
        choosing = Choosing(weights_of(pool), POSTGRESQL).past(asked.types, asked.restriction)
        grounds = await awaited(choosing, lambda told: rows(pool, told.text, told.values))
    if not grounds:
        return await _page(pool, asked, within)
    found = await _page(pool, asked, within, _near(asked, where))
    if len(found) > asked.limit:
        return found
    theirs = those(asked.types, grounds, POSTGRESQL)
    one = "cross join lateral (select * from version x where x.rid = k.rid offset 0) v"
    return await _page(pool, asked, within, Part(f"{theirs.text} {one}", theirs.values))


async def _page(
    pool: Pool, asked: History, where: list[Part], source: Part = VERSIONS
) -> list[Row]:
    told = both([*where, *_beyond(asked)])
    text = (
        f"select {COLUMNS}, pg_current_snapshot()::text, {BASE}, {OWNER} from {source.text}"
        f" where {told.text} order by {_order(asked)} limit {asked.limit + 1:d}"
    )
    return await rows(pool, text, source.values + told.values, prepare=_alike(asked))


def _near(asked: History, where: list[Part]) -> Part:
    """The next REACH versions of these types."""
    told, order = both([*where, *_beyond(asked)]), _order(asked)
    text = f"(select * from version v where {told.text} order by {order} limit {REACH:d}) v"
    return Part(text, told.values)


def _order(asked: History) -> str:
    way = "asc" if asked.ascending else "desc"
    return ", ".join(f"{column} {way}" for column in _place(asked))


def _place(asked: History) -> tuple[str, ...]:
    return ("v.updated", "v.seq", "v.num") if _by_time(asked) else ("v.seq", "v.num")


def _beyond(asked: History) -> list[Part]:
    if asked.after is None:
        return []
    sign, after = ">" if asked.ascending else "<", "%s, %s"
    if _by_time(asked):
        after = f"(select w.updated from version w where w.seq = %s limit 1), {after}"
    values = (asked.after.seq, *asked.after)[-after.count("%s") :]
    return [Part(f"({', '.join(_place(asked))}) {sign} ({after})", values)]


async def count_history(pool: Pool, asked: History) -> int:
    """How many versions all pages hold together."""
    pin = None if asked.bound is None else Bound.parse(asked.bound)
    told = both([*_asked(asked, pin), *_reached(asked.restriction, asked.types)])
    text = f"select count(*) from version v where {told.text}"
    return int((await rows(pool, text, told.values, prepare=_alike(asked)))[0][0])


BEFORE = (
    f"select {COLUMNS} from unnest(%s, %s, %s) k(rid, seq, num) cross join lateral (select *"
    " from version x where x.rid = k.rid and (x.seq, x.num) < (k.seq, k.num)"
    f" and x.method <> {LEFT_NUMBER} order by x.seq desc, x.num desc limit 1) v"
)


async def before(pool: Pool, codec: Codec, versions: Sequence[Stored]) -> list[Stored]:
    """The row before each."""
    if not versions:
        return []
    asked = [(rid(one.key), *one.position) for one in versions]
    values = [Bigints(column) for column in zip(*asked, strict=True)]
    return [stored(row, codec) for row in await rows(pool, BEFORE, values)]


def _by_time(asked: History) -> bool:
    """The versions of one type are kept in the order of time; those of several are not."""
    return asked.key is None and len(frozenset(asked.types)) == 1


def _alike(asked: History) -> bool:
    """One plan serves every resource, but not every type: a rare one is read from its index."""
    return asked.key is not None or not (asked.types or asked.restriction.types)


def _asked(asked: History, pin: Bound | None) -> list[Part]:
    """What a version must be."""
    where = [Part(f"v.method <> {LEFT_NUMBER}"), *_of(asked)]
    if pin is not None:
        later = unseen(pin, "v", POSTGRESQL)
        where.append(Part(f"not ({later.text})", later.values))
    if asked.since is not None:
        where.append(Part("v.updated >= %s", (asked.since,)))
    if asked.at is not None:
        low, high = asked.at
        where.append(Part("v.updated < %s", (high,)))
        where.append(Part(REPLACED, (low,)))
    return where


def _reached(restriction: Restriction, types: Sequence[str]) -> list[Part]:
    """What the caller may reach is told by the newest version."""
    if restriction.is_free:
        return []
    within = within_reach(restriction, "c", POSTGRESQL, types)
    if reaches_few(types, restriction):  # as an array: their number is known to be small
        text = f"v.rid = any(array(select c.rid from current c where {within.text}))"
        return [Part(text, within.values)]
    text = f"exists (select 1 from current c where c.rid = v.rid and {within.text})"
    return [Part(text, within.values)]


def _of(asked: History) -> list[Part]:
    """Of which resource, or of which types."""
    allowed = asked.restriction.types
    if asked.key is not None:
        if allowed is not None and asked.key.type not in allowed:
            return [NO]
        return [Part("v.rid = %s and v.id = %s", (rid(asked.key), packed_id(asked.key.id)))]
    types = frozenset(asked.types)
    if allowed is not None:
        types = types & allowed if types else allowed
    elif not types:
        return []
    return [member("v.type", type_numbers(types), POSTGRESQL)]


# --- the change log ------------------------------------------------------------------------------

EPOCHS = "select number, mark, start, base from epoch order by number"
AFTER = (
    f"select {COLUMNS} from version v where (v.seq, v.num) > (%s, %s)"
    f" and v.seq < {BASE} + pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
)
ORDER = " order by v.seq, v.num limit {limit:d}"
END = (
    f"select v.seq, v.num from version v where v.seq < {BASE}"
    " + pg_snapshot_xmin(pg_current_snapshot())::text::bigint order by v.seq desc, v.num desc"
    " limit 1"
)


async def feed(
    pool: Pool,
    codec: Codec,
    cursor: str | None,
    types: Iterable[str],
    restriction: Restriction,
    limit: int,
) -> Feed:
    """Versions after the cursor, oldest first. The cursor is `<epoch>.<mark>.<seq>.<num>`."""
    epochs = await rows(pool, EPOCHS, ())
    number, mark = epochs[-1][:2]
    after = Position(0, -1) if cursor is None else position(cursor, epochs)
    wanted = tuple(types)
    asked = [member("v.type", type_numbers(wanted), POSTGRESQL)] if wanted else []
    end = Position(0, -1)
    if wanted or not restriction.is_free:  # what is passed over now is not looked at again
        end = Position(*(await rows(pool, END, ()) or [end])[0])
    told = both(asked + _reached(restriction, wanted))
    text = f"{AFTER} and {told.text}{ORDER.format(limit=limit)}"
    found = await rows(pool, text, (*after, *told.values), prepare=not wanted)
    page = [stored(row, codec) for row in found]
    reached = page[-1].position if page else after
    if len(page) < limit:
        reached = max(reached, end)
    return Feed(page, f"{number}.{mark}.{reached.seq}.{reached.num + 1}")


def position(cursor: str, epochs: Sequence[Row]) -> Position:
    """The position a cursor stands at. Raises EpochEnded where what it saw may not be here."""
    parts = cursor.split(".")
    if len(parts) != 4 or not all(p.isascii() and p.isdecimal() and len(p) < 20 for p in parts):
        raise Invalid(FOREIGN)
    number, mark, seq, num = map(int, parts)
    if seq >= 2**62 or num >= 2**31:
        raise Invalid(FOREIGN)
    for i, epoch in enumerate(epochs):
        if tuple(epoch[:2]) == (number, mark):
            if i + 1 == len(epochs) or seq <= epochs[i + 1][2]:
                return Position(seq, num - 1)
            break
    raise EpochEnded
