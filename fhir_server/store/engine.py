"""engine — the store a database URL asks for. Drivers are imported only when they are needed.

https://hl7.org/fhir/R4/http.html#versioning
"""

from __future__ import annotations

from fhir_server.store.contract import Store
from fhir_server.store.schema import KEEP_DAYS, POSTGRESQL, dialect_of, sqlite_path


def store_at(url: str, *, pool_size: int = 8, keep_days: float = KEEP_DAYS) -> Store:
    """A store that is not open yet. Raises ValueError for a URL of no database we know."""
    if dialect_of(url) == POSTGRESQL:
        from fhir_server.store.postgresql import PostgresqlStore

        return PostgresqlStore(url, pool_size=pool_size, keep_days=keep_days)
    from fhir_server.store.sqlite import SqliteStore

    return SqliteStore(sqlite_path(url), keep_days=keep_days)
