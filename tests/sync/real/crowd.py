"""crowd — nodes that push, clients that write at the hub, and those who follow, all at one time."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Generator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from fhir_server.sync.node.line import Away, Line, enrol
from fhir_server.sync.receipts import revs_of
from fhir_server.sync.words import TAKEN, Kind, Push, Pushed, answer, page, push
from tests.sync.hub.disk import version
from tests.sync.hub.posts import measured, person, visit
from tests.sync.real.place import Place
from tests.sync.real.province import Hub, organization

Named = tuple[str, str]  # a resource, and a version of it
WITHIN = 300.0  # seconds until everybody has met everything, on a machine that does much else
TRIES = 50
WAIT = 2  # seconds that an answer waits for something new


@dataclass
class Facility:
    """A post's name, its systems, its patients as registered, and what was acknowledged."""

    name: str
    place: Place | None = None
    patients: dict[str, str] = field(default_factory=dict)  # by id, the version
    kept: list[Named] = field(default_factory=list)


class Bearer(httpx.Auth):
    """A token of the place, which asks for another when it is old."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self.place.token()}"
        yield request


# --- who writes ----------------------------------------------------------------------------------


@dataclass
class Node:
    """Pushes visits, and telephone numbers of patients whom others change, too."""

    facility: Facility
    name: str
    line: Line
    sent: list[Pushed] = field(default_factory=list)

    async def work(self, rounds: int) -> None:
        before = dict(self.facility.patients)
        for number in range(rounds):
            id = f"{self.name}-{number}"
            whose = sorted(before)[number % len(before)]
            some = [self._next(visit(f"{id}v", whose, self.facility.name), group=2 * number)]
            some.append(self._next(measured(f"{id}o", whose, number), group=2 * number))
            phone = [{"system": "phone", "value": f"{id}"}]
            told = person(whose, self.facility.name, telecom=phone)
            some.append(self._next(told, before[whose], group=2 * number + 1))
            before[whose] = some[-1].rev
            await self._send(some)

    def _next(self, body: dict[str, Any], *parents: str, group: int) -> Pushed:
        found = version(len(self.sent) + 1, body, group=group)
        if parents:
            named = push.named(found.key, parents, body)
            found = found._replace(rev=named, parents=parents, method="PUT")
        self.sent.append(found)
        return found

    async def _send(self, some: list[Pushed]) -> None:
        """Again and again, until all of it is answered."""
        first = some[0].number
        before = self.sent[first - 2].rev if first > 1 else ""
        said = Push(self.name, "7f3c", first, before, tuple(some), int(time.time() * 1000))
        revs = {one.number: one.rev for one in some}
        reached = 0
        while reached < some[-1].number:
            with suppress(Away):
                told = (await self.line.push(push.written(said))).bundle
                plain = answer.read(told, revs, "")
                assert plain.refused is None
                signed = json.loads(plain.said)
                reached = plain.reached
        assert signed["revs"] == revs_of(revs.items())
        for receipt, one in zip(answer.receipts_of(signed["receipts"], revs), some, strict=True):
            assert receipt.outcome in TAKEN, (one.key, receipt)
            self.facility.kept.append((str(one.key), one.rev))


@dataclass
class Writer:
    """Writes at the hub itself, and changes the same patients."""

    facility: Facility
    name: str
    asking: httpx.AsyncClient

    async def work(self, rounds: int) -> None:
        patients = sorted(self.facility.patients)
        for number in range(rounds):
            whose = patients[number % len(patients)]
            id = f"{self.facility.name}.{self.name}-{number}"
            await self._put(measured(id, whose, number))
            await self._phone(whose, id)

    async def _phone(self, whose: str, value: str) -> None:
        """Add a number to what is there; who was not first reads it anew."""
        for _ in range(TRIES):
            found = await self.asking.get(f"Patient/{whose}")
            body = found.json()
            body["telecom"] = [*body.get("telecom", ()), {"system": "phone", "value": value}]
            if await self._put(body, found.headers["etag"]):
                return

    async def _put(self, body: dict[str, Any], match: str = "") -> bool:
        name = f"{body['resourceType']}/{body['id']}"
        headers = {"If-Match": match} if match else {}
        told = await self.asking.put(name, json=body, headers=headers)
        if told.status_code in (200, 201):
            self.facility.kept.append((name, told.headers["etag"][3:-1]))
            return True
        assert told.status_code in (409, 412), told.text
        return False


# --- who follows ---------------------------------------------------------------------------------


@dataclass
class Plain:
    """Follows the feed as any FHIR client may. met: each row's resource and version, in order."""

    asking: httpx.AsyncClient
    size: int
    met: list[Named] = field(default_factory=list)
    _next: str = ""

    async def look(self) -> None:
        url = self._next or f"_history?_cursor=&_count={self.size}"
        told = await self.asking.get(url, headers={"Prefer": f"wait={WAIT}"})
        assert told.status_code == 200, told.text
        bundle = told.json()
        self._next = next(one["url"] for one in bundle["link"] if one["relation"] == "next")
        for one in bundle.get("entry", ()):
            name = "/".join(one["fullUrl"].split("/")[-2:])
            self.met.append((name, one["response"]["etag"][3:-1]))


