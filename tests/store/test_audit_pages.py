"""The last page of a long audit costs what the first does."""

from __future__ import annotations

from contextlib import closing

import pytest

from fhir_server.store.audit import Lane, sought_sql
from fhir_server.store.contract.audit import Before, Entry, Sought
from fhir_server.store.dialect import SQLITE
from fhir_server.store.schema import sqlite_path
from fhir_server.store.sqlite_connection import WRITER, connect
from fhir_server.store.upkeep import audit

ROWS, WHO, AT_ONCE = 2000, 7, 20


@pytest.mark.parametrize("subjects", [(), (WHO,)], ids=["of all", "of one"])
def test_a_page_is_read_from_where_the_one_before_ended(sqlite_url, subjects):
    with closing(connect(sqlite_path(sqlite_url), WRITER)) as file:
        lane = Lane(1)
        for at in range(1, ROWS + 1):
            rows, lane = lane.onward([Entry(at, (WHO,), b"x")])
            file.executemany(audit.insert("audit", audit.ENTRY, SQLITE), rows.entries)
            file.executemany(audit.insert("audit_subject", audit.SUBJECT, SQLITE), rows.subjects)

        def cost(before):
            """Instructions of SQLite's machine."""
            taken = []
            file.set_progress_handler(lambda: taken.append(1) and None, 1)
            asked = sought_sql(Sought(subjects, before=before, limit=AT_ONCE), SQLITE)
            found = file.execute(*asked).fetchall()
            file.set_progress_handler(None, 1)
            assert len(found) == AT_ONCE
            return len(taken)

        near, far = ROWS, AT_ONCE + 1
        assert cost(Before(far, 1, far)) <= cost(Before(near, 1, near)) + 10
