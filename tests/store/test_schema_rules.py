"""The tables can be spread over machines by the resource's number, and nothing hides in them."""

from __future__ import annotations

import inspect
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import UniqueConstraint

from fhir_server.conformance.definitions import load
from fhir_server.store.condition import Context, context_of
from fhir_server.store.contract import History, Restriction, Select, Store
from fhir_server.store.migrate import migrate
from fhir_server.store.schema import POSTGRESQL, SQLITE
from fhir_server.store.tables import REFERENCE_TABLES, SPREAD_BY, tables
from fhir_server.store.types import METHODS, NAMES, NUMBERS, type_numbers

LARGE = [t for t in tables(POSTGRESQL).sorted_tables if t.name not in REFERENCE_TABLES]


@pytest.mark.parametrize("table", LARGE, ids=lambda table: table.name)
def test_every_primary_key_and_unique_constraint_holds_what_the_table_is_spread_by(table):
    unique = [c for c in table.constraints if isinstance(c, UniqueConstraint)]
    unique += [index for index in table.indexes if index.unique]
    for constraint in [table.primary_key, *unique]:
        assert SPREAD_BY.get(table.name, "rid") in {column.name for column in constraint.columns}


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRESQL])
def test_no_table_needs_a_sequence_a_foreign_key_or_a_default_that_computes(dialect):
    for table in tables(dialect).sorted_tables:
        assert not table.foreign_keys, table.name
        for column in table.columns:
            assert not column.primary_key or column.autoincrement is False, table.name
            assert column.identity is None
            assert column.server_default is None or column.server_default.arg.text == "0"


def test_both_databases_have_the_same_tables_but_for_what_only_one_of_them_can_keep():
    sqlite = {name: set(t.columns.keys()) for name, t in tables(SQLITE).tables.items()}
    postgresql = {name: set(t.columns.keys()) for name, t in tables(POSTGRESQL).tables.items()}
    assert postgresql.pop("index_text")  # SQLite's is a virtual table, made when it is wanted
    assert set(sqlite) - set(postgresql) == {"tally", "audit_place"}
    for name, columns in postgresql.items():
        assert columns - sqlite[name] <= {"num"}, name
        assert sqlite[name] <= columns, name


def test_a_sqlite_file_has_no_trigger_no_view_and_only_strict_tables(tmp_path):
    migrate(f"sqlite:///{tmp_path}/fhir.db")
    with closing(sqlite3.connect(tmp_path / "fhir.db")) as connection:
        kinds = connection.execute("SELECT DISTINCT type FROM sqlite_schema").fetchall()
        loose = connection.execute(
            "SELECT name FROM pragma_table_list WHERE schema = 'main' AND NOT strict"
            " AND name NOT LIKE 'sqlite_%' AND name <> 'alembic_version'"
        ).fetchall()
    assert sorted(kinds) == [("index",), ("table",)]
    assert loose == []


def test_every_resource_type_has_its_number_and_keeps_it():
    assert set(NAMES) == load().resource_types
    assert len(NAMES) == len(NUMBERS) == 146
    told = (NUMBERS["Account"], NUMBERS["Encounter"], NUMBERS["Patient"], NUMBERS["ValueSet"])
    assert told == (1, 44, 103, 144)
    assert METHODS == ("POST", "PUT", "PATCH", "DELETE", "LEFT")
    assert type_numbers(["Patient", "Nonsense", "Account", "Patient"]) == (1, 103)


@pytest.mark.parametrize("asked", [Select, History, Store.feed, Restriction, Context, context_of])
def test_nothing_is_asked_of_the_store_without_saying_what_may_be_reached(asked):
    given = inspect.signature(asked).parameters
    reach = given.get("restriction") or given["grounds"]
    assert reach.default is inspect.Parameter.empty
