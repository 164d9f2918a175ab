"""Servers as processes, each gone when its test ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.serving import Serving

Serve = Callable[..., Serving]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Make servers: `serve(url, workers=2)` is ready when it comes back."""
    made: list[Serving] = []

    def start(url: str, *, started: bool = True, **settings: Any) -> Serving:
        server = Serving(url, tmp_path, **settings)
        made.append(server)
        if started:
            server.start()
        return server

    yield start
    for server in made:
        server.end()
