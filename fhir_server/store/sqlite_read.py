"""sqlite_read — what is asked of a SQLite database about the newest versions.

https://hl7.org/fhir/R4/http.html#read
https://hl7.org/fhir/R4/http.html#search

Plain functions on a Reader, so that the same question is asked inline, in a thread when it turns
out long, or inside the write transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TypeVar

from fhir_server.foundation.resource import Key
from fhir_server.store.asking import Asking, answered
from fhir_server.store.choosing import Choosing
from fhir_server.store.codec import Codec
from fhir_server.store.condition import behind_sql, keys_of, within_reach
from fhir_server.store.contract import (
    AllOf,
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
from fhir_server.store.dialect import SQLITE
from fhir_server.store.named import marks, rank, those
from fhir_server.store.row import by_patient, halves, stored
from fhir_server.store.select import (
    Driver,
    Sample,
    count_sql,
    counting,
    find_sql,
    sample_sql,
)
from fhir_server.store.select.meeting import meeting_sql
from fhir_server.store.select.weights import weights_of
from fhir_server.store.sqlite_connection import Reader, Row
from fhir_server.store.types import LEFT_NUMBER, NAMES

T = TypeVar("T")
AT_ONCE = 500  # resources looked up by one statement
NEWEST = (
    f"SELECT {SQLITE.columns}, p.main_lo, p.owner"
    " FROM current p CROSS JOIN version v ON v.seq = p.seq"
)
AT_VERSION = (
    f"SELECT {SQLITE.columns}, 0, p.owner FROM version v CROSS JOIN current p ON p.rid = v.rid"
    " WHERE v.rid = ? AND v.digest_hi = ? AND v.digest_lo = ? AND v.generation = ?"
    f" AND v.method <> {LEFT_NUMBER}"
)
AT_VERSIONS = (
    f"SELECT {SQLITE.columns}, 0, p.owner FROM json_each(?) a"
    " CROSS JOIN version v ON v.rid = a.value CROSS JOIN current p ON p.rid = v.rid"
    " WHERE v.digest_hi IN (SELECT value FROM json_each(?))"
    f" AND v.method <> {LEFT_NUMBER}"
)


def newest(
    reader: Reader, codec: Codec, keys: Sequence[Key], restriction: Restriction
) -> dict[Key, Stored]:
    """The newest version of each that exists, deletions included."""
    wanted = {rid(key): key for key in keys}
    found: dict[Key, Stored] = {}
    types = {key.type for key in keys}
    for row in _newest_rows(reader, list(wanted), restriction, tuple(types)):
        version = stored(row, codec, *row[12:])
        # Two ids can share a number; the store holds the first of them only.
        if version.key == wanted[row[0]]:
            found[version.key] = version
    return found


def by_rid(
    reader: Reader, codec: Codec, rids: Sequence[int], restriction: Restriction
) -> list[Stored]:
    """The newest versions of these numbers, deletions left out."""
    return [
        stored(row, codec, *row[12:])
        for row in _newest_rows(reader, list(dict.fromkeys(rids)), restriction)
        if row[11] is not None
    ]


def _newest_rows(
    reader: Reader, rids: list[int], restriction: Restriction, types: Sequence[str] = ()
) -> Iterator[Row]:
    """What is out of reach is no row: it costs what an id costs that nothing has. Where it is known
    of which types they are, less is asked."""
    within = within_reach(restriction, "p", SQLITE, () if restriction.is_free else types)
    for start in range(0, len(rids), AT_ONCE):
        some = rids[start : start + AT_ONCE]
        asked = "= ?" if len(some) == 1 else f"IN ({','.join('?' * len(some))})"
        text = f"{NEWEST} WHERE p.rid {asked} AND {within.text}"
        yield from reader.rows(text, (*some, *within.values))


def at_version(
    reader: Reader, codec: Codec, key: Key, version_id: str, restriction: Restriction
) -> Stored | None:
    """The version an id names, if the resource ever had it."""
    if (named := parse_version_id(version_id)) is None:
        return None
    generation, digest = named
    within = within_reach(restriction, "p", SQLITE, () if restriction.is_free else (key.type,))
    values = (rid(key), *halves(digest), generation, *within.values)
    found: Stored | None = None
    for row in reader.rows(f"{AT_VERSION} AND {within.text}", values):
        version = stored(row, codec, *row[12:])
        if version.key == key and (found is None or rank(version) > rank(found)):
            found = version
    return found


def at_versions(
    reader: Reader, codec: Codec, wanted: Sequence[tuple[Key, str]], restriction: Restriction
) -> list[Stored]:
    """Those of these versions that there are, in no order."""
    rids, digests = marks(wanted)
    within = within_reach(restriction, "p", SQLITE)
    values = (json.dumps(rids), json.dumps(digests), *within.values)
    return those(reader.rows(f"{AT_VERSIONS} AND {within.text}", values), codec, wanted)


# --- search --------------------------------------------------------------------------------------


def find(reader: Reader, select: Select, at_most: int) -> tuple[int, ...]:
    """The rids that meet `select`, smallest first."""
    driver = driver_of(reader, select)
    asked = find_sql(select, at_most=at_most, dialect=SQLITE, driver=driver)
    return tuple(row[0] for row in reader.rows(asked.text, asked.values))


def keys_behind(
    reader: Reader, condition: Beneath | UriStarts, restriction: Restriction, at_most: int
) -> tuple[KeyIs, ...] | None:
    """The keys of which one is met where `condition` is; None where they are more."""
    asked = behind_sql(condition, restriction, SQLITE, at_most=at_most)
    return keys_of(reader.rows(asked.text, asked.values), at_most)


def few(reader: Reader, select: Select, at_most: int) -> tuple[int, ...] | None:
    """The rids that meet `select`, in no order; None where they are more than `at_most`."""
    return _asked(reader, _choosing(reader).few(select, at_most))


def meeting(reader: Reader, rids: Sequence[int], select: Select) -> tuple[int, ...]:
    """Those of these numbers that meet `select`, in no order."""
    asked = meeting_sql(select, rids, SQLITE)
    return tuple(row[0] for row in reader.rows(asked.text, asked.values))


def count(reader: Reader, select: Select, at_most: int | None) -> int:
    """How many meet `select`, counted no further than `at_most`."""
    if select.where == AllOf() and select.restriction.is_of_types:
        total = _tally(reader, select)
        return total if at_most is None else min(total, at_most)
    driver = driver_of(reader, select)
    asked = count_sql(select, at_most=at_most, dialect=SQLITE, driver=driver)
    return int(reader.rows(asked.text, asked.values)[0][0])


def driver_of(reader: Reader, select: Select) -> Driver | None:
    return _asked(reader, _choosing(reader).driver(select))


def driver_of_page(reader: Reader, select: Select, met: int) -> Driver | None:
    return _asked(reader, _choosing(reader).driver_of_page(select, met))


def _choosing(reader: Reader) -> Choosing:
    return Choosing(weights_of(reader), SQLITE)


def _asked(reader: Reader, asking: Asking[T]) -> T:
    return answered(asking, lambda asked: reader.rows(asked.text, asked.values))


def estimate(reader: Reader, select: Select) -> int:
    """About how many meet `select`: counted where they are few, else told from a sample."""
    counted = count(reader, select, counting.EXACT + 1)
    if counted <= counting.EXACT or (select.where == AllOf() and select.restriction.is_of_types):
        return count(reader, select, None)
    if counting.is_counted(select) or _tally(reader, select) <= counting.FEW:
        return count(reader, select, None)
    found = 0
    for at_most in counting.SAMPLES:
        asked = sample_sql(select, SQLITE, at_most=at_most)
        sample = Sample(*reader.rows(asked.text, asked.values)[0])
        found = sample.scaled(at_most)
        if sample.is_enough(at_most):
            break
    return max(counted, found)


def _tally(reader: Reader, select: Select) -> int:
    counted = census(reader)
    allowed = select.restriction.types
    types = set(select.types) or set(counted)
    return sum(n for t, n in counted.items() if t in types and (allowed is None or t in allowed))


# --- small things --------------------------------------------------------------------------------


def cared_by(reader: Reader, patients: Sequence[int], moment: int) -> dict[int, frozenset[int]]:
    asked = "SELECT patient, facility FROM care WHERE patient = ? AND until > ?"
    found = (row for patient in patients for row in reader.rows(asked, (patient, moment)))
    return by_patient(patients, found)


def census(reader: Reader) -> dict[str, int]:
    """How many current resources there are of each type."""
    rows = reader.rows("SELECT type, n FROM tally WHERE n > 0 ORDER BY type")
    return {NAMES[type - 1]: n for type, n in rows}


def remembered(reader: Reader, key: str) -> Remembered | None:
    row = reader.row("SELECT digest, answer FROM idempotency WHERE key = ?", (key,))
    return None if row is None else Remembered(*row)


def last_seq(reader: Reader) -> int:
    row = reader.row("SELECT max(seq) FROM version")
    return 0 if row is None or row[0] is None else int(row[0])
