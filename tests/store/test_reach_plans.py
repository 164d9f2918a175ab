"""What others have costs a caller nothing: each kind of reach is read from an index of its own."""

from __future__ import annotations

from dataclasses import replace

import psycopg

from fhir_server.foundation.resource import Key
from fhir_server.store import choosing, sqlite_history
from fhir_server.store.contract import (
    FOREVER,
    AllOf,
    AnyOf,
    ByUpdated,
    Care,
    Ground,
    History,
    Restriction,
    Select,
    UpdatedWithin,
    rid,
)
from fhir_server.store.contract.reach import only
from fhir_server.store.contract.watch import watching
from fhir_server.store.postgresql import history as postgresql_history
from fhir_server.store.select import weighing
from tests.store.world import has, rows, unit, version

OTHERS, MINE = 12_000, 30
ME, ELSE = rid(Key("Patient", "me")), rid(Key("Patient", "else"))
HERE, THERE = rid(Key("Organization", "here")), rid(Key("Organization", "there"))
STEPS = 12  # of SQLite's machine, for a row it looks at
READ = 700  # rows, for a page of MINE and what each is asked

SELECTS = {
    "one patient's": Select(("Observation",), AllOf(), restriction=only(owners=frozenset({ME}))),
    "one patient's with a common code": Select(
        ("Observation",), has("x"), restriction=only(owners=frozenset({ME}))
    ),
    "one patient's of several types": Select(
        ("Observation", "Encounter"), AllOf(), restriction=only(owners=frozenset({ME}))
    ),
    "one patient's of every type": Select((), AllOf(), restriction=only(owners=frozenset({ME}))),
    "one patient's, beside a directory of other types": Select(
        ("Observation",),
        has("x"),
        restriction=Restriction(
            (
                Ground(owners=frozenset({ME})),
                Ground(types=frozenset({"Organization"}), owners=frozenset({0})),
            )
        ),
    ),
    "a facility's own": Select(
        ("Observation",), AllOf(), restriction=Restriction((Ground(facility=HERE),))
    ),
    "in a facility's care": Select(
        ("Observation",), AllOf(), restriction=Restriction((Ground(in_care_of=(HERE, 1)),))
    ),
    "in its care with a common code": Select(
        ("Observation",), has("x"), restriction=Restriction((Ground(in_care_of=(HERE, 1)),))
    ),
    "in its care or its own": Select(
        ("Observation",),
        AllOf(),
        restriction=Restriction((Ground(in_care_of=(HERE, 1)), Ground(facility=HERE))),
    ),
    "in its care or its own with one of several common codes": Select(
        ("Observation",),
        AnyOf((has("x"), has("y"))),
        restriction=Restriction((Ground(in_care_of=(HERE, 1)), Ground(facility=HERE))),
    ),
    "in its care or its own, of several types": Select(
        ("Observation", "Encounter"),
        AllOf(),
        restriction=Restriction(
            (Ground(in_care_of=(HERE, 1), barred=frozenset({9})), Ground(facility=HERE))
        ),
    ),
    "in its care, whom it meets by a scope": Select(
        ("Observation",),
        AllOf(),
        restriction=Restriction(
            (Ground(frozenset({"Observation"}), in_care_of=(HERE, 1), where=has("x")),)
        ),
    ),
    "a facility's own since a moment": Select(
        ("Observation",), UpdatedWithin(1, None), restriction=Restriction((Ground(facility=HERE),))
    ),
}

PASTS = [
    (("Observation",), only(owners=frozenset({ME}))),
    (("Observation",), Restriction((Ground(in_care_of=(HERE, 1)), Ground(facility=HERE)))),
    ((), Restriction((Ground(in_care_of=(HERE, 1)), Ground(facility=HERE)))),
    (
        (),
        Restriction(
            (
                Ground(in_care_of=(HERE, 1)),
                Ground(types=frozenset({"Organization"}), owners=frozenset({0})),
            )
        ),
    ),
]


def made(number, owner, facility):
    """An Observation of a patient, by a facility, the later the greater its number."""
    new = version(f"Observation/{owner % 1000}-{number}", rows=rows("x", day=number, owner=owner))
    return replace(new, facility=facility)


async def crowd(store, clock):
    """A few resources of one patient and facility, older than thousands of others."""
    me = version("Patient/me", rows=rows(owner=ME))
    await store.commit(unit(replace(me, cares=(Care(ME, ME, HERE, FOREVER),))))
    await store.commit(unit(*(made(n + 1, ME, HERE) for n in range(MINE))))
    for start in range(100, OTHERS, 200):
        clock.now += 1
        await store.commit(unit(*(made(n, ELSE, THERE) for n in range(start, start + 200))))


def statements(steps):
    return [statement for step in steps for statement in step.statements]


def rows_read(statement):
    return (statement.work or 0) / STEPS if statement.read is None else statement.read


def test_a_page_a_count_and_a_find_read_little_more_than_is_theirs(
    store, database, run, clock, monkeypatch
):
    """But for what is counted once a minute, to know whether a key is rare."""
    for module in (weighing, choosing):
        monkeypatch.setattr(module, "WEIGHED_UP_TO", 100)

    async def asked(select):
        with watching() as watch:
            page = await store.search(select, limit=MINE + 2)
            count = await store.count(select)
            found = await store.find(select, at_most=MINE + 2)
            few = await store.few(select, at_most=MINE + 2)
            latest = await store.search(select, limit=MINE + 2, order=ByUpdated(True))
        assert sorted(few) == list(found)
        if select.restriction.grounds[0].in_care_of:
            assert len(latest.rows) == len(page.rows)
        else:
            watch.steps[-1].statements.pop()
        return page, count, found, watch.steps

    run(crowd(store, clock))
    if database.url.startswith("postgresql"):
        with psycopg.connect(database.url, autocommit=True) as connection:
            connection.execute("vacuum analyze")

    async def past(types, restriction):
        with watching() as watch:
            page = await store.history(History(types=types, restriction=restriction))
        return page.rows, watch.steps

    monkeypatch.setattr(sqlite_history, "REACH", 100)
    monkeypatch.setattr(postgresql_history, "REACH", 100)
    for types, restriction in PASTS:
        versions, steps = run(past(types, restriction))
        assert MINE <= len(versions) <= MINE + 1
        for statement in statements(steps):
            assert rows_read(statement) < READ, statement
    for name, select in SELECTS.items():
        page, count, found, steps = run(asked(select))
        assert len(page.rows) == count == len(found) >= MINE, name
        for statement in statements(steps):
            assert rows_read(statement) < READ, f"{name}: {statement}"
