"""python -m bench.audit_report — how long `audit report` takes over many rows, and how much memory.

    python -m bench.audit_report [--databases sqlite,postgresql] [--entries 10000000]

The rows are made by the store's own code, in groups as a busy server's, of twenty clients: the one
that is reported has every twentieth entry, and the report of all has everything.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from bench.__main__ import database
from fhir_server.foundation.resource import Key
from fhir_server.security.audit.said import Said, entry
from fhir_server.store.audit import ENTRY, SUBJECT, Lane, Rows
from fhir_server.store.contract import rid
from fhir_server.store.contract.audit import Entry
from fhir_server.store.dialect import SQLITE
from fhir_server.store.schema import SQLITE as FILE
from fhir_server.store.schema import dialect_of, sqlite_path
from fhir_server.store.sqlite_connection import connect_writer
from fhir_server.store.sqlite_late import PLACED
from fhir_server.store.upkeep import postgresql
from fhir_server.store.upkeep.audit import insert

CLIENTS, USERS, PATIENTS = 20, 400, 100_000
GROUP = 16  # entries of one transaction
ROW = 5  # entries of one client, one after the other
POOL = 160_000  # different entries
PART = 25_000  # groups that are written together
BEGUN = 1_767_225_600_000  # the first of January 2026, in milliseconds
APART = 100  # milliseconds between two groups
REPORT = """
import sys
from pathlib import Path
from fhir_server.cli import main
sys.argv = ["fhir-server", *sys.argv[1:]]
try:
    main()
finally:
    status = Path("/proc/self/status").read_text()
    print(int(status.partition("RssAnon:")[2].split()[0]) // 1024, "MB", file=sys.stderr)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--entries", type=int, default=10_000_000)
    asked = parser.parse_args()
    for name in asked.databases.split(","):
        with database(name) as (url, _, size):
            start = time.perf_counter()
            fill(url, asked.entries)
            took = time.perf_counter() - start
            print(
                f"{name}: {asked.entries:,} entries, {size() / 1e9:.2f} GB, made in {took:.0f} s",
                flush=True,
            )
            for words in (("--client", "client-7"), ("--patient", "p77"), ()):
                told(url, words)


def told(url: str, words: tuple[str, ...]) -> None:
    """A report in a process of its own, as a person runs it."""
    command = [sys.executable, "-c", REPORT, "audit", "report", *words, "--database-url", url]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    took = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    head, memory = ran.stdout.splitlines()[0], ran.stderr.splitlines()[-1]
    print(
        f"  {' '.join(words) or 'of all':<22}{took:8.1f} s{cpu:8.1f} s of CPU {memory:>9}  {head}",
        flush=True,
    )


# --- making --------------------------------------------------------------------------------------


def fill(url: str, number: int) -> None:
    """Sayings come again after POOL entries; moments, seals and rows do not."""
    lane, pool = Lane.begun(), list(entries(min(number, POOL)))
    for first in range(0, number, GROUP * PART):
        every: list[Rows] = []
        for start in range(first, min(first + GROUP * PART, number), GROUP):
            at = BEGUN + start // GROUP * APART
            some = pool[start % POOL : start % POOL + GROUP]
            told, lane = lane.onward([Entry(at, one.subjects, one.body) for one in some])
            every.append(told)
        subjects = sorted(row for one in every for row in one.subjects)
        write(url, Rows([row for one in every for row in one.entries], subjects))


def entries(number: int) -> Iterator[Entry]:
    """Reads; every twentieth a search, every fiftieth of some fields, every hundredth refused."""
    like = Said(
        "read", 200, facility="bv-1", roles=("doctor",), purpose="TREAT", rules=("care",),
        address="10.1.2.3",
    )  # fmt: skip
    for n in range(number):
        whose = n * 7919 % PATIENTS
        some = range(whose, whose + (5 if n % 20 == 0 else 1))
        found = [(f"p{one % PATIENTS}", version_of(one)) for one in some]
        is_read, failed = len(found) == 1, n % 100 == 99
        url = f"/fhir/Patient/p{whose}" if is_read else f"/fhir/Patient?identifier={n}"
        told = msgspec.structs.replace(
            like,
            interaction="read" if is_read else "search-type",
            url=url if n % 50 else f"{url}&_elements=name",
            request=f"0192f3a4-7b6c-7def-8123-{n:012x}",
            client=f"client-{n // ROW % CLIENTS}",
            user=f"Practitioner/{n // ROW % USERS}",
            token=f"{n // ROW % 5000:032x}",
            resources=tuple(
                ("Patient", id, version, place) for place, (id, version) in enumerate(found, 1)
            ),
            patients=tuple(rid(Key("Patient", id)) for id, _ in found),
        )
        if failed:
            told = msgspec.structs.replace(
                told, status=404, code="not-found", resources=(), patients=()
            )
        yield entry(told, BEGUN)


def version_of(n: int) -> str:
    return f"1-{n % PATIENTS:026d}".translate(str.maketrans("0123456789", "abcdefghij"))


def write(url: str, rows: Rows) -> None:
    tables = (("audit", ENTRY, rows.entries), ("audit_subject", SUBJECT, rows.subjects))
    if dialect_of(url) == FILE:
        with closing(connect_writer(Path(sqlite_path(url)))) as file:
            file.execute("BEGIN IMMEDIATE")
            for table, columns, those in tables:
                file.executemany(insert(table, columns, SQLITE), those)
            file.execute(PLACED, rows.entries[-1][:2])
            file.execute("COMMIT")
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return
    with postgresql.connect(url) as connection, connection.cursor() as cursor:
        for table, columns, those in tables:
            with cursor.copy(f"copy {table} ({', '.join(columns)}) from stdin") as copy:
                for row in those:
                    copy.write_row(row)


if __name__ == "__main__":
    main()
