"""homes — at which facilities a patient is at home: what is theirs goes to the nodes of these.

https://hl7.org/fhir/R4/patient.html
https://hl7.org/fhir/R4/consent.html

A patient comes home to a facility that takes them into its care, and stays: the record of who was
treated there does not vanish from its screen when the care ends. They leave when what brought them
says otherwise (registered elsewhere, a visit cancelled), or when a Consent denies the facility what
the policy asks Consents about. A Consent may begin or end by a date, and the policy may come to
honour Consents: both are looked at when it is so.

It is written into the log as marks, behind what it comes from, by a keeper that follows the log.
Each process runs one; who is late finds the keeper's place moved, and lets the other go on.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import orjson

from fhir_server.foundation.outcome import FhirError
from fhir_server.foundation.resource import Key
from fhir_server.interaction import care
from fhir_server.interaction.context import BY_OPERATOR, Server
from fhir_server.security.consent import patient_of as patient_named
from fhir_server.security.policy import Policy
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import (
    EVERYTHING,
    EpochEnded,
    Stale,
    Stored,
    Unit,
    rid,
)
from fhir_server.store.contract.log import HOME_IN, HOME_OUT, Mark
from fhir_server.store.contract.side import MARK, STATE, Drop, Expect, MarkRow, Put, StateRow
from fhir_server.sync.hub.barring import (
    ALL,
    DUE,
    NOBODY,
    barring,
    consenting_of,
    is_due,
    is_honoured,
    noted,
    patient_of,
    written,
)

log = logging.getLogger(__name__)

NAME = "homes"  # under which the keeper's place is kept
CONSENTS = "homes, consents"  # and whether Consents counted, when they were looked through
CARING = tuple(sorted({*care.KNOWN, "Consent"}))
PAGE = 200  # versions of one look
INTERVAL = 0.5  # seconds between two looks
ELSEWHERE = 5.0  # after another process was first
MARKS = 500  # of one patient at one facility that are read at once


class Marked(NamedTuple):
    """What is to be marked of some patients, and when they are to be looked at again."""

    marks: tuple[Mark, ...] = ()
    due: tuple[StateRow, ...] = ()


class Keeper:
    """Keeps the marks as care and Consents are.

    policy: None: no Consent counts. held: asked for the policy of the moment instead. clock: in
    milliseconds since 1970 UTC."""

    def __init__(
        self,
        server: Server,
        policy: Policy | None = None,
        *,
        held: Callable[[], Policy | None] | None = None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._server = server
        self._store = server.store
        self._policy = held or (lambda: policy)
        self._now = clock
        self._passed = ("", "")  # the place that is kept, and how far there was nothing behind it

    async def work(self) -> None:
        """Look again and again, until cancelled. A store that is away is asked again later."""
        while True:
            pause = INTERVAL
            try:
                while await self.look():
                    await asyncio.sleep(0)
            except Stale:
                pause = ELSEWHERE * (1 + random.random())  # noqa: S311 - nothing secret
            except FhirError as error:  # the store is away for a while, and its users are told
                log.debug("The homes of patients: %s", error)
            except Exception:  # whatever it was, the next look may do better
                log.warning("The homes of patients could not be kept.", exc_info=True)
            await asyncio.sleep(pause)

    async def look(self) -> bool:
        """Keep up with a page of the log, and with what changes by itself; whether there may be
        more. Raises Stale where another process was first. Nothing is kept before a node has asked.
        """
        rows = await self._store.side.rows(STATE, [(NAME,), (CONSENTS,)])
        row = rows.get((NAME,))
        if row is None:
            return False
        return (
            await self._keep_up(row)
            or await self._look_at_due(row)
            or await self._look_at_consents(row, rows.get((CONSENTS,)))
        )

    async def _keep_up(self, row: StateRow) -> bool:
        at, passed = self._passed
        cursor = passed if passed and at == row.value else row.value
        try:
            page = await self._store.feed(
                cursor or None, types=CARING, limit=PAGE, restriction=EVERYTHING
            )
        except EpochEnded:  # a restore: what the marks say is looked through again
            await self._store.commit(_moved(row, ""))
            return True
        if not page.rows:
            self._passed = (row.value, page.next)
            return False
        marks = await self._marks(await self._told(page.rows))
        await self._store.commit(_with(_moved(row, page.next), marks))
        return True

    async def _look_at_due(self, row: StateRow) -> bool:
        """A Consent begins or ends: the patients whose it is are looked at again."""
        now = self._now()
        ahead = await self._store.side.range(STATE, beyond=(DUE,), limit=PAGE)
        due = [one for one in ahead if is_due(one, now)]
        if not due:
            return False
        marks = await self._marks({patient_of(one): True for one in due})
        expects = (Expect(STATE, (NAME,), row), *(Expect(STATE, (one.name,), one) for one in due))
        gone = Drop(STATE, tuple((one.name,) for one in due))
        await self._store.commit(_with(Unit((), side=(gone,), expects=expects), marks))
        return len(due) == PAGE

    async def _look_at_consents(self, row: StateRow, before: StateRow | None) -> bool:
        """All of them once more, where the policy has come to honour them, or does no more."""
        is_now = is_honoured(self._policy())
        was, at = _consents_were(before)
        expects = (Expect(STATE, (NAME,), row), Expect(STATE, (CONSENTS,), before))
        if was != is_now:
            started = Put(STATE, (_looked_through(honoured=is_now, at=""),))
            await self._store.commit(Unit((), side=(started,), expects=expects))
            return True
        if at is None:
            return False
        try:
            page = await self._store.feed(
                at or None, types=("Consent",), limit=PAGE, restriction=EVERYTHING
            )
        except EpochEnded:
            again = Put(STATE, (_looked_through(honoured=is_now, at=""),))
            await self._store.commit(Unit((), side=(again,), expects=expects))
            return True
        at = page.next if len(page.rows) == PAGE else None
        marks = await self._marks(await self._told(page.rows))
        moved = Put(STATE, (_looked_through(honoured=is_now, at=at),))
        await self._store.commit(_with(Unit((), side=(moved,), expects=expects), marks))
        return at is not None

    # --- what is to be marked ---

    async def _marks(self, told: Mapping[int, bool]) -> Marked:
        """told: patients, and whether it is a Consent that they are looked at for."""
        if not told:
            return Marked()
        patients, now = sorted(told), self._now()
        homes = await self._store.homes(patients)
        at_home = {place for place, is_home in homes.items() if is_home}
        found = await self._store.by_rid(patients, EVERYTHING)
        alive = {rid(stored.key) for stored in found}
        caring = await self._store.cared_by(patients, 0)
        consenting: Collection[int] = ()
        if is_honoured(self._policy()):
            consenting = await consenting_of(self._store, patients)
        marks: list[Mark] = []
        due: list[StateRow] = []
        for patient in patients:
            present = {facility for of, facility in at_home if of == patient}
            cared, (barred, until) = caring[patient], NOBODY
            if patient in consenting:
                barred, until = await barring(self._server, patient, cared | present, now)
            due += [noted(until, patient)] if until else []
            wanted = {each for each in cared if barred.get(each) != ALL}
            leaving = {each for each in present - wanted if patient in alive or each in barred}
            marks += [Mark(HOME_OUT, patient, each) for each in sorted(leaving)]
            if told[patient]:  # other types may be barred now: it goes, and comes without them
                for each in sorted(present & wanted):
                    body = written(barred.get(each, frozenset()))
                    if body != await self._last_body(patient, each):
                        marks.append(Mark(HOME_OUT, patient, each))
                        marks.append(Mark(HOME_IN, patient, each, body))
            marks += [
                Mark(HOME_IN, patient, each, written(barred.get(each, frozenset())))
                for each in sorted(wanted - present)
            ]
        return Marked(tuple(marks), tuple(due))

    async def _told(self, rows: Sequence[Stored]) -> dict[int, bool]:
        """The patients that the versions, or those before them, say something of; and whether it
        is a Consent that does."""
        found: dict[int, bool] = {}
        for stored in (*rows, *await self._store.before(rows)):
            for patient in self._patients(stored):
                found[patient] = found.get(patient, False) or stored.key.type == "Consent"
        return found

    def _patients(self, stored: Stored) -> Iterable[int]:
        if stored.deleted:
            return ()
        resource = resource_of(stored)
        if stored.key.type == "Consent":
            named = patient_named(resource)
            return (rid(Key("Patient", named)),) if named else ()
        owner = self._server.indexer.owner(resource)
        cares = care.brought(self._server, BY_OPERATOR, resource, owner)
        return {one.patient for one in cares or ()}

    async def _last_body(self, patient: int, facility: int) -> bytes:
        """What the last mark says that the patient came home with."""
        found, beyond = b"", None
        while True:
            rows: list[MarkRow] = await self._store.side.range(
                MARK, "by_whom", prefix=(facility, patient), beyond=beyond, limit=MARKS
            )
            found = next((row.body for row in reversed(rows) if row.kind == HOME_IN), found)
            if len(rows) < MARKS:
                return found
            beyond = (rows[-1].seq, rows[-1].num)


async def keep(held: Callable[[], Policy | None], server: Server) -> None:
    """The work of a keeper, beside the requests."""
    await Keeper(server, held=held).work()


async def begin(server: Server) -> None:
    """Have homes kept from now on: a node has asked."""
    key = (NAME,)
    if (await server.store.side.rows(STATE, [key])).get(key) is None:
        unit = Unit(
            (), side=(Put(STATE, (StateRow(NAME, ""),)),), expects=(Expect(STATE, key, None),)
        )
        try:
            await server.store.commit(unit)
        except Stale:  # another process has begun
            return


def _moved(row: StateRow, place: str) -> Unit:
    return Unit(
        (),
        side=(Put(STATE, (StateRow(NAME, place),)),),
        expects=(Expect(STATE, (NAME,), row),),
    )


def _with(unit: Unit, found: Marked) -> Unit:
    due = (Put(STATE, found.due),) if found.due else ()
    return replace(unit, marks=found.marks, side=(*unit.side, *due))


def _consents_were(row: StateRow | None) -> tuple[bool, str | None]:
    """Whether they counted, and how far they have been looked through since; None: all of them."""
    told = orjson.loads(row.value) if row else {}
    return bool(told.get("honoured")), told.get("at")


def _looked_through(*, honoured: bool, at: str | None) -> StateRow:
    return StateRow(CONSENTS, orjson.dumps({"honoured": honoured, "at": at}).decode())
