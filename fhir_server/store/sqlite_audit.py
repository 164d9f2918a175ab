"""sqlite_audit — the audit in a database that is one file: one writer, so one chain at a time.

https://hl7.org/fhir/R4/auditevent.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from fhir_server.foundation.resource import Key
from fhir_server.store import audit
from fhir_server.store.contract.audit import Entered, Head, Sought
from fhir_server.store.dialect import SQLITE
from fhir_server.store.row import id_of
from fhir_server.store.sqlite_late import found
from fhir_server.store.sqlite_parameters import Ask
from fhir_server.store.sqlite_writer import Writer
from fhir_server.store.types import NAMES

NAMED = audit.names_sql("in (select value from json_each(?))")
ONE = audit.one_sql(SQLITE)


class SqliteAudit:
    """Implements contract.audit.AuditLog."""

    def __init__(self, writer: Writer, ask: Ask) -> None:
        self._writer = writer
        self._ask = ask

    def heads(self) -> Sequence[Head]:
        return self._writer.heads()

    async def entered(self, chain: int, number: int) -> Entered | None:
        return audit.within(await self._ask(lambda r: r.rows(ONE, (chain, number))), number)

    async def found(self, sought: Sought) -> Sequence[Entered]:
        return await self._ask(lambda reader: found(reader.rows, sought))

    async def keys(self, rids: Sequence[int]) -> Mapping[int, Key]:
        asked = (json.dumps(list(rids)),)
        found = await self._ask(lambda reader: reader.rows(NAMED, asked))
        return {rid: Key(NAMES[type - 1], id_of(id)) for rid, type, id in found}
