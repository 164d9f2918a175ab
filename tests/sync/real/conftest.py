"""A hub and two posts as processes, which the short tests share: starting them takes longest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests import postgresql
from tests.sync.real.province import Province

SEED = int(os.environ.get("FHIR_CHAOS_SEED", "1"))
POSTS = ("my-khanh", "nhon-ai")


@contextmanager
def database() -> Iterator[str]:
    """An empty one of PostgreSQL."""
    try:
        postgresql.server()
    except postgresql.Absent as absent:
        if "CI" in os.environ:
            raise
        pytest.skip(str(absent))
    with postgresql.database() as url:
        yield url


@pytest.fixture(scope="package")
def province(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Province]:
    folder = tmp_path_factory.mktemp("province")
    with database() as url, Province(url, folder, SEED, POSTS, apart=True) as found:
        yield found
