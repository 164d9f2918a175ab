"""A hub and two posts as processes, which the short tests share: starting them takes longest."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests import postgresql
from tests.sync.real.province import Province

SEED = int(os.environ.get("FHIR_CHAOS_SEED", "1"))
POSTS = ("my-khanh", "nhon-ai")


@pytest.fixture(scope="package")
def province(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Province]:
    try:
        postgresql.server()
    except postgresql.Absent as absent:
        if "CI" in os.environ:
            raise
        pytest.skip(str(absent))
    folder = tmp_path_factory.mktemp("province")
    with postgresql.database() as url, Province(url, folder, SEED, POSTS) as found:
        yield found
