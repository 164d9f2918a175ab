"""page — what the hub has for a node beyond where the node stands, gathered for one answer.

https://hl7.org/fhir/R4/bundle.html#history

Whether a row of the log concerns a node is decided when it is read, by the marks of homes up to
that row: not by who is at home now, and not by who was when it was written. How many rows are
looked at for a page is bounded, so that the last page of a million versions costs what the first
does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fhir_server.conformance.canonicals import CONFORMANCE_TYPES
from fhir_server.foundation.resource import Key
from fhir_server.interaction.context import Server
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import (
    EVERYTHING,
    Place,
    Position,
    Select,
    Stored,
    rid,
    version_id,
)
from fhir_server.store.contract.log import (
    HOME_IN,
    HOME_OUT,
    OUTSIDE,
    OWNER,
    Log,
    LogRow,
    owner_of,
)
from fhir_server.store.contract.reach import only
from fhir_server.store.contract.side import MARK, RECEIPT, ReceiptRow
from fhir_server.sync.hub.gathering import Gathering
from fhir_server.sync.hub.outside import number_of
from fhir_server.sync.hub.standing import Standing
from fhir_server.sync.lineage import Rev
from fhir_server.sync.words import TAKEN, Kind, Row

# What everybody has, as far as it belongs to no patient.
EVERYWHERE = tuple(
    sorted(
        {
            "Endpoint",
            "HealthcareService",
            "InsurancePlan",
            "Location",
            "Medication",
            "MedicationKnowledge",
            "Organization",
            "OrganizationAffiliation",
            "Practitioner",
            "PractitionerRole",
            "Substance",
            *CONFORMANCE_TYPES,
        }
    )
)
LIMIT = 1000  # rows of an answer, about
ENOUGH = LIMIT // 2  # of rows: no more of the log is read, so that little is read twice
LARGEST = 8 * 1024 * 1024  # bytes of its bodies, about
LOOKED = 1000  # rows of the log that are looked at in one go
LOOKS = 20  # goes for one answer
STEPS = 2 * LIMIT  # from one patient to the next, for one answer
MARKS = 256  # marks read at once
PATIENTS = 64  # read at once
GUESS = (1, 100)
RECEIPTS = 1000  # receipts read at once
TAKEN_WORDS = frozenset(outcome.value for outcome in TAKEN)
NOWHERE = Position(0, -1)


class Filling:
    """Fills one answer. node: the client's id; facility: the number of its facility's."""

    def __init__(
        self,
        server: Server,
        gathering: Gathering,
        standing: Standing,
        *,
        node: str,
        facility: int,
        incarnation: str,
    ) -> None:
        self._server = server
        self._store = server.store
        self._gathering = gathering
        self.standing = standing
        self._node = node
        self._facility = facility
        self._incarnation = incarnation
        self.rows: list[Row] = []
        self.newest = NOWHERE  # of what is in the answer
        self._size = 0
        self._looks = 0
        self._more = False
        self._log: Log | None = None
        self._ahead: list[LogRow] = []  # of the log page, what is not told yet
        self._receipts: list[ReceiptRow] = []
        self._coming: list[int] = []  # patients who are or were at home, by number
        self._sent = GUESS  # patients, and how many rows they had

    @property
    def is_full(self) -> bool:
        return len(self.rows) >= LIMIT or self._size >= LARGEST

    async def fill(self) -> bool:
        """Whether there is more to be had at once."""
        stages = {
            "everywhere": self._everywhere,
            "patients": self._patients,
            "outside": self._outside,
            "following": self._following,
        }
        for _ in range(STEPS):
            if self.is_full or self._looks >= LOOKS or not await stages[self.standing.stage]():
                break
        self._pass_receipts()
        return self.is_full or self.standing.entering or self._more

    # --- everything, once ---

    async def _everywhere(self) -> bool:
        standing = self.standing
        types = tuple(type for type in EVERYWHERE if self._gathering.may(type, 0))
        if not types:
            self._go(stage="patients")
            return True
        page = await self._store.search(
            Select(types, restriction=only(owners=frozenset({0}))),
            limit=LIMIT - len(self.rows),
            after=Place(*standing.edge) if standing.edge else None,
            bound=standing.bound or None,
        )
        await self._heads([(stored, 0) for stored in page.rows])
        if page.more and page.edge is not None:
            self._go(edge=tuple(page.edge), bound=page.bound)
        else:
            self._go(stage="patients", edge=(), bound="")
        return True

    async def _patients(self) -> bool:
        if self.standing.sending:
            await self._send()
            return True
        if not self._coming:
            marks = await self._store.side.range(
                MARK,
                "by_whom",
                prefix=(self._facility,),
                beyond=(self.standing.patient,),
                limit=MARKS,
            )
            self._coming = list(dict.fromkeys(mark.rid for mark in marks))
        if self._coming:
            await self._send_some()
        else:
            self._go(stage="outside", patient=0)
        return True

    async def _send_some(self) -> None:
        """The next patients, as many as there is about room for: each who is at home, whole. Who
        does not fit is gone on with in the next page."""
        limit = max(1, LIMIT - len(self.rows))
        many = min(PATIENTS, max(1, limit * self._sent[0] // max(1, self._sent[1])))
        some, self._coming = self._coming[:many], self._coming[many:]
        at_home = sorted(await self._at_home(some))
        found = await self._store.compartments(at_home, None, limit=limit)
        await self._heads([(stored, stored.owner) for stored in found])
        self._sent = (self._sent[0] + len(some), self._sent[1] + len(found))
        if len(found) < limit:
            self._go(patient=some[-1])
            return
        last = found[-1]
        self._go(patient=last.owner, sending=True, last=rid(last.key))
        self._coming = [*(one for one in some if one > last.owner), *self._coming]

    async def _send(self) -> None:
        """Some of what is a patient's, if they are at home still."""
        patient, last = self.standing.patient, self.standing.last
        if not await self._at_home([patient]):
            self._go(sending=False, last=None)
            return
        limit = max(1, LIMIT - len(self.rows))
        found = await self._store.compartments([patient], last, limit=limit)
        await self._heads([(stored, patient) for stored in found])
        if len(found) < limit:
            self._go(sending=False, last=None)
        else:
            self._go(last=rid(found[-1].key))

    async def _outside(self) -> bool:
        """What the node sent and does not see: it is told to let go of it."""
        standing = self.standing
        beyond = None if standing.mark is None else (standing.mark,)
        marks = await self._store.side.range(
            MARK, "by_whom", prefix=(number_of(self._node),), beyond=beyond, limit=MARKS
        )
        rids = list(dict.fromkeys(mark.rid for mark in marks if mark.kind == OUTSIDE))
        for key in await self._unseen(rids):
            self._add(self._gathering.left(Kind.LEFT_RESOURCE, key, standing.at))
        if len(marks) < MARKS:
            self._go(stage="following", mark=None)
        else:
            self._go(mark=marks[-1].rid)
        return True

    async def _unseen(self, rids: Sequence[int]) -> list[Key]:
        names = await self._store.audit.keys(rids) if rids else {}
        newest = await self._store.newest(tuple(names.values()), EVERYTHING) if names else {}
        owners = {stored.owner for stored in newest.values()} - {0}
        at_home = await self._at_home(sorted(owners))
        return [
            key
            for key, stored in newest.items()
            if not self._sees(key.type, stored.owner, is_home=stored.owner in at_home)
        ]

    # --- what is new ---

    async def _following(self) -> bool:
        if self.standing.sending:
            await self._send()
            return True
        if self._log is None:
            self._looks += 1
            self._log = await self._store.log(
                self.standing.log, facility=self._facility, everywhere=EVERYWHERE, limit=LOOKED
            )
            self._ahead = [row for row in self._log.rows if row.position > self.standing.at]
            await self._read_receipts(self._log.reached)
        ahead, self._ahead = self._ahead, []
        await self._tell(ahead)
        if self._ahead or self.standing.sending:
            self._more = True
            return True
        log, self._log = self._log, None
        self._go(log=log.next, seq=log.reached.seq, num=log.reached.num)
        self._more = log.more
        return log.more and len(self.rows) < ENOUGH

    async def _tell(self, ahead: Sequence[LogRow]) -> None:
        """Rows of the log in order, up to where a patient comes home or the page is full."""
        thens = [self._whose(row) for row in ahead]
        owners = {then for then in thens if then}
        owners |= {one for row in ahead if row.kind == OWNER for one in _owners(row) if one}
        owners |= {row.owner for row in ahead if row.kind == OUTSIDE and row.owner}
        patients = sorted(owners | {row.rid for row in ahead if row.kind in (HOME_IN, HOME_OUT)})
        at_home = await self._at_home(patients, self.standing.at)
        await self._gathering.learn(patients)
        found: list[tuple[Stored, int]] = []
        moved: list[Key] = []
        at = self.standing.at
        for number, (row, then) in enumerate(zip(ahead, thens, strict=True)):
            full = len(self.rows) + len(found) >= LIMIT
            if full and row.position > at:
                self._ahead = list(ahead[number:])
                break
            at = row.position
            if row.stored is not None:
                if self._sees(row.stored.key.type, then, is_home=then in at_home):
                    found.append((row.stored, then))
            elif row.kind == HOME_IN and row.whom == self._facility:
                at_home.add(row.rid)
                self._ahead = list(ahead[number + 1 :])
                self._go(patient=row.rid, sending=True, last=None)
                break
            elif row.kind in (HOME_OUT, OWNER, OUTSIDE):
                await self._flush(found)
                moved += await self._mark(row, at_home)
        self._go(seq=at.seq, num=at.num)
        await self._flush(found)
        await self._moved(moved)

    async def _mark(self, row: LogRow, at_home: set[int]) -> list[Key]:
        """What a mark says to this node. The resources that came into its sight are given back."""
        left: Kind | None = None
        key = row.key
        if row.kind == HOME_OUT and row.whom == self._facility:
            at_home.discard(row.rid)
            left, key = Kind.LEFT_RECORD, self._gathering.patient(row.rid)
        elif row.kind == OWNER and key is not None:
            before, after = (one in at_home for one in _owners(row))
            if before and not after:
                left = Kind.LEFT_RESOURCE
            elif after and not before:
                return [key]
        elif row.kind == OUTSIDE and row.whom == number_of(self._node) and key is not None:
            seen = self._sees(key.type, row.owner, is_home=row.owner in at_home)
            left = None if seen else Kind.LEFT_RESOURCE
        if left is not None and key is not None:
            self._add(self._gathering.left(left, key, row.position))
        return []

    async def _moved(self, keys: Sequence[Key]) -> None:
        """Resources that are another patient's now, who is at home: with all of their past."""
        newest = await self._store.newest(tuple(keys), EVERYTHING) if keys else {}
        owners = sorted({stored.owner for stored in newest.values()} - {0})
        at_home = await self._at_home(owners)
        await self._heads(
            [(stored, stored.owner) for stored in newest.values() if stored.owner in at_home]
        )

    async def _at_home(self, patients: Sequence[int], at: Position | None = None) -> set[int]:
        """Those of them who are at home at the facility; at: by the marks up to there."""
        told = await self._store.homes(patients, self._facility, at) if patients else {}
        return {patient for (patient, _), is_home in told.items() if is_home}

    # --- rows ---

    def _sees(self, type: str, owner: int, *, is_home: bool) -> bool:
        if owner:
            return is_home and self._gathering.may(type, owner)
        return type in EVERYWHERE and self._gathering.may(type, 0)

    def _whose(self, row: LogRow) -> int:
        """Whose record a version was. Of the newest the store knows, and of a deletion the
        last is known; another says so itself."""
        if row.stored is None or row.stored.deleted or row.newest:
            return row.owner
        return self._server.indexer.owner(resource_of(row.stored))

    async def _flush(self, found: list[tuple[Stored, int]]) -> None:
        if found:
            for row in await self._gathering.told(found, self._echoes):
                self._add(row)
            self.newest = max(self.newest, *(stored.position for stored, _ in found))
            found.clear()

    async def _heads(self, found: Sequence[tuple[Stored, int]]) -> None:
        seen = [(one, owner) for one, owner in found if self._gathering.may(one.key.type, owner)]
        if seen:
            await self._gathering.learn({owner for _, owner in seen})
            for row in await self._gathering.heads(seen, self._echoes):
                self._add(row)
            self.newest = max(self.newest, *(stored.position for stored, _ in seen))

    def _add(self, row: Row) -> None:
        self.rows.append(row)
        self._size += len(row.body or b"")

    def _go(self, **where: object) -> None:
        self.standing = replace(self.standing, **where)  # type: ignore[arg-type] # by their names

    # --- its own ---

    async def _read_receipts(self, reached: Position) -> None:
        """What this incarnation of the node sent, and stands in the log up to there."""
        if not self._incarnation:
            return
        prefix = (self._node, self._incarnation)
        last = self._receipts[-1].number if self._receipts else self.standing.passed
        found = await self._store.side.range(RECEIPT, prefix=prefix, beyond=(last,), limit=RECEIPTS)
        self._receipts += [one for one in found if Position(one.seq, one.num) <= reached]

    @property
    def _echoes(self) -> set[tuple[int, Rev]]:
        """What this incarnation has sent lately, and has the bodies of."""
        return {
            (one.rid, version_id(one.generation, one.digest))
            for one in self._receipts
            if one.outcome in TAKEN_WORDS
        }

    def _pass_receipts(self) -> None:
        at = self.standing.at
        passed = [one.number for one in self._receipts if Position(one.seq, one.num) <= at]
        self._go(passed=max((self.standing.passed, *passed)))


def _owners(row: LogRow) -> tuple[int, int]:
    """Whose it was before an OWNER, and after."""
    return row.whom, owner_of(row.body)
