"""node — another vendor's node: what it keeps, what it sends, what it takes.

docs/sync.md, "Push", "Receipts", "Pull". What it keeps (`Disk`) it would write down in one
transaction with each step; here it stays in memory, and a test may copy it, as a backup does.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from tests.sync.vendor import places, receipts, written
from tests.sync.vendor.calling import Hub, Told

URL = "https://fhir-server.example/StructureDefinition/"
CHUNK = 100  # entries that are sent at once
TRIES = 5  # of a question that is not answered
SILENT = 30.0  # seconds after which the hub may have been away unseen
OVER = ("parked", "refused")  # what the hub says of a version that it does not show


@dataclass
class Version:
    """One version of one resource. place: where it stands at the hub, once that is known."""

    type: str
    id: str
    name: str
    parents: tuple[str, ...]
    resource: dict[str, Any] | None
    at: str = ""
    has_body: bool = True
    place: places.Place | None = None
    confirmed: bool = False
    reason: Any = None  # why it is parked or refused
    patient: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.type, self.id


@dataclass
class Disk:
    """All that a node must keep."""

    incarnation: str = field(default_factory=lambda: uuid.uuid4().hex)
    versions: dict[tuple[str, str, str], Version] = field(default_factory=dict)
    numbers: dict[int, tuple[str, str, str]] = field(default_factory=dict)
    groups: dict[int, int] = field(default_factory=dict)
    reached: int = 0
    kept: list[tuple[str, str]] = field(default_factory=list)  # said, signed
    epochs: str = ""
    read: places.Place = (0, 0, 0)
    cursor: str = ""
    hidden: set[tuple[str, str]] = field(default_factory=set)
    came: set[tuple[str, str]] | None = None  # while everything is being sent anew


class Node:
    """The node; whoever works at the post calls `write` and `delete`."""

    def __init__(self, hub: Hub, keys: dict[str, Any]) -> None:
        self.hub, self.keys, self.disk = hub, keys, Disk()
        self.due = True  # the last receipt is shown with each question until one is answered
        self.heard = 0.0  # when the hub answered last

    # What people do

    def write(self, type: str, id: str, resource: dict[str, Any] | None) -> str:
        """The next version after all that are shown; its name."""
        parents = tuple(one.name for one in self.heads(type, id)[:1])
        return self._keep(type, id, parents, resource)

    def choose(self, type: str, id: str, resource: dict[str, Any]) -> str:
        """A person's choice between several heads: the next version of all of them."""
        parents = tuple(one.name for one in self.heads(type, id))
        return self._keep(type, id, parents, resource)

    def _keep(
        self, type: str, id: str, parents: tuple[str, ...], resource: dict[str, Any] | None
    ) -> str:
        held = None if resource is None else written.read(written.write(resource))
        name = written.name(type, id, parents, held)
        made = Version(type, id, name, parents, held, _now())
        self.disk.versions.setdefault((type, id, name), made)
        return name

    def of(self, type: str, id: str) -> list[Version]:
        return [one for one in self.disk.versions.values() if one.key == (type, id)]

    def heads(self, type: str, id: str) -> list[Version]:
        """Versions that no other follows, the displayed one first."""
        every = self.of(type, id)
        followed = {parent for one in every for parent in one.parents}
        ends = [one for one in every if one.name not in followed and one.has_body]
        return sorted(ends, key=_displayed, reverse=True)

    def shown(self, type: str, id: str) -> dict[str, Any] | None:
        found = self.heads(type, id)
        return found[0].resource if found and (type, id) not in self.disk.hidden else None

    # What is sent

    @property
    def unsent(self) -> list[Version]:
        every = self.disk.versions.values()
        return [one for one in every if one.has_body and not one.confirmed and not one.reason]

    def number(self) -> None:
        """Give numbers, without a gap: whatever a version needs stands before it, in its group."""
        given = {key for number, key in self.disk.numbers.items() if number > self.disk.reached}
        waiting = {
            (one.type, one.id, one.name): one
            for one in self.unsent if (one.type, one.id, one.name) not in given
        }  # fmt: skip
        while waiting:
            group = list(dict.fromkeys(_needed(next(iter(waiting.values())), waiting)))
            first = max(self.disk.numbers, default=0) + 1
            for number, key in enumerate(group, first):
                self.disk.numbers[number] = key
                self.disk.groups[number] = first
                waiting.pop(key)

    def chunk(self, first: int, last: int, shown: str = "") -> Any:
        told = [
            _part("node", self.hub.client), _part("incarnation", self.disk.incarnation),
            _part("first", first), _part("sent", str(int(time.time() * 1000))),
        ]  # fmt: skip
        if first > 1:
            told.append(_part("before", self.disk.numbers[first - 1][2]))
        if shown:
            told.append(_part("shown", shown))
        entries = [self._entry(number) for number in range(first, last + 1)]
        meta = {"extension": [{"url": f"{URL}sync-push", "extension": told}]}
        return {"resourceType": "Bundle", "meta": meta, "type": "history", "entry": entries}

    def _entry(self, number: int) -> Any:
        one = self.disk.versions[self.disk.numbers[number]]
        told = [_part("group", self.disk.groups[number])]
        told += [_part("parent", parent) for parent in one.parents]
        method, status = ("DELETE", "204") if one.resource is None else ("PUT", "200")
        entry: dict[str, Any] = {
            "extension": [{"url": f"{URL}sync-version", "extension": told}],
            "request": {"method": method, "url": f"{one.type}/{one.id}"},
            "response": {"status": status, "lastModified": one.at},
        }
        if one.resource is not None:
            entry["resource"] = written.bare(one.resource)
        return entry

    def push(self) -> None:
        """Send until the hub has everything."""
        self.number()
        while self.disk.reached < max(self.disk.numbers, default=0):
            first = self.disk.reached + 1
            last = min(first + CHUNK - 1, max(self.disk.numbers))
            while (
                last in self.disk.groups
                and self.disk.groups.get(last + 1) == self.disk.groups[last]
            ):
                last += 1
            self.take_answer(self._asked(_pushing(self, first, last)), last)
            self.number()  # what the hub has lost is unsent again

    def take_answer(self, answer: Any, last: int) -> None:
        """What the hub says of the numbers up to last."""
        told = _parts(answer["meta"], "sync-answer")
        self._epochs(told["epochs"])
        if refused := told.get("refused"):
            self.due = True
        if refused == "gap":
            self.disk.reached = int(told["reached"])
        elif refused in ("reused", "retired"):
            self.begin_anew()
        else:
            self._receipts(told["said"], told["signed"], answer)
            self.disk.reached = min(int(told["reached"]), max(last, self.disk.reached))

    def _receipts(self, said: str, signed: str, answer: Any) -> None:
        sent = {number: key[2] for number, key in self.disk.numbers.items()}
        reasons = {
            int(_parts(one, "sync-receipt")["number"]): one["resource"]
            for one in answer.get("entry", ())
        }
        for receipt in receipts.verified(said, signed, self.keys, sent):
            one = self.disk.versions[self.disk.numbers[receipt.number]]
            one.place = receipt.place
            one.confirmed = receipt.outcome not in OVER
            one.reason = None if one.confirmed else reasons.get(receipt.number, receipt.outcome)
        if (said, signed) not in self.disk.kept:
            self.disk.kept.append((said, signed))

    def begin_anew(self) -> None:
        """Another life of the disk: numbers from 1, and what is not confirmed is sent."""
        self.disk.incarnation = uuid.uuid4().hex
        self.disk.numbers, self.disk.groups, self.disk.reached = {}, {}, 0
        self.number()

    # When the last receipt is shown

    def _asked(self, ask: Callable[[str], Any]) -> Any:
        """What the hub answers, as soon as it does."""
        self.due = self.due or time.monotonic() > self.heard + SILENT
        for _ in range(TRIES):
            shown = receipts.whole(*self.disk.kept[-1]) if self.due and self.disk.kept else ""
            try:
                answer = ask(shown)
            except httpx.TransportError:
                self.due = True
                continue
            self.due, self.heard = False, time.monotonic()
            return answer
        raise AssertionError("the hub does not answer")

    # What is taken

    def pull(self, **asked: str) -> None:
        """Ask until there is nothing more."""
        while self.take(self.ask(**asked)):
            pass

    def ask(self, **asked: str) -> Any:
        told = {"incarnation": self.disk.incarnation} | asked
        if self.disk.cursor:
            told["cursor"] = self.disk.cursor
        apart = [one for one in self.disk.versions.values() if one.reason]
        if apart:  # a real node has many, and asks about some at a time
            named = [f"{one.type}/{one.id}/_history/{one.name}" for one in apart[:100]]
            told["parked"] = ",".join(named)
        try:
            return self._asked(
                lambda shown: self.hub.pull(**told, **({"shown": shown} if shown else {}))
            )
        except Told as gone:
            if gone.status != 410:
                raise
            self.due = True
            self.disk.cursor, self.disk.came = "", set()
            return self.ask(**asked)

    def take(self, page: Any) -> bool:
        """A page; whether there is more."""
        told = _parts(page["meta"], "sync-page")
        if told.get("cursor", "") != self.disk.cursor:
            return True  # it answers another question
        if self._epochs(told["epochs"]):
            return True  # ask again, from where the fork says
        self.due = self.due or places.place(told["read"]) < self.disk.read
        entries = page.get("entry", ())
        if any(self._is_lost(one) for one in entries):
            self.begin_anew()  # the hub has what this disk has forgotten
            return True
        for stored in told.get("stored*", ()):
            for one in self.disk.versions.values():
                if one.name == stored:
                    one.reason, one.confirmed = None, True
        for entry in entries:
            self._take(entry)
        entering = "entering" in told
        if not entering and self.disk.came is not None:
            self._hide_what_did_not_come()
        self.disk.cursor, self.disk.read = told["next"], places.place(told["read"])
        return entering or bool(told.get("more"))

    def _is_lost(self, entry: Any) -> bool:
        """An echo of what this disk does not have."""
        if not _parts(entry, "sync-version").get("echo"):
            return False
        type, id = entry["request"]["url"].split("/")
        held = self.disk.versions.get((type, id, _name_of(entry)))
        return held is None or not held.has_body

    def _take(self, entry: Any) -> None:
        told = _parts(entry, "sync-version")
        type, id = entry["request"]["url"].split("/")
        if left := _value(entry.get("modifierExtension", ()), "sync-left"):
            self._let_go(left, type, id)
            return
        self.disk.hidden.discard((type, id))
        if self.disk.came is not None:
            self.disk.came.add((type, id))
        for stub in told.get("stub*", ()):
            name, *parents = stub.split(" ")
            self.disk.versions.setdefault(
                (type, id, name),
                Version(type, id, name, tuple(parents), None, has_body=False, confirmed=True),
            )
        parents = tuple(told.get("parent*", ()))
        key = (type, id, _name_of(entry))
        held = self.disk.versions.get(key)
        if held is None or not held.has_body:
            body = written.bare(entry.get("resource"))
            held = self.disk.versions[key] = Version(type, id, key[2], parents, body, _now())
        held.place, held.confirmed, held.reason = places.place(told["position"]), True, None
        held.patient = told.get("patient", "")

    def _let_go(self, left: str, type: str, id: str) -> None:
        """No deletion: what left the catchment is hidden, and what is unsent is still sent."""
        if left == "resource":
            self.disk.hidden.add((type, id))
            return
        of = {one.key for one in self.disk.versions.values() if one.patient == id}
        self.disk.hidden |= of | {(type, id)}

    def _hide_what_did_not_come(self) -> None:
        held = {one.key for one in self.disk.versions.values() if one.confirmed}
        self.disk.hidden |= held - (self.disk.came or set())
        self.disk.came = None

    def _epochs(self, text: str) -> bool:
        """Compare the hub's epochs with those it told before; whether the pull begins again."""
        fork = places.fork(places.epochs(self.disk.epochs), places.epochs(text))
        self.disk.epochs = text
        if fork is None:
            return False
        for one in self.disk.versions.values():
            lost = one.place is not None and one.place >= fork
            if one.has_body and (lost or (one.reason and one.place is None)):
                one.confirmed, one.reason, one.place = False, None, None
        if self.disk.read >= fork:
            self.disk.cursor, self.disk.came = "", set()
            return True
        return False


