"""Whoever is on a connection that is no more, and was told nothing, does not wait long."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.noticing import POST, Noticing
from tests.sync.real.province import Province
from tests.sync.real.spaces import are_allowed
from tests.sync.real.test_chaos import ROUNDS


@pytest.mark.skipif(ROUNDS == 0 or not are_allowed(), reason="`make chaos` runs it, where it can")
def test_what_is_written_meets_though_connections_are_heard_no_more(tmp_path: Path) -> None:
    """A pull that waits took 70 seconds before the system was asked to look after it."""
    with Province("", tmp_path, 1, (POST,), apart=True) as province:
        assert max(Noticing(province).forgotten()) < 60, "nobody waits for an answer's whole time"
