"""reading — the newest versions, searches and finds on PostgreSQL: one statement each.

https://hl7.org/fhir/R4/http.html#read
https://hl7.org/fhir/R4/http.html#search
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any, TypeVar

from fhir_server.foundation.outcome import TooCostly
from fhir_server.foundation.resource import Key
from fhir_server.store.asking import Asking, awaited
from fhir_server.store.choosing import Choosing
from fhir_server.store.codec import Codec
from fhir_server.store.condition import behind_sql, keys_of, within_reach
from fhir_server.store.contract import (
    Beneath,
    KeyIs,
    Remembered,
    Restriction,
    Select,
    Stored,
    UriStarts,
    parse_version_id,
    rid,
)
from fhir_server.store.contract.watch import WATCH
from fhir_server.store.dialect import POSTGRESQL, Bigints
from fhir_server.store.gathering import Gathering
from fhir_server.store.named import marks, rank, those
from fhir_server.store.postgresql.connection import LONG, Pool, Row, rows
from fhir_server.store.row import by_patient, halves, stored
from fhir_server.store.select import (
    Bound,
    Driver,
    Sample,
    count_sql,
    counting,
    find_sql,
    sample_sql,
)
from fhir_server.store.select.meeting import meeting_sql
from fhir_server.store.select.weights import weights_of
from fhir_server.store.types import LEFT_NUMBER, NAMES

T = TypeVar("T")
COLUMNS = POSTGRESQL.columns
NEWEST = (
    f"select {COLUMNS}, p.main_lo, p.owner from current p"
    " join version v on v.rid = p.rid and v.seq = p.seq and v.num = p.num where p.rid "
)
ONE, MANY = f"{NEWEST}= %s", f"{NEWEST}= any(%s)"
AT_VERSION = (
    f"select {COLUMNS}, 0, p.owner from version v join current p on p.rid = v.rid"
    " where v.rid = %s and v.digest_hi = %s and v.digest_lo = %s and v.generation = %s"
    f" and v.method <> {LEFT_NUMBER}"
)
AT_VERSIONS = (
    f"select {COLUMNS}, 0, p.owner from version v join current p on p.rid = v.rid"
    " where v.rid = any(%s) and v.digest_hi = any(%s)"
    f" and v.method <> {LEFT_NUMBER}"
)
REACHES = 64  # of which those who ask together are known; care is told by the second
BASE = "(select base from epoch order by number desc limit 1)"


class Newest:
    """The rows of newest versions, for all who ask at one time in one question, if they reach the
    same."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._gathering: OrderedDict[Restriction, Gathering[tuple[int, ...], list[Row]]] = (
            OrderedDict()
        )

    async def reached(
        self, rids: tuple[int, ...], restriction: Restriction, types: Sequence[str] = ()
    ) -> list[Row]:
        """Those of them that the caller may reach. What is out of reach is no row: a body that came
        here to be passed over would tell by its size that it is there. Where it is known of which
        types they are, less is asked."""
        if not rids:
            return []
        reach = restriction.among(frozenset(types)) if types else restriction
        if WATCH.get() is not None:  # who watches is to see what is theirs alone
            return (await self._together(reach, [rids]))[0]
        return await self._of(reach).ask(rids)

    def _of(self, reach: Restriction) -> Gathering[tuple[int, ...], list[Row]]:
        found = self._gathering.get(reach)
        if found is None:
            together = partial(self._together, reach)
            found = Gathering(together, weight=len, most=500, under_way=2)
            self._gathering[reach] = found
            if len(self._gathering) > REACHES:
                self._gathering.popitem(last=False)
        return found

    async def _together(
        self, reach: Restriction, asked: Sequence[tuple[int, ...]]
    ) -> list[list[Row]]:
        wanted = tuple({number for rids in asked for number in rids})
        one = len(wanted) == 1
        text = ONE if one else MANY
        values: tuple[Any, ...] = wanted if one else (Bigints(wanted),)
        if not reach.is_free:
            within = within_reach(reach, "p", POSTGRESQL)
            text, values = f"{text} and {within.text}", (*values, *within.values)
        found = await rows(self._pool, text, values)
        if len(asked) == 1:
            return [found]
        by_rid = {row[0]: row for row in found}
        return [[by_rid[number] for number in rids if number in by_rid] for rids in asked]


async def newest(
    those: Newest, codec: Codec, keys: Sequence[Key], restriction: Restriction
) -> dict[Key, Stored]:
    """The newest version of each that exists, deletions included."""
    wanted = {rid(key): key for key in keys}
    found: dict[Key, Stored] = {}
    types = {key.type for key in keys}
    for row in await those.reached(tuple(wanted), restriction, tuple(types)):
        version = stored(row, codec, *row[12:14])
        # Two ids can share a number; the store holds the first of them only.
        if version.key == wanted[row[0]]:
            found[version.key] = version
    return found


async def by_rid(
    those: Newest, codec: Codec, rids: Sequence[int], restriction: Restriction
) -> list[Stored]:
    """The newest versions of these numbers, deletions left out."""
    return [
        stored(row, codec, *row[12:14])
        for row in await those.reached(tuple(dict.fromkeys(rids)), restriction)
        if row[11] is not None
    ]


