"""evaluate — what every store's SQL must agree with."""

from __future__ import annotations

from fhir_server.search.evaluate import holds

__all__ = ["holds"]
