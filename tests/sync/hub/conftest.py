"""A hub on an empty database, once on each we promise."""

from __future__ import annotations

from tests.interaction.conftest import server

__all__ = ["server"]
