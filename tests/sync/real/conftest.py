"""A hub and two posts as processes, which the short tests share: starting them takes longest."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests import postgresql
from tests.sync.real.province import Province

SEED = int(os.environ.get("FHIR_CHAOS_SEED", "1"))
POSTS = ("my-khanh", "nhon-ai")


def demand(needed: Callable[[], object]) -> None:
    """Of PostgreSQL, or the test is skipped."""
    try:
        needed()
    except postgresql.Absent as absent:
        if "CI" in os.environ:
            raise
        pytest.skip(str(absent))


@contextmanager
def database() -> Iterator[str]:
    """An empty one of PostgreSQL."""
    demand(postgresql.server)
    with postgresql.database() as url:
        yield url


@pytest.fixture(scope="package")
def province(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Province]:
    folder = tmp_path_factory.mktemp("province")
    with database() as url, Province(url, folder, SEED, POSTS, apart=True) as found:
        yield found
