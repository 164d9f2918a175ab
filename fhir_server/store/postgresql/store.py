"""store — the Store on PostgreSQL (contract.py says what it promises).

https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from psycopg import conninfo

from fhir_server.foundation.outcome import FhirError, Unavailable
from fhir_server.foundation.resource import Key
from fhir_server.store.codec import Codec, shipped_dictionaries
from fhir_server.store.contract import (
    NEWEST,
    AccessTable,
    AuditLog,
    Beneath,
    Committed,
    Feed,
    Health,
    History,
    KeyIs,
    Order,
    Page,
    ParameterTable,
    Place,
    Position,
    Remembered,
    Restriction,
    Select,
    Stale,
    Stored,
    TextIndex,
    Unit,
    UriStarts,
)
from fhir_server.store.contract.lineage import Known
from fhir_server.store.contract.log import Epoch, Log, Stirred
from fhir_server.store.contract.side import SideTables
from fhir_server.store.gathering import Gathering
from fhir_server.store.migrate import check
from fhir_server.store.paging import Wanted
from fhir_server.store.postgresql import history, log, reading, searching, writing
from fhir_server.store.postgresql import stamp as stamps
from fhir_server.store.postgresql.access import PostgresqlAccess
from fhir_server.store.postgresql.audit import PostgresqlAudit
from fhir_server.store.postgresql.connection import LOST, READER, WRITER, pool, refusing, rows
from fhir_server.store.postgresql.epoch import part, settle
from fhir_server.store.postgresql.forget import forget
from fhir_server.store.postgresql.horizon import KEPT, Horizon
from fhir_server.store.postgresql.parameters import PostgresqlParameters
from fhir_server.store.postgresql.side import PostgresqlSide
from fhir_server.store.postgresql.texts import PostgresqlTexts
from fhir_server.store.postgresql.uris import Uris
from fhir_server.store.postgresql.values import Texts
from fhir_server.store.schema import DAY, HOUR, KEEP_DAYS, SCHEMA
from fhir_server.store.stamp import Stamp, checked, difference

OPEN_WITHIN = 30.0  # seconds
TOGETHER = 100  # versions of one transaction, of units that came at one time
UNSAFE = {
    "fsync": "`fsync` is off: a power cut may destroy the database. Set it to on.",
    "full_page_writes": "`full_page_writes` is off: a power cut may tear a page. Set it to on.",
}
KNOWN = "insert into dictionary (id, body) values (%s, %s) on conflict do nothing returning id"
SCHEMA_OF = "select version_num from alembic_version"

logger = logging.getLogger(__name__)


def _now() -> int:
    return time.time_ns() // 1_000_000


class PostgresqlStore:
    """Resources in a PostgreSQL database, shared by as many processes as are needed."""

    def __init__(
        self,
        url: str,
        *,
        codec: Codec | None = None,
        stamp: Stamp | None = None,
        clock: Callable[[], int] = _now,
        pool_size: int = 8,
        keep_days: float = KEEP_DAYS,
    ) -> None:
        """keep_days: how long an answer under an Idempotency-Key is kept."""
        self._place = place(url)
        self._codec = codec or Codec()
        self._given = codec
        self._stamp = stamp
        self._clock = clock
        self._keep = int(keep_days * DAY)
        self._due = 0  # when old rows are next forgotten
        self._forgetting: asyncio.Task[None] | None = None
        self._readers = pool(url, size=pool_size, settings=READER, lanes=True)
        admit = None if stamp is None else partial(stamps.admit, stamp=stamp)
        self._writers = pool(url, size=pool_size, settings=WRITER, admit=admit)
        self._newest = reading.Newest(self._readers)
        self._uris = Uris(self._writers)
        self._texts = PostgresqlTexts(self._readers, self._writers)
        self._parameters = PostgresqlParameters(url, readers=self._readers, writers=self._writers)
        self._audit = PostgresqlAudit(readers=self._readers, writers=self._writers)
        self._horizon = Horizon(self._writers)
        self._plain: Gathering[Unit, Committed] = Gathering(
            self._commit_together,
            weight=lambda unit: len(unit.versions),
            most=TOGETHER,
            under_way=max(1, pool_size // 2),
        )

    async def open(self) -> None:
        """Connect, and settle by which rules its index is made and which history it has."""
        try:
            async with refusing():
                await self._readers.open(wait=True, timeout=OPEN_WITHIN)
            check(self._place, await self._schema())
            if self._stamp is not None:
                kept = await stamps.settle(self._readers, self._stamp)
                checked(self._stamp, kept, self._place)
            async with refusing():
                await self._writers.open(wait=True, timeout=OPEN_WITHIN)
            await settle(self._writers)
            if self._given is None:
                self._codec = Codec(await self._dictionaries())
            self._texts.codec = self._parameters.codec = self._codec
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        if self._forgetting is not None:
            await self._forgetting
        await self._plain.finished()
        await self._audit.finished()
        await self._horizon.finished()
        await self._writers.close()
        await self._readers.close()

    async def _schema(self) -> str | None:
        there = await rows(self._readers, "select to_regclass('alembic_version') is not null", ())
        found = await rows(self._readers, SCHEMA_OF, ()) if there[0][0] else []
        return str(found[0][0]) if found else None

    async def _dictionaries(self) -> dict[int, bytes]:
        """Those the bodies here were packed with, and the program's own added to them."""
        for number, body in shipped_dictionaries().items():
            await rows(self._writers, KNOWN, (number, body))
        found = await rows(self._readers, "select id, body from dictionary", ())
        return {number: bytes(body) for number, body in found}

    # --- reading

    async def newest(self, keys: Sequence[Key], restriction: Restriction) -> dict[Key, Stored]:
        return await reading.newest(self._newest, self._codec, keys, restriction)

    async def at_version(
        self, key: Key, version_id: str, restriction: Restriction
    ) -> Stored | None:
        return await reading.at_version(self._readers, self._codec, key, version_id, restriction)

    async def at_versions(
        self, wanted: Sequence[tuple[Key, str]], restriction: Restriction
    ) -> Sequence[Stored]:
        return await reading.at_versions(self._readers, self._codec, wanted, restriction)

    async def by_rid(self, rids: Sequence[int], restriction: Restriction) -> Sequence[Stored]:
        return await reading.by_rid(self._newest, self._codec, rids, restriction)

    async def search(
        self,
        select: Select,
        *,
        limit: int,
        order: Order = NEWEST,
        after: Place | None = None,
        bound: str | None = None,
        backward: bool = False,
    ) -> Page:
        wanted = Wanted(select, limit, order, after, bound, backward)
        return await searching.search(self._readers, self._newest, self._codec, wanted)

    async def find(self, select: Select, *, at_most: int) -> Sequence[int]:
        return await reading.find(self._readers, select, at_most)

    async def keys_behind(
        self, condition: Beneath | UriStarts, restriction: Restriction, *, at_most: int
    ) -> Sequence[KeyIs] | None:
        return await reading.keys_behind(self._readers, condition, restriction, at_most)

    async def few(self, select: Select, *, at_most: int) -> Sequence[int] | None:
        return await reading.few(self._readers, select, at_most)

    async def meeting(self, rids: Sequence[int], select: Select) -> Sequence[int]:
        return await reading.meeting(self._readers, rids, select)

    async def count(
        self, select: Select, *, at_most: int | None = None, patience: float | None = None
    ) -> int:
        return await reading.count(self._readers, select, at_most, patience)

    async def estimate(self, select: Select) -> int:
        return await reading.estimate(self._readers, select)

    async def history(self, asked: History) -> Page:
        return await history.history(self._readers, self._codec, asked)

    async def count_history(self, asked: History) -> int:
        return await history.count_history(self._readers, asked)

    async def feed(
        self,
        cursor: str | None,
        *,
        types: Iterable[str] = (),
        restriction: Restriction,
        limit: int,
    ) -> Feed:
        return await history.feed(self._readers, self._codec, cursor, types, restriction, limit)

    async def log(
        self, after: str | None, *, facility: int, everywhere: Sequence[str], limit: int
    ) -> Log:
        return await log.read(self._readers, self._codec, after, facility, everywhere, limit)

    async def stirred(self, after: str, *, limit: int) -> Stirred:
        return await log.stirred(self._readers, after, limit)

    async def homes(
        self, patients: Sequence[int], facility: int | None = None, at: Position | None = None
    ) -> Mapping[tuple[int, int], bool]:
        return await log.homes(self._readers, patients, facility, at)

    async def compartments(
        self, patients: Sequence[int], after: int | None, *, limit: int
    ) -> Sequence[Stored]:
        return await log.compartments(self._readers, self._codec, patients, after, limit)

    async def lineage(self, keys: Sequence[Key]) -> Mapping[Key, Sequence[Known]]:
        return await log.known(self._readers, keys)

    async def epochs(self) -> Sequence[Epoch]:
        return await log.told_epochs(self._readers)

    async def whole(self) -> Position:
        return Position((await rows(self._readers, f"select coalesce({KEPT}, 0)", ()))[0][0])

    async def part(self, name: str, whole: Position) -> bool:
        return await part(self._writers, name, whole)

    async def cared_by(self, patients: Sequence[int], moment: int) -> Mapping[int, frozenset[int]]:
        return await reading.cared_by(self._readers, patients, moment)

    async def before(self, versions: Sequence[Stored]) -> Sequence[Stored]:
        return await history.before(self._readers, self._codec, versions)

    async def remembered(self, key: str) -> Remembered | None:
        return await reading.remembered(self._readers, key)

    @property
    def texts(self) -> TextIndex:
        return self._texts

    @property
    def parameters(self) -> ParameterTable:
        return self._parameters

    @property
    def access(self) -> AccessTable:
        return PostgresqlAccess(readers=self._readers, writers=self._writers)

    @property
    def side(self) -> SideTables:
        return PostgresqlSide(self._readers)

    @property
    def audit(self) -> AuditLog:
        return self._audit

    async def census(self) -> dict[str, int]:
        return await reading.census(self._readers)

    # --- writing

    async def commit(self, unit: Unit) -> Committed:
        committed = await self._committed(unit)
        if not unit.only_tells:
            self._horizon.committed()
        return committed

    async def _committed(self, unit: Unit) -> Committed:
        now = self._clock()
        if now >= self._due:
            self._due = now + HOUR
            self._forgetting = asyncio.create_task(self._forget(now - self._keep))
        if unit.only_tells:
            return await self._audit.tell(unit)
        await self._uris.keep(unit.versions)
        if writing.is_plain(unit):
            return await self._plain.ask(unit)
        return await writing.commit(self._writers, self._codec, unit, self._clock, self._audit)

    async def _commit_together(self, units: Sequence[Unit]) -> Sequence[Committed | BaseException]:
        log = self._audit
        return await writing.commit_together(self._writers, self._codec, units, self._clock, log)

    async def _forget(self, before: int) -> None:
        try:
            while await forget(self._writers, before):
                pass
        except (FhirError, Stale) as error:
            logger.warning("old rows were not forgotten: %s", error)

    # --- how it is

    async def health(self) -> Health:
        try:
            schema = await self._schema()
            told = await rows(
                self._readers,
                "select name, setting from pg_settings where name = any(%s)",
                (Texts(("server_version", *UNSAFE)),),
            )
            kept = await rows(self._readers, stamps.KEPT.decode(), ())
        except Unavailable:
            return Health("PostgreSQL", "unknown", None, SCHEMA, [LOST])
        settings: dict[str, str] = dict(told)
        notes = [note for name, note in UNSAFE.items() if settings.get(name) == "off"]
        index = difference(self._stamp, kept[0][0] if kept else None)
        return Health("PostgreSQL", settings["server_version"], schema, SCHEMA, notes, index)


def place(url: str) -> str:
    """The database's URL without its password, for messages."""
    told = conninfo.conninfo_to_dict(url.replace("+psycopg", "", 1))
    host, port = told.get("host", "localhost"), told.get("port", 5432)
    return f"postgresql://{host}:{port}/{told.get('dbname', '')}"
