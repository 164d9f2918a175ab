"""log — the change log with its marks in a database that many processes share.

https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fhir_server.foundation.resource import Key
from fhir_server.store import lineage, log
from fhir_server.store.codec import Codec
from fhir_server.store.contract import Position, Stored, rid
from fhir_server.store.contract.lineage import Known
from fhir_server.store.contract.log import Epoch, Log, Stirred
from fhir_server.store.dialect import POSTGRESQL
from fhir_server.store.postgresql.connection import Pool, rows
from fhir_server.store.postgresql.reading import BASE
from fhir_server.store.row import stored
from fhir_server.store.stirring import read_stirred, stirred_sql

HORIZON = f"{BASE} + pg_snapshot_xmin(pg_current_snapshot())::text::bigint"


async def read(
    pool: Pool,
    codec: Codec,
    cursor: str | None,
    facility: int,
    everywhere: Sequence[str],
    limit: int,
) -> Log:
    epochs = await rows(pool, log.EPOCHS, ())
    after = log.edge_of(cursor, epochs)
    asked = log.log_sql(after, facility, everywhere, limit, POSTGRESQL, HORIZON)
    return log.read_log(await rows(pool, asked.text, asked.values), epochs, after, limit, codec)


async def stirred(pool: Pool, cursor: str, limit: int) -> Stirred:
    epochs = await rows(pool, log.EPOCHS, ())
    after = log.edge_of(cursor, epochs)
    asked = stirred_sql(after, limit, POSTGRESQL, HORIZON)
    return read_stirred(await rows(pool, asked.text, asked.values), epochs, after, limit)


async def told_epochs(pool: Pool) -> list[Epoch]:
    return log.told_epochs(await rows(pool, log.EPOCHS, ()))


async def homes(
    pool: Pool, patients: Sequence[int], facility: int | None, at: Position | None
) -> Mapping[tuple[int, int], bool]:
    asked = log.homes_sql(patients, facility, at, POSTGRESQL)
    return log.read_homes(await rows(pool, asked.text, asked.values))


async def compartments(
    pool: Pool, codec: Codec, patients: Sequence[int], after: int | None, limit: int
) -> list[Stored]:
    asked = log.compartments_sql(patients, after, limit, POSTGRESQL)
    return [stored(row, codec, *row[12:]) for row in await rows(pool, asked.text, asked.values)]


async def known(pool: Pool, keys: Sequence[Key]) -> Mapping[Key, Sequence[Known]]:
    asked = lineage.known_sql([rid(key) for key in keys], POSTGRESQL)
    return lineage.known(await rows(pool, asked.text, asked.values), keys)
