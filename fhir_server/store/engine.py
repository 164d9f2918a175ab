"""engine — the store a database URL asks for. Drivers are imported only when they are needed.

https://hl7.org/fhir/R4/http.html#versioning
"""

from __future__ import annotations

from fhir_server.store.contract import Store
from fhir_server.store.schema import KEEP_DAYS, POSTGRESQL, dialect_of, sqlite_path
from fhir_server.store.stamp import Stamp


def store_at(
    url: str,
    *,
    pool_size: int = 8,
    stamp: Stamp | None = None,
    keep_days: float = KEEP_DAYS,
) -> Store:
    """A store that is not open yet. Raises ValueError for a URL of no database we know.

    stamp: of the rules its index rows are made by; None: whoever asks writes none.
    """
    if dialect_of(url) == POSTGRESQL:
        from fhir_server.store.postgresql import PostgresqlStore

        return PostgresqlStore(url, pool_size=pool_size, stamp=stamp, keep_days=keep_days)
    from fhir_server.store.sqlite import SqliteStore

    return SqliteStore(sqlite_path(url), stamp=stamp, keep_days=keep_days)
