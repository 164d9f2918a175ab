"""A server on an empty database, as the interactions have it."""

from __future__ import annotations

from tests.interaction.conftest import here, server

__all__ = ["here", "server"]