@dataclass
class Puller:
    """Follows as a node does."""

    line: Line
    met: list[Named] = field(default_factory=list)
    places: list[Any] = field(default_factory=list)
    _cursor: str = ""

    async def look(self) -> None:
        with suppress(Away):
            told = await self.line.pull(
                {"cursor": self._cursor, "incarnation": "f011", "wait": str(WAIT)}
            )
            found = page.read(told.bundle)
            assert found.cursor == self._cursor
            self._cursor = found.next
            for row in found.rows:
                assert row.kind is Kind.VERSION, row
                self.met.append((str(row.key), row.rev))
                self.places.append(row.place)


async def follow(one: Plain | Puller, over: asyncio.Event) -> None:
    while not over.is_set():
        await one.look()


async def follow_until(one: Plain | Puller, wanted: Iterable[Named]) -> None:
    """An empty page is no end: something older may still be about to be written."""
    deadline = time.monotonic() + WITHIN
    while not set(wanted) <= set(one.met):
        assert time.monotonic() < deadline, set(wanted) - set(one.met)
        await one.look()


# --- all of them ---------------------------------------------------------------------------------


@dataclass
class Crowd:
    """At facilities of a hub. Whoever is made here is closed with it."""

    hub: Hub
    lines: list[Line] = field(default_factory=list)
    clients: list[httpx.AsyncClient] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)

    async def facility(self, name: str, patients: int) -> Facility:
        found = Facility(name)
        await asyncio.to_thread(self._register, found)
        asking = self.client(found)
        for number in range(patients):
            id = f"{name}.p{number}"
            told = await asking.put(f"Patient/{id}", json=person(id, name))
            assert told.status_code == 201, told.text
            found.patients[id] = told.headers["etag"][3:-1]
            found.kept.append((f"Patient/{id}", found.patients[id]))
        return found

    def _register(self, found: Facility) -> None:
        operator = self.hub.place(f"op-{found.name}", "operator", purpose="HSYSADMIN")
        told = operator.ask("PUT", f"Organization/{found.name}", organization(found.name))
        assert told.status_code == 201, told.text
        operator.close()
        found.place = self.hub.place(f"his-{found.name}", "system", found.name)
        self.places.append(found.place)

    def client(self, facility: Facility) -> httpx.AsyncClient:
        """One who may what the facility's own systems may."""
        assert facility.place is not None
        made = httpx.AsyncClient(
            base_url=self.hub.base, auth=Bearer(facility.place), timeout=60, trust_env=False,
            verify=False,
        )  # fmt: skip
        self.clients.append(made)
        return made

    async def line(self, name: str, facility: Facility) -> Line:
        code = await asyncio.to_thread(self.hub.code, name, "node", facility.name)
        made = Line(await enrol(self.hub.base, code))
        self.lines.append(made)
        return made

    async def node(self, name: str, facility: Facility) -> Node:
        return Node(facility, name, await self.line(name, facility))


@asynccontextmanager
async def crowd(hub: Hub) -> AsyncIterator[Crowd]:
    made = Crowd(hub)
    try:
        yield made
    finally:
        for one in made.lines:
            await one.close()
        for client in made.clients:
            await client.aclose()
        for place in made.places:
            place.close()
