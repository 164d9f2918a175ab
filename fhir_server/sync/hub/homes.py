"""homes — at which facilities a patient is at home: what is theirs goes to the nodes of these.

https://hl7.org/fhir/R4/patient.html
https://hl7.org/fhir/R4/consent.html

A patient comes home to a facility that takes them into its care, and stays: the record of who was
treated there does not vanish from its screen when the care ends. They leave when what brought them
says otherwise (registered elsewhere, a visit cancelled), or when a Consent denies the facility what
the policy asks Consents about.

It is written into the log as marks, behind what it comes from, by a keeper that follows the log.
Each process runs one; who is late finds the keeper's place moved, and lets the other go on.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Collection, Iterable, Sequence

from fhir_server.foundation.outcome import FhirError
from fhir_server.foundation.resource import Key
from fhir_server.interaction import care
from fhir_server.interaction.context import BY_OPERATOR, Server
from fhir_server.security.agreeing import NO_TYPE
from fhir_server.security.caller import Caller
from fhir_server.security.consent import DENY, judged, patient_of, types_told
from fhir_server.security.policy import Policy
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import (
    EVERYTHING,
    EpochEnded,
    Select,
    Stale,
    Stored,
    Unit,
    rid,
)
from fhir_server.store.contract.log import HOME_IN, HOME_OUT, Mark
from fhir_server.store.contract.reach import only
from fhir_server.store.contract.side import MARK, STATE, Expect, MarkRow, Put, StateRow

log = logging.getLogger(__name__)

NAME = "homes"  # under which the keeper's place is kept
CARING = tuple(sorted({*care.KNOWN, "Consent"}))
PAGE = 200  # versions of one look
INTERVAL = 0.5  # seconds between two looks
ELSEWHERE = 5.0  # after another process was first
MARKS = 500  # of one patient at one facility that are read at once
MANY = 1000  # Consents of one patient; who has more is barred by what was not read
TREATMENT = "TREAT"
NODE = "node"  # the role
ALL = frozenset({NO_TYPE})  # barred: everything

Barred = frozenset[str]  # types


class Keeper:
    """Keeps the marks as care and Consents are.

    policy: None: no Consent counts. held: asked for the policy of the moment instead."""

    def __init__(
        self,
        server: Server,
        policy: Policy | None = None,
        *,
        held: Callable[[], Policy | None] | None = None,
    ) -> None:
        self._server = server
        self._store = server.store
        self._policy = held or (lambda: policy)
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
        """Keep up with a page of the log; whether there may be more. Raises Stale where another
        process was first. Nothing is kept before a node has asked."""
        key = (NAME,)
        row = (await self._store.side.rows(STATE, [key])).get(key)
        if row is None:
            return False
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
        await self._store.commit(_moved(row, page.next, await self._marks(page.rows)))
        return len(page.rows) == PAGE

    # --- what is to be marked ---

    async def _marks(self, rows: Sequence[Stored]) -> list[Mark]:
        told = await self._told(rows)
        if not told:
            return []
        patients = sorted(told)
        homes = await self._store.homes(patients)
        at_home = {place for place, is_home in homes.items() if is_home}
        found = await self._store.by_rid(patients, EVERYTHING)
        alive = {rid(stored.key) for stored in found}
        caring = await self._store.cared_by(patients, 0)
        consenting = await self._consenting(patients)
        marks: list[Mark] = []
        for patient in patients:
            present = {facility for of, facility in at_home if of == patient}
            cared, barred = caring[patient], {}
            if patient in consenting:
                barred = await self._barred(patient, cared | present)
            wanted = {each for each in cared if barred.get(each) != ALL}
            leaving = {each for each in present - wanted if patient in alive or each in barred}
            marks += [Mark(HOME_OUT, patient, each) for each in sorted(leaving)]
            if told[patient]:  # other types may be barred now: it goes, and comes without them
                for each in sorted(present & wanted):
                    body = _body(barred.get(each, frozenset()))
                    if body != await self._last_body(patient, each):
                        marks.append(Mark(HOME_OUT, patient, each))
                        marks.append(Mark(HOME_IN, patient, each, body))
            marks += [
                Mark(HOME_IN, patient, each, _body(barred.get(each, frozenset())))
                for each in sorted(wanted - present)
            ]
        return marks

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
            named = patient_of(resource)
            return (rid(Key("Patient", named)),) if named else ()
        owner = self._server.indexer.owner(resource)
        cares = care.brought(self._server, BY_OPERATOR, resource, owner)
        return {one.patient for one in cares or ()}

    # --- consent ---

    async def _consenting(self, patients: Sequence[int]) -> Collection[int]:
        """Those of them who have a Consent that counts; all, where there are many Consents."""
        policy = self._policy()
        if policy is None or TREATMENT not in policy.honoured:
            return ()
        theirs = only(frozenset({"Consent"}), frozenset(patients))
        select = Select(("Consent",), restriction=theirs)
        rids = await self._store.find(select, at_most=PAGE + 1)
        if len(rids) > PAGE:
            return patients
        return {one.owner for one in await self._store.by_rid(rids, EVERYTHING)}

    async def _barred(self, patient: int, facilities: Iterable[int]) -> dict[int, Barred]:
        """From which facilities the patient's Consents keep which types; ALL: everything. Who is
        not kept from anything is left out."""
        numbers = sorted(facilities)
        if not numbers:
            return {}
        theirs = only(frozenset({"Consent"}), frozenset({patient}))
        select = Select(("Consent",), restriction=theirs)
        rids = await self._store.find(select, at_most=MANY + 1)
        if not rids:
            return {}
        if len(rids) > MANY:
            return dict.fromkeys(numbers, ALL)
        consents = [resource_of(one) for one in await self._store.by_rid(rids, EVERYTHING)]
        names = await self._store.audit.keys(numbers)
        now = time.time_ns() // 1_000_000
        found: dict[int, Barred] = {}
        for number in numbers:
            if number not in names:  # whom a Consent names cannot be known to be another
                found[number] = ALL
                continue
            caller = Caller(NODE, facility=names[number].id, roles=frozenset({NODE}))
            if judged(consents, caller, TREATMENT, NO_TYPE, None, now) == DENY:
                found[number] = ALL
            elif types := frozenset(
                type
                for type in types_told(consents)
                if judged(consents, caller, TREATMENT, type, None, now) == DENY
            ):
                found[number] = types
        return found

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


def _moved(row: StateRow, place: str, marks: Iterable[Mark] = ()) -> Unit:
    return Unit(
        (),
        marks=tuple(marks),
        side=(Put(STATE, (StateRow(NAME, place),)),),
        expects=(Expect(STATE, (NAME,), row),),
    )


def _body(barred: Barred) -> bytes:
    return ",".join(sorted(barred)).encode()
