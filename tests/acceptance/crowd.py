"""crowd — clients that write until the server is gone, and know what must be there afterwards.

What was acknowledged is there, byte for byte, in its version. What was asked and never answered is
wholly there or wholly not; asked again as its kind allows, it is there once.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.acceptance.web import Client, Lost, Told

SYSTEM = "urn:kill"
PATIENCE = 30.0  # seconds a client comes again for
Resource = dict[str, Any]


def named(type: str, called: str, /, **more: Any) -> Resource:
    return {"resourceType": type, "identifier": [{"system": SYSTEM, "value": called}], **more}


def patient(called: str, /, **more: Any) -> Resource:
    return named("Patient", called, name=[{"family": "Nguyễn", "given": [called]}], **more)


VISIT = ("Patient", "Encounter", "MedicationRequest", "MedicationRequest", "Organization")


def visit(name: str) -> Resource:
    """Five resources that are there together or not at all, and one that all visits share."""
    here = {"reference": f"urn:uuid:{name}-0"}
    contents: list[Resource] = [
        patient(name),
        named("Encounter", name, status="finished", **{"class": {"code": "AMB"}}, subject=here),
    ]
    contents += [
        named("MedicationRequest", f"{name}{mark}", status="active", intent="order", subject=here,
              medicationCodeableConcept={"text": "Paracetamol 500 mg"})
        for mark in "ab"
    ]  # fmt: skip
    contents.append(named("Organization", name, name=name))
    entries = [
        {
            "fullUrl": f"urn:uuid:{name}-{n}",
            "resource": content,
            "request": {"method": "POST", "url": content["resourceType"]},
        }
        for n, content in enumerate(contents)
    ]
    shared = named("Organization", "shared", name="Trạm y tế")
    exists = f"identifier={SYSTEM}|shared"
    request = {"method": "POST", "url": "Organization", "ifNoneExist": exists}
    entries.append({"resource": shared, "request": request})
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


@dataclass(frozen=True)
class Fact:
    """A version that was acknowledged."""

    place: str
    version: str
    body: bytes | None  # None: it says the resource is gone


@dataclass
class Try:
    """What is asked now, and how it is made sure of if no answer comes."""

    name: str
    settle: Callable[[], Awaitable[None]]


@dataclass
class Ledger:
    """What everyone was told: the versions of this round, and the newest of each resource."""

    fresh: list[Fact] = field(default_factory=list)
    newest: dict[str, Fact] = field(default_factory=dict)
    asked: int = 0
    unanswered: int = 0
    doubled: list[str] = field(default_factory=list)

    def learn(self, *facts: Fact) -> None:
        for fact in facts:
            self.fresh.append(fact)
            self.newest[fact.place] = fact


def fact_of(told: Told) -> Fact:
    resource = told.json
    return Fact(f"{resource['resourceType']}/{resource['id']}", told.version, told.body)


class Writer:
    """One client."""

    def __init__(self, name: str, port: int, ledger: Ledger) -> None:
        self.name = name
        self.client = Client(port)
        self.ledger = ledger
        self.draw = random.Random(name)
        self.count = itertools.count(1)
        self.enough = False
        self.under_way: Try | None = None
        self.counter: tuple[int, str | None] = (0, None)  # what it holds, and its version

    async def write(self) -> None:
        """Until no answer comes, or enough is written."""
        kinds = (
            self.create, self.create_once, self.create_if_none, self.update_by_criteria,
            self.update_counter, self.send_visit, self.send_visit_once, self.create_and_delete,
        )  # fmt: skip
        try:
            while not self.enough:
                kind = self.draw.choice(kinds)
                self.ledger.asked += 1
                await kind(f"{self.name}.{next(self.count)}.{kind.__name__.replace('_', '-')}")
                self.under_way = None
        except Lost:
            pass

    async def settle(self) -> None:
        """Make sure of what was asked last and not answered. Who is told to come again, does."""
        self.ledger.unanswered += self.under_way is not None
        deadline = time.monotonic() + PATIENCE
        while self.under_way is not None:
            try:
                await self.under_way.settle()
            except Lost:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
            else:
                self.under_way = None

    async def _ask(self, *expected: int, asked: Sequence[Any], **headers: str | None) -> Told:
        told = await self.client.ask(*asked, **headers)
        if told.status == 503:
            raise Lost(told.refusal)
        assert told.status in expected, (told.status, asked, told.body)
        return told

    # --- the kinds of writing ---

    async def create(self, name: str) -> None:
        self.under_way = Try(name, lambda: self._once_at_most("Patient", name))
        told = await self._ask(201, asked=("POST", "Patient", patient(name)))
        self.ledger.learn(fact_of(told))

    async def create_once(self, name: str) -> None:
        async def ask() -> None:
            asked = ("POST", "Patient", patient(name))
            self.ledger.learn(fact_of(await self._ask(201, asked=asked, Idempotency_Key=name)))

        await self._insist(name, ask)

    async def create_if_none(self, name: str) -> None:
        async def ask() -> None:
            criteria = f"identifier={SYSTEM}|{name}"
            asked = ("POST", "Patient", patient(name))
            told = await self._ask(200, 201, asked=asked, If_None_Exist=criteria)
            self.ledger.learn(fact_of(told))

        await self._insist(name, ask)

    async def update_by_criteria(self, name: str) -> None:
        async def ask() -> None:
            asked = ("PUT", f"Patient?identifier={SYSTEM}|{name}", patient(name))
            self.ledger.learn(fact_of(await self._ask(200, 201, asked=asked)))

        await self._insist(name, ask)

    async def update_counter(self, name: str) -> None:
        """A resource of this client's own, which counts its updates."""
        self.under_way = Try(name, self._recount)
        held, version = self.counter
        id = f"counter-{self.name}"
        content = patient(id, id=id, multipleBirthInteger=held + 1)
        seen = f'W/"{version}"' if version else None
        told = await self._ask(200, 201, asked=("PUT", f"Patient/{id}", content), If_Match=seen)
        self.counter = (held + 1, told.version)
        self.ledger.learn(fact_of(told))

    async def send_visit(self, name: str) -> None:
        self.under_way = Try(name, lambda: self._all_or_none(name))
        await self._send(name)

    async def send_visit_once(self, name: str) -> None:
        await self._insist(name, lambda: self._send(name, Idempotency_Key=name))

    async def create_and_delete(self, name: str) -> None:
        await self.create_if_none(name)
        place = self.ledger.fresh[-1].place

        async def ask() -> None:
            told = await self._ask(200, 204, asked=("DELETE", place))
            gone = await self._ask(410, asked=("GET", place))
            self.ledger.learn(Fact(place, (told if "etag" in told.headers else gone).version, None))

        self.under_way = Try(name, ask)
        await ask()

    async def _send(self, name: str, **headers: str) -> None:
        told = await self._ask(
            200, asked=("POST", "/fhir", visit(name)), Prefer="return=representation", **headers
        )
        for entry in told.json["entry"][:-1]:
            place = "/".join(entry["response"]["location"].split("/_history/")[0].split("/")[-2:])
            version = entry["response"]["etag"][3:-1]
            body = json.dumps(entry["resource"]).encode()
            self.ledger.learn(Fact(place, version, body))

    # --- making sure ---

    async def _insist(self, name: str, ask: Callable[[], Awaitable[None]]) -> None:
        """Ask; and if no answer comes, ask just that again."""

        async def again() -> None:
            await ask()
            await self._once_at_most("Patient", name)

        self.under_way = Try(name, again)
        await ask()

    async def _once_at_most(self, type: str, name: str) -> bool:
        return bool(await find(self.client, type, name))

    async def _all_or_none(self, name: str) -> None:
        names = [name, name, f"{name}a", f"{name}b", name]
        found = [await self._once_at_most(*pair) for pair in zip(VISIT, names, strict=True)]
        assert found in ([True] * 5, [False] * 5), f"half of {name} is there: {found}"

    async def _recount(self) -> None:
        told = await self._ask(200, 404, asked=("GET", f"Patient/counter-{self.name}"))
        held, version = self.counter
        if told.status == 404 and version is None:
            return
        found = told.json["multipleBirthInteger"]
        assert (found, told.version) == self.counter or found == held + 1, (found, held)
        self.counter = (found, told.version)
        self.ledger.learn(fact_of(told))


