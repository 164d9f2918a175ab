"""Every shape of W3 is answered from an index, and reads little more than it returns.

https://hl7.org/fhir/R4/search.html

Each is asked of 16,000 patients with all their visits, a quarter of a million resources, and its
statements are watched: no large table may be read from end to end, and what is read is counted.
"""

from __future__ import annotations

import asyncio
import gc
import re
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import psycopg
import pytest

from bench.search import filling
from bench.search.facts import Facts
from bench.search.shapes import SHAPES, Sample, some
from fhir_server.foundation.resource import Key
from fhir_server.interaction import search
from fhir_server.interaction.context import BY_OPERATOR
from fhir_server.server import build
from fhir_server.settings import Settings
from fhir_server.store.contract.watch import watching
from fhir_server.store.migrate import migrate
from fhir_server.store.select.weighing import RARE, REACH
from tests import postgresql
from tests.conftest import DATABASES

PATIENTS = 16_000
QUESTIONS = 3  # of each shape
# What a statement may read: so much to find its way, and so much for each row of its answer.
AT_LEAST, EACH = 400, 12
STEPS = 12  # of SQLite's machine, for a row it looks at
# at a resource that is gathered by a word: in the index, in a set, in `current`, and to sort it
LOOKS = 6

# Whole tables that may be read: they have a row a type, an epoch, a parameter.
SMALL = r"(?:epoch|tally|setting|parameter|idempotency)"
# SQLite tells a table by its alias in the statement: these stand for tables, the others for lists.
WHOLE = re.compile(
    rf"Seq Scan of (?!{SMALL}\b)|^SCAN (?:version|current|moved|uri|index_\w+|[cvxsm])\b"
)
FIRST = f"limit {REACH}) c"  # the first of a walk, as a list that is gone through
# These read more to find their way: they count, gather a few thousand at most before they walk
# instead, or look through all words; the last was filled in units of 500 of one time.
READ_MORE = {
    "Patient?family": LOOKS * RARE,
    "Patient?family&birthdate": 3_000,
    "Patient?name (a beginning)": 2 * LOOKS * RARE,  # after a walk in vain
    "Patient?name (two words)": 10_000,
    "Patient?name (last, first)": 10_000,
    "Patient?name:contains": 2 * LOOKS * RARE,
    "Patient?address": 20_000,
    "Patient?gender&_total=accurate": PATIENTS * 3 // 2,
    "Patient?_has:Encounter:patient:reason-code": 60_000,  # the young, who come first, have none
    "Encounter?patient.family": 15_000,
    "Encounter?service-provider&date (month)&_total": 2_500,
    "Encounter?class&date (month)": 2_500,
    "MedicationRequest?encounter.class (IMP)": 3_000,
    "MedicationRequest?code&authoredon (month)": 1_000,
    "_sort=-_lastUpdated": 3_000,
}
NOT_SEARCHES = ("Patient by id", "Patient, a version", "the 50th page")
ASKED = [shape for shape in SHAPES if shape.name not in NOT_SEARCHES]


@contextmanager
def province(database):
    """A server on a filled database, and what is in it. Filling takes a minute, so that
    everything that is asked of it is one test."""
    with _database(database) as url, asyncio.Runner() as runner:
        server = build(replace(Settings(), database_url=url, secret="plans" * 8, profiles="off"))
        facts, there = Facts(), set[Key]()
        runner.run(server.store.open())
        try:
            with _uncollected():
                runner.run(filling.facilities(server, facts))
                records = filling.generated(PATIENTS, 1, history=False)
                runner.run(filling.fill(server, records, facts, there))
            if database == "postgresql":
                with psycopg.connect(url, autocommit=True) as connection:
                    connection.execute("vacuum analyze")
            yield runner, server, Sample(facts, 11)
        finally:
            runner.run(server.store.close())


@contextmanager
def _uncollected():
    """What is filled stays, so looking through it for garbage takes a third of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def _database(name):
    if name == "postgresql":
        try:
            postgresql.server()
        except postgresql.Absent as absent:
            pytest.skip(str(absent))
        with postgresql.database() as url:
            yield url
        return
    with tempfile.TemporaryDirectory(prefix="fhir-plans-") as folder:
        url = f"sqlite:///{folder}/fhir.db"
        migrate(url)
        yield url


def complaints(runner, server, shape, question):
    """What is wrong with how a question is answered."""
    parts = urlsplit(question.path)
    ask = search.Ask((parts.path.rpartition("/")[2],), parse_qsl(parts.query))

    async def asked():
        with watching() as watch:
            await search.search(server, ask, BY_OPERATOR)
        return watch.steps

    for step in runner.run(asked()):
        for statement in step.statements:
            told = f"{question.path}\n{step.name}: {statement.text}\n{statement.uses}"
            known = {"SCAN c"} if FIRST in statement.text else set()
            if any(WHOLE.search(use) for use in statement.uses if use not in known):
                yield f"a table read from end to end: {told}"
            read = (statement.work or 0) / STEPS if statement.read is None else statement.read
            most = READ_MORE.get(shape.name, AT_LEAST) + EACH * statement.returned
            if read > most:
                yield f"{read:,.0f} rows read, {statement.returned} answered: {told}"


@pytest.mark.parametrize("database", DATABASES)
def test_no_large_table_is_read_whole_and_little_more_than_the_answer(database):
    with province(database) as (runner, server, sample):
        wrong = [
            complaint
            for shape in ASKED
            for question in some(shape, sample, QUESTIONS)
            for complaint in complaints(runner, server, shape, question)
        ]
    assert not wrong, "\n\n".join(wrong)
