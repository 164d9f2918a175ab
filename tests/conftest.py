"""conftest — what every test may ask for: a store on each promised database, and a way to await.

An `async def` test runs on the loop of the fixture `run`, the one its store was opened on.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from fhir_server.store.contract import Store
from fhir_server.store.migrate import migrate
from fhir_server.store.postgresql import PostgresqlStore
from fhir_server.store.schema import sqlite_path
from fhir_server.store.sqlite import SqliteStore
from tests import attack, postgresql

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]
DATABASES = ("sqlite", "postgresql")


def pytest_make_parametrize_id(val, argname):
    """Bytes are told by their number: packed ones hold the time they were packed at, and every
    worker must give a case the same name."""
    return f"{argname}-{len(val)}-bytes" if isinstance(val, bytes) else None


def pytest_configure(config: pytest.Config) -> None:
    postgresql.meet()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Sixteen thousand tests live to the end, and so do the definitions: looking through them for
    garbage took a fifth of the time. As a server does it (cli/running.py)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


def pytest_unconfigure(config: pytest.Config) -> None:
    postgresql.part()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the attacks counted (tests/attack.py), in one table."""
    reports = [report for kind in terminalreporter.stats.values() for report in kind]
    if told := attack.figures(reports):
        terminalreporter.section("attacks, " + ("long" if attack.LONG else "short"))
        for line in attack.table(told):
            terminalreporter.line(line)


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> attack.Tell:
    """Tell a figure of an attack: `tell("leak matrix: cells", 120)`."""
    return attack.teller(request)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Await a test that is a coroutine."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asked = pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})
    run = pyfuncitem.funcargs.get("run", asyncio.run)
    run(asked)
    return True


@pytest.fixture
def run() -> Iterator[Run[Any]]:
    """Run a coroutine to its end, on one loop for the whole test."""
    with asyncio.Runner() as runner:
        yield runner.run


@dataclass
class Clock:
    """Milliseconds since 1970 UTC, which pass only when a test says so."""

    now: int = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@dataclass(frozen=True)
class Database:
    """A migrated, empty database, and how to make a Store on it."""

    product: str
    url: str

    def store(self, **options: Any) -> Store:
        if self.product == "postgresql":
            return PostgresqlStore(self.url, **options)
        return SqliteStore(sqlite_path(self.url), **options)


@pytest.fixture
def postgresql_url() -> Iterator[str]:
    """A migrated, empty PostgreSQL database of the test's own."""
    try:
        postgresql.server()
    except postgresql.Absent as absent:
        if "CI" in os.environ:
            raise
        pytest.skip(str(absent))
    with postgresql.database() as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A migrated, empty SQLite file of the test's own."""
    url = f"sqlite:///{tmp_path}/fhir.db"
    migrate(url)
    return url


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest) -> Database:
    """Each promised database in turn."""
    return Database(request.param, request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def store(database: Database, run: Run[Any], clock: Clock) -> Iterator[Store]:
    """An opened store, on each promised database, its clock standing still."""
    opened = database.store(clock=clock)
    run(opened.open())
    yield opened
    run(opened.close())