async def at_version(
    pool: Pool, codec: Codec, key: Key, version_id: str, restriction: Restriction
) -> Stored | None:
    """The version an id names, if the resource ever had it."""
    if (named := parse_version_id(version_id)) is None:
        return None
    generation, digest = named
    within = within_reach(restriction, "p", POSTGRESQL, () if restriction.is_free else (key.type,))
    values = (rid(key), *halves(digest), generation, *within.values)
    found: Stored | None = None
    for row in await rows(pool, f"{AT_VERSION} and {within.text}", values):
        version = stored(row, codec, *row[12:])
        if version.key == key and (found is None or rank(version) > rank(found)):
            found = version
    return found


async def at_versions(
    pool: Pool, codec: Codec, wanted: Sequence[tuple[Key, str]], restriction: Restriction
) -> list[Stored]:
    """Those of these versions that there are, in no order."""
    rids, digests = marks(wanted)
    within = within_reach(restriction, "p", POSTGRESQL)
    values = (Bigints(rids), Bigints(digests), *within.values)
    return those(await rows(pool, f"{AT_VERSIONS} and {within.text}", values), codec, wanted)


def bound_of(snapshot: str, base: int) -> Bound:
    """`xmin:xmax:xip,...`: committed is what is under xmax and not among those in progress."""
    _, xmax, running = snapshot.split(":")
    return Bound(base + int(xmax), tuple(base + int(x) for x in running.split(",") if x))


async def find(pool: Pool, select: Select, at_most: int) -> tuple[int, ...]:
    """The rids that meet `select`, smallest first."""
    driver = await driver_of(pool, select)
    asked = find_sql(select, at_most=at_most, dialect=POSTGRESQL, driver=driver)
    found = await rows(pool, asked.text, asked.values, prepare=asked.prepare)
    return tuple(row[0] for row in found)


async def keys_behind(
    pool: Pool, condition: Beneath | UriStarts, restriction: Restriction, at_most: int
) -> tuple[KeyIs, ...] | None:
    """The keys of which one is met where `condition` is; None where they are more."""
    asked = behind_sql(condition, restriction, POSTGRESQL, at_most=at_most)
    return keys_of(await rows(pool, asked.text, asked.values), at_most)


async def few(pool: Pool, select: Select, at_most: int) -> tuple[int, ...] | None:
    """The rids that meet `select`, in no order; None where they are more than `at_most`."""
    return await _asked(pool, _choosing(pool).few(select, at_most))


async def meeting(pool: Pool, rids: Sequence[int], select: Select) -> tuple[int, ...]:
    """Those of these numbers that meet `select`, in no order."""
    asked = meeting_sql(select, rids, POSTGRESQL)
    found = await rows(pool, asked.text, asked.values, prepare=asked.prepare)
    return tuple(row[0] for row in found)


async def count(
    pool: Pool, select: Select, at_most: int | None, patience: float | None = None
) -> int:
    """How many meet `select`, counted no further than `at_most`."""
    driver = await driver_of(pool, select)
    asked = count_sql(select, at_most=at_most, dialect=POSTGRESQL, driver=driver)
    try:
        async with asyncio.timeout(patience):
            found = await rows(pool, asked.text, asked.values, prepare=asked.prepare)
    except TimeoutError:
        raise TooCostly(LONG) from None
    return int(found[0][0])


async def estimate(pool: Pool, select: Select) -> int:
    """About how many meet `select`: counted where they are few, else told from a sample."""
    counted = await count(pool, select, counting.EXACT + 1)
    if counted <= counting.EXACT:
        return counted
    every = Select(select.types, restriction=select.restriction)
    if counting.is_counted(select) or await count(pool, every, counting.FEW + 1) <= counting.FEW:
        return await count(pool, select, None)
    found = 0
    for at_most in counting.SAMPLES:
        asked = sample_sql(select, POSTGRESQL, at_most=at_most)
        sample = Sample(*(await rows(pool, asked.text, asked.values, prepare=False))[0])
        found = sample.scaled(at_most)
        if sample.is_enough(at_most):
            break
    return max(counted, found)


async def driver_of(pool: Pool, select: Select) -> Driver | None:
    return await _asked(pool, _choosing(pool).driver(select))


async def driver_of_page(pool: Pool, select: Select, met: int) -> Driver | None:
    return await _asked(pool, _choosing(pool).driver_of_page(select, met))


def _choosing(pool: Pool) -> Choosing:
    return Choosing(weights_of(pool), POSTGRESQL)


async def _asked(pool: Pool, asking: Asking[T]) -> T:
    return await awaited(
        asking, lambda asked: rows(pool, asked.text, asked.values, prepare=asked.prepare)
    )


async def remembered(pool: Pool, key: str) -> Remembered | None:
    found = await rows(pool, "select digest, answer from idempotency where key = %s", (key,))
    return Remembered(*found[0]) if found else None


async def cared_by(pool: Pool, patients: Sequence[int], moment: int) -> dict[int, frozenset[int]]:
    if not patients:
        return {}
    asked = "select patient, facility from care where patient = any(%s) and until > %s"
    return by_patient(patients, await rows(pool, asked, (Bigints(patients), moment)))


async def census(pool: Pool) -> dict[str, int]:
    """How many current resources there are of each type."""
    asked = "select type, count(*) from current where not deleted group by type order by type"
    return {NAMES[type - 1]: n for type, n in await rows(pool, asked, ())}
