"""How words are looked up: never by reading the rows of other parameters, or all of one."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest

from fhir_server.foundation.resource import Key
from fhir_server.store.contract import (
    EVERYTHING,
    FIRST,
    LAST,
    NEWEST,
    WHOLE_TEXT,
    AllOf,
    AnyOf,
    Contains,
    IndexRows,
    Select,
    StringRow,
    Whole,
    WordStarts,
    rid,
)
from fhir_server.store.select import POSTGRESQL, SQLITE, drivers, page_sql, weigh_sql, windows
from fhir_server.store.select.weighing import COMMON
from tests.store.world import made, unit, version

ONLY = FIRST | LAST
NAME, GIVEN = 7, 8
ASKED = {
    "a beginning": WordStarts(NAME, "ng", (GIVEN,)),
    "a word in two spellings": WordStarts(NAME, "my", (GIVEN,), ("mi",)),
    "a whole word": Whole(NAME, "nguyen", 5, (GIVEN,)),
    "a whole text": Whole(NAME, "nguyen van duc", 5),
    "within a word": Contains(NAME, "uye", (GIVEN,)),
    "a word within": Contains(NAME, " mi ", (GIVEN,)),
    "within a text": Contains(NAME, "n du"),
    "one of two": AnyOf((WordStarts(NAME, "tr"), WordStarts(NAME, "duc"))),
    "two at once": AllOf((WordStarts(NAME, "tr"), Contains(NAME, "uc"))),
}
READ = "index_string"


def ways(condition):
    """The search as it is driven from what is rare, from what is common, and from neither."""
    select = Select(("Patient",), condition, restriction=EVERYTHING)
    return [(select, driver) for driver in (*drivers(select), COMMON, None)]


def sql(select, driver, dialect):
    window = next(windows(NEWEST, limit=21, after=None, backward=False, bound=None))
    return page_sql(select, window, dialect=dialect, driver=driver)


@pytest.mark.parametrize("asked", ASKED)
def test_sqlite_reads_words_by_their_parameter_alone(tmp_path, asked) -> None:
    connection = sqlite3.connect(made(tmp_path))
    for select, driver in ways(ASKED[asked]):
        statements = [sql(select, driver, SQLITE)]
        statements += [weigh_sql([(driver, 2000)], SQLITE)] if driver not in (COMMON, None) else []
        for statement in statements:
            plan = connection.execute(f"EXPLAIN QUERY PLAN {statement.text}", statement.values)
            steps = [row[3] for row in plan if row[3].split()[1:2] == ["x"]]
            assert steps
            assert all(step.startswith("SEARCH") and "(param=?" in step for step in steps), steps
    connection.close()


def test_sqlite_probes_a_walked_row_by_the_whole_key_of_its_word(tmp_path) -> None:
    connection = sqlite3.connect(made(tmp_path))
    for name in ("a beginning", "a word in two spellings", "a whole word", "within a word"):
        statement = sql(Select(("Patient",), ASKED[name], restriction=EVERYTHING), COMMON, SQLITE)
        plan = connection.execute(f"EXPLAIN QUERY PLAN {statement.text}", statement.values)
        assert any("(param=? AND word=? AND rid=?" in row[3] for row in plan), name
    connection.close()


@pytest.mark.parametrize("asked", ASKED)
def test_postgresql_can_read_words_by_their_parameter_alone(postgresql_url, asked) -> None:
    with psycopg.connect(postgresql_url) as connection:
        connection.execute("set enable_seqscan = off")
        for select, driver in ways(ASKED[asked]):
            statement = sql(select, driver, POSTGRESQL)
            values = [list(v) if isinstance(v, tuple) else v for v in statement.values]
            rows = connection.execute(f"explain {statement.text}", values)
            plan = [line.strip() for (line,) in rows]
            assert not [line for line in plan if f"Seq Scan on {READ}" in line], plan
            conditions = [line for line in plan if line.startswith("Index Cond") and "word" in line]
            assert all("param" in line for line in conditions), plan


async def test_the_distinct_words_are_those_of_the_parameters_asked(store) -> None:
    """One after the other, also where they are few, the greatest, or of several parameters."""
    words = ["", "a", "an", "an\U0010ffff", "b", "z" * 64, "\U0010ffff"]
    keys = {word: Key("Patient", str(n)) for n, word in enumerate(words)}
    versions = []
    for word, key in keys.items():
        text = StringRow(GIVEN + WHOLE_TEXT, f"x {word} y", 7)
        rows = IndexRows(strings=frozenset({StringRow(NAME, word, 4 + ONLY), text}))
        versions.append(version(str(key), "a", rows=rows))
    await store.commit(unit(*versions))
    for text in ("a", "n", "z", "\U0010ffff"):
        found = await store.find(
            Select(("Patient",), Contains(NAME, text), restriction=EVERYTHING), at_most=99
        )
        assert set(found) == {rid(key) for word, key in keys.items() if text in word}
        assert not await store.find(
            Select(("Patient",), Contains(GIVEN, text), restriction=EVERYTHING), at_most=99
        )
        inside = Select(("Patient",), Contains(GIVEN, f"x {text}"), restriction=EVERYTHING)
        told = {rid(key) for word, key in keys.items() if word.startswith(text)}
        assert set(await store.find(inside, at_most=99)) == told
