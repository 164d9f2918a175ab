"""postgresql — the store of a server: many processes, many writers, one change log.

https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

from fhir_server.store.postgresql.store import PostgresqlStore

__all__ = ["PostgresqlStore"]
