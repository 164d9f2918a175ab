"""engine — the store a database URL asks for. Drivers are imported only when they are needed.

https://hl7.org/fhir/R4/http.html#versioning
"""

from __future__ import annotations

from fhir_server.store.contract import Store
from fhir_server.store.schema import POSTGRESQL, dialect_of, sqlite_path


def store_at(url: str, *, pool_size: int = 8) -> Store:
    """A store that is not open yet. Raises ValueError for a URL of no database we know."""
    if dialect_of(url) == POSTGRESQL:
        from fhir_server.store.postgresql import PostgresqlStore

        return PostgresqlStore(url, pool_size=pool_size)
    from fhir_server.store.sqlite import SqliteStore

    return SqliteStore(sqlite_path(url))
