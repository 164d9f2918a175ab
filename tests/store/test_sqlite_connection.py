"""A reader of SQLite sees the present, whatever was broken off before.

https://hl7.org/fhir/R4/http.html#read
"""

from __future__ import annotations

import sqlite3

from fhir_server.store.sqlite_connection import INSTRUCTIONS, open_reader

LATE = 0.0  # a deadline that is over


def test_a_question_that_takes_too_long_leaves_no_reader_in_the_past(tmp_path):
    """A ROLLBACK is some three steps of SQLite's machine, counted over all its runs: once in some
    thousand it is asked whether its time is over."""
    file = tmp_path / "some.db"
    writer = sqlite3.connect(file, isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("CREATE TABLE one(value)")
    reader = open_reader(file)
    for turn in range(INSTRUCTIONS // 2):
        with reader.snapshot():
            reader.deadline = LATE
        reader.deadline = float("inf")
        if turn % 500 == 0:
            writer.execute("INSERT INTO one VALUES (?)", (turn,))
            assert reader.row("SELECT max(value) FROM one") == (turn,)
    writer.execute("DELETE FROM one")
    assert reader.rows("SELECT value FROM one") == []
    reader.close()
    writer.close()