async def find(client: Client, type: str, name: str) -> Resource | None:
    """The one resource of this name, by search; and reading it gives the same."""
    told = await client.ask("GET", f"{type}?identifier={SYSTEM}|{name}")
    if told.status == 503:
        raise Lost(told.refusal)
    assert told.status == 200, told
    bundle = told.json
    assert bundle["total"] <= 1, f"{type} {name} is there {bundle['total']} times"
    if not bundle["total"]:
        return None
    found: Resource = bundle["entry"][0]["resource"]
    read = await client.ask("GET", f"{type}/{found['id']}")
    if read.status == 503:
        raise Lost(read.refusal)
    assert read.json == found, "search and read differ"
    return found


async def check(client: Client, ledger: Ledger) -> int:
    """Everything acknowledged since the last check is there as it was told. How many versions."""
    for fact in ledger.fresh:
        told = await client.ask("GET", f"{fact.place}/_history/{fact.version}")
        if fact.body is None:
            assert told.status == 410, (fact, told)
            assert (await client.ask("GET", fact.place)).status == 410
            continue
        assert told.status == 200, (fact, told)
        assert told.json == json.loads(fact.body)
        assert told.version == fact.version
        if ledger.newest[fact.place] == fact:
            now = await client.ask("GET", fact.place)
            assert (now.status, now.version, now.body) == (200, fact.version, told.body)
            type = fact.place.partition("/")[0]
            name = told.json["identifier"][0]["value"]
            assert await find(client, type, name) == told.json
    checked = len(ledger.fresh)
    ledger.fresh.clear()
    return checked


async def write_until(writers: Sequence[Writer], seconds: float, then: Callable[[], None]) -> None:
    """All write at once; after this time `then` ends the server, and so them."""
    running = [asyncio.create_task(writer.write()) for writer in writers]
    await asyncio.sleep(seconds)
    await asyncio.to_thread(then)
    await asyncio.wait_for(asyncio.gather(*running), 60)
