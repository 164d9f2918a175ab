"""rebuilding — every row of the index made anew from the newest versions, while nobody writes.

https://hl7.org/fhir/R4/search.html

No row says whose it is but by being computed again, so all of them go first. Then come the
resources in the order in which they were written, some at a time: a transaction writes their rows
and how far it came, as part of the stamp. What is broken off, however hard, goes on from there;
until it is done the stamp is nobody's, and no server opens the database.
"""

from __future__ import annotations

from collections.abc import Sequence

from fhir_server.store.schema import SQLITE, dialect_of, sqlite_path
from fhir_server.store.stamp import Stamp
from fhir_server.store.upkeep.rebuilding.batch import Index, Progress, Reindexed

__all__ = ["Index", "Progress", "Reindexed", "reindex"]


def reindex(
    url: str, index: Index, stamp: Stamp, progress: Progress, numbers: Sequence[int] = ()
) -> Reindexed:
    """Make the index of a database by these rules. The schema must be the newest.

    numbers: of the parameters beside R4's own that `index` makes rows of.
    """
    if dialect_of(url) == SQLITE:
        from fhir_server.store.upkeep.rebuilding import sqlite

        return sqlite.reindex(sqlite_path(url), index, stamp, progress, numbers)
    from fhir_server.store.upkeep.rebuilding import postgresql

    return postgresql.reindex(url, index, stamp, progress, numbers)
