"""growing — a log of a million versions, written behind the server's back in a minute or two.

https://hl7.org/fhir/R4/http.html#history

Observations of the patients who are there, one in ten changed once: rows as the store writes them,
with their names and bodies, and without index rows, which no log reads. The server must not be
running.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import psycopg

from bench.visits import PULSE, measured
from fhir_server.foundation.resource import Key
from fhir_server.store.codec import Codec, tail_of
from fhir_server.store.contract import parse_version_id, rid
from fhir_server.store.row import halves, id_of, packed_id
from fhir_server.store.types import METHOD_NUMBERS, NUMBERS
from fhir_server.sync.words.push import named

AT_ONCE = 500  # versions of one transaction
CHANGED = 10  # one in so many is a change of the one before
TYPE, PATIENT = NUMBERS["Observation"], NUMBERS["Patient"]
PUT = METHOD_NUMBERS["PUT"]
PATIENTS = (
    "select v.id from current c join version v on v.rid = c.rid and v.seq = c.seq"
    f" where c.type = {PATIENT}"
)
LAST = (
    "select max(coalesce((select max(seq) from version), 0),"
    " coalesce((select max(seq) from mark), 0))"
)
HERE = (
    "select (select base from epoch order by number desc limit 1)"
    " + pg_current_xact_id()::text::bigint"
)

Row = tuple[Any, ...]
Written = tuple[Row, Row]  # of version, of current; both without their place


def grow(url: str, versions: int) -> Sequence[int]:
    """Write so many versions more; the `seq` of each."""
    if url.startswith("sqlite:"):
        return _in_file(url.removeprefix("sqlite:///"), versions)
    return _in_server(url, versions)


def _written(patients: Sequence[str], versions: int) -> Iterator[Written]:
    codec, now = Codec(), int(time.time() * 1000)
    owners = [(one, rid(Key("Patient", one))) for one in patients]
    rev = ""
    for number in range(versions):
        is_change = number % CHANGED == CHANGED - 1
        id = f"long-{number - is_change}"
        patient, owner = owners[(number - is_change) % len(owners)]
        resource = measured(id, PULSE, 50 + number % 100) | {
            "subject": {"reference": f"Patient/{patient}"}, "effectiveDateTime": "2026-03-02",
        }  # fmt: skip
        key = Key("Observation", id)
        rev = named(key, (rev,) if is_change else (), resource)
        parsed = parse_version_id(rev)
        assert parsed is not None
        dictionary, body = codec.pack(tail_of(resource))
        kept = packed_id(id)
        version = (rid(key), now, *halves(parsed[1]), parsed[0], TYPE, dictionary, PUT, kept, body)
        yield version, (rid(key), owner, now, now, 0, TYPE)


def _in_file(path: str, versions: int) -> Sequence[int]:
    base = sqlite3.connect(path)
    base.execute("pragma synchronous = off")
    base.execute("pragma cache_size = -500000")
    patients = [id_of(id) for (id,) in base.execute(PATIENTS)]
    (last,) = base.execute(LAST).fetchone()
    for seq, (version, current) in enumerate(_written(patients, versions), last + 1):
        base.execute(
            "insert into version (seq, rid, updated, digest_hi, digest_lo, generation, type,"
            " dictionary, method, id, body) values (?,?,?,?,?,?,?,?,?,?,?)",
            (seq, *version),
        )
        base.execute(
            "insert or replace into current (seq, born, rid, owner, main_lo, main_hi, keys, type,"
            " deleted) values (?,?,?,?,?,?,?,?,0)",
            (seq, seq, *current),
        )
    base.commit()
    base.close()
    return range(last + 1, last + 1 + versions)


def _in_server(url: str, versions: int) -> Sequence[int]:
    places: list[int] = []
    with psycopg.connect(url, autocommit=True) as base:
        patients = [id_of(id) for (id,) in base.execute(PATIENTS)]
        rows = _written(patients, versions)
        while some := list(islice(rows, AT_ONCE)):
            with base.transaction():
                places += [_copied(base, some)] * len(some)
        base.execute("analyze")
    return places


def _copied(base: psycopg.Connection[Any], some: Sequence[Written]) -> int:
    found = base.execute(HERE).fetchone()
    assert found is not None
    with base.cursor().copy(
        "copy version (seq, num, rid, updated, digest_hi, digest_lo, generation, type, dictionary,"
        " method, id, body) from stdin"
    ) as copy:
        for num, (version, _) in enumerate(some):
            copy.write_row((found[0], num, *version))
    last = {current[0]: (num, current) for num, (_, current) in enumerate(some)}
    with base.cursor().copy(
        "copy current (seq, born, num, rid, owner, main_lo, main_hi, keys, type, deleted)"
        " from stdin"
    ) as copy:
        for num, current in last.values():
            copy.write_row((found[0], found[0], num, *current, False))
    return int(found[0])
