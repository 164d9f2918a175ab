"""uris — the texts of uris are kept before the versions that have them.

https://hl7.org/fhir/R4/search.html#uri

Most are known already: a profile is named by each of a million resources. The others are written
by themselves, in one order, so that no two who write the same wait for one another; where the
version is refused in the end, its texts lie there to no harm. Their log reaches the disk with the
version's, which is later in it.
"""

from __future__ import annotations

from collections.abc import Iterable

from fhir_server.store.condition import storable
from fhir_server.store.contract import NewVersion, UriRow
from fhir_server.store.postgresql.connection import Pool, rows
from fhir_server.store.postgresql.rows import arrays

KNOWN = 100_000  # texts that a process remembers to be there
KEEP = (
    "with w as materialized (select set_config('synchronous_commit', 'off', true))"
    " insert into uri (param, uri, v, w) select u.param, u.uri, u.v, u.w"
    " from w, unnest(%s, %s, %s, %s) u(param, uri, v, w) on conflict do nothing returning 1"
)


class Uris:
    """The texts of one database, and which of them are surely there."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: set[UriRow] = set()

    async def keep(self, versions: Iterable[NewVersion]) -> None:
        """Write those that may not be there yet."""
        new = {
            row
            for version in versions
            for row in version.rows.uris
            if row not in self._known and storable(row.uri)
        }
        if not new:
            return
        await rows(self._pool, KEEP, arrays("uri", sorted(new)))
        if len(self._known) + len(new) > KNOWN:
            self._known.clear()
        self._known |= new