def _pushing(node: Node, first: int, last: int) -> Callable[[str], Any]:
    return lambda shown: node.hub.push(node.chunk(first, last, shown))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _displayed(one: Version) -> tuple[bool, bool, int, str]:
    return (
        not one.confirmed, one.resource is not None, written.generation_of(one.name), one.name
    )  # fmt: skip


def _needed(
    one: Version, waiting: dict[tuple[str, str, str], Version]
) -> list[tuple[str, str, str]]:
    """One and all that it needs of those waiting, these first; a circle ends where it began."""
    found: list[tuple[str, str, str]] = []
    seen = set()

    def walk(at: Version) -> None:
        key = (at.type, at.id, at.name)
        if key in seen:
            return
        seen.add(key)
        for other in waiting.values():
            referred = f"{other.type}/{other.id}" in references(at.resource)
            if referred or (other.key == at.key and other.name in at.parents):
                walk(other)
        found.append(key)

    walk(one)
    return found


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        told = {value["reference"]} if isinstance(value.get("reference"), str) else set()
        return told.union(*(references(one) for one in value.values()))
    return set().union(*(references(one) for one in value)) if isinstance(value, list) else set()


def _name_of(entry: Any) -> str:
    """A version that comes: in its body, or in its ETag."""
    etag = entry["response"].get("etag")
    return str(etag[3:-1] if etag else entry["resource"]["meta"]["versionId"])


def _part(url: str, value: Any) -> Any:
    kind = "valueInteger" if isinstance(value, int) else "valueString"
    return {"url": url, kind: value}


def _parts(of: Any, name: str) -> dict[str, Any]:
    """The parts of an extension; under `name*` all of one name."""
    found: dict[str, Any] = {}
    for extension in of.get("extension", ()):
        if extension["url"] == URL + name:
            for part in extension["extension"]:
                value = next(part[key] for key in part if key.startswith("value"))
                found[part["url"]] = value
                found.setdefault(part["url"] + "*", []).append(value)
    return found


def _value(extensions: Any, name: str) -> str:
    return next((str(one["valueCode"]) for one in extensions if one["url"] == URL + name), "")
