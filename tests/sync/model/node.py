"""The model's node: a health post's laptop. Its outbox is what the hub has not confirmed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fhir_server.sync.epochs import START, Epoch, Place, fork
from tests.sync.model.replica import Replica, State
from tests.sync.model.words import CHUNK, Ask, Revision, Version

if TYPE_CHECKING:
    from tests.sync.model.world import World

Where = tuple[str, Place]  # the name of an epoch, and a place
Shown = tuple[str, int, str, Place]  # incarnation, number, the epoch it was given in, place


class NodeState(State):
    def __init__(self, incarnation: str) -> None:
        super().__init__()
        self.confirmed: dict[Revision, Where] = {}
        self.parked: dict[Revision, Where] = {}  # where it was refused
        # what got a number, with its group: number = index + 1
        self.packed: list[tuple[Revision, int]] = []
        self.acked = 0
        self.incarnation = incarnation
        self.cursor: tuple[Any, Any] = (None, None)
        self.read = START  # the newest row the hub had when it answered
        self.unmet: set[str] = set()  # confirmed before this bootstrap, and not met in it yet
        self.epochs: tuple[Epoch, ...] = (Epoch("e1"),)
        self.came: dict[Revision, Where] = {}  # what the hub sent and still has: for checks alone
        self.patients: dict[str, str] = {}  # as the hub says: a deletion has no subject
        self.left: set[str] = set()
        self.receipts: list[tuple[Revision, str, str, Place]] = []
        self.shows: Shown | None = None  # the last receipt


class Node(Replica[NodeState]):
    def __init__(self, world: World, name: str, incarnation: str) -> None:
        super().__init__(world, NodeState(incarnation))
        self.name, self.nonce = name, 0
        self.due = 1  # the line was away: it shows what it has from this question on; 0: no need

    def is_mutant(self, name: str) -> bool:
        return self.world.mutant == name

    # --- local work ------------------------------------------------------------------------------

    def write(self, version: Version) -> None:
        """A local client's write: durable, then acknowledged."""
        rev = self.learn(version)
        self.point()
        self.commit()
        self.world.wrote(rev, version)
        self.point()

    def display(self, resource: str) -> list[Revision]:
        """What a local user sees: own unfinished work first, else the hub's heads."""
        bodied = [rev for rev in self.now.by[resource] if self.body(rev) is not None]
        passed = self.passed(bodied)
        mine = [rev for rev in bodied if rev not in passed and rev not in self.now.confirmed]
        return mine[-1:] or self.heads(resource)

    # --- asking ----------------------------------------------------------------------------------

    def outbox(self) -> list[Revision]:
        now = self.now
        numbered = {rev for rev, _ in now.packed[now.acked :]}
        return [
            rev
            for rev, version in now.versions.items()
            if version.body is not None
            and rev not in now.confirmed
            and rev not in now.parked
            and rev not in numbered
        ]

    def pack(self) -> None:
        """Number the next group: a version, what it follows, what it refers to."""
        now, waiting = self.now, self.outbox()
        if not waiting or len(now.packed) - now.acked >= CHUNK:
            return
        order: list[Revision] = []

        def take(rev: Revision) -> None:
            if rev not in waiting or rev in order:
                return
            version = now.versions[rev]
            for parent in version.parents:
                take(parent)
            for earlier in now.by.get(self.said(rev).get("subject", ""), ()):
                take(earlier)
            order.append(rev)

        take(self.world.random.choice(waiting))
        is_own = not any(rev in now.came for rev in order)
        self.world.demand(is_own, f"{self.name} echoes {order}")
        group = now.packed[-1][1] + 1 if now.packed else 0
        now.packed += [(rev, group) for rev in order]
        self.point()
        self.commit()

    def ask_push(self) -> Ask | None:
        self.pack()
        now = self.now
        sent = now.packed[now.acked :]
        if not sent:
            return None
        entries = [(rev, now.versions[rev], self.lineage(rev), group) for rev, group in sent]
        before = now.packed[now.acked - 1][0] if now.acked else None
        told = {"first": now.acked + 1, "before": before, "entries": entries}
        return {**self.ask("push"), **told}

    def ask_pull(self) -> Ask:
        return {**self.ask("pull"), "cursor": self.now.cursor, "parked": list(self.now.parked)}

    def ask(self, kind: str) -> Ask:
        self.nonce += 1
        return {
            "kind": kind,
            "node": self.name,
            "incarnation": self.now.incarnation,
            "device": self,
            "nonce": self.nonce,
            "shown": self.now.shows if self.due else None,
        }

    # --- being answered --------------------------------------------------------------------------

    def receive(self, answer: Ask) -> None:
        """Take the answer to the newest question; older ones come from a world that may be gone."""
        if answer["nonce"] != self.nonce and not self.is_mutant("late-answers-believed"):
            return
        self.due = self.due if answer["nonce"] < self.due else 0
        self.adopt(answer["epochs"])
        if answer["kind"] == "push":
            self.take_outcomes(answer)
        else:
            self.take_page(answer)
        self.point()
        self.commit()
        self.point()

    def adopt(self, epochs: tuple[Epoch, ...]) -> None:
        """The hub may have come back from a backup: what it confirmed after that is no more so."""
        now = self.now
        parted = fork(now.epochs, epochs)
        if parted is None:
            return
        if not self.is_mutant("confirmations-kept"):
            for held in (now.confirmed, now.parked, now.came):
                for rev in [rev for rev, (_, at) in held.items() if at >= parted]:
                    del held[rev]
        if now.read >= parted and not self.is_mutant("cursor-only-rewound"):
            # what a snapshot showed may not be so: once more
            now.cursor, now.read = (None, None), START
            now.unmet = {now.versions[rev].resource for rev in now.confirmed}
        elif now.cursor[0] is not None and now.cursor[0] >= parted:
            now.cursor = (parted, None)
        now.epochs = epochs

    def reincarnate(self) -> None:
        """This disk has been somewhere else before: number anew, under a new name."""
        self.now.incarnation = f"i{self.world.random.getrandbits(32)}"
        self.now.packed, self.now.acked = [], 0

    def take_outcomes(self, answer: Ask) -> None:
        now = self.now
        if answer.get("refused") == "gap":
            now.acked = min(now.acked, answer["reached"])
        elif answer.get("refused") == "reused":
            self.reincarnate()
        newest = answer["epochs"][-1].name
        for number, told, outcome, place in answer["outcomes"]:
            if number != now.acked + 1 or number > len(now.packed):
                continue
            rev = now.packed[number - 1][0]
            if rev != told and not self.is_mutant("reused-number-trusted"):
                self.reincarnate()
                return
            now.acked = number
            where = (answer["epochs"][place.epoch - 1].name, place)
            (now.parked if outcome == "parked" else now.confirmed)[rev] = where
            now.receipts.append((rev, outcome, *where))
            now.shows = (now.incarnation, number, newest, place)
            self.world.check_receipt(rev, newest)

    def take_page(self, answer: Ask) -> None:
        now = self.now
        if answer["from"] != now.cursor:
            return
        strange = any(e.get("own") and self.body(e["rev"]) is None for e in answer["entries"])
        if strange and not self.is_mutant("own-body-presumed"):
            self.reincarnate()  # the hub says I wrote this, and I do not know it
            return
        now.cursor, now.read = answer["cursor"], max(now.read, answer["read"])
        if self.is_mutant("cursor-first"):
            self.commit()
            self.point()
        now = self.now
        for entry in answer["entries"]:
            if "left" in entry:
                self.let_go(entry["left"], whole=entry["record"])
            else:
                self.take_entry(entry, answer["epochs"])
        if now.cursor[1] is None or now.cursor[1][0]:
            now.left |= now.unmet  # the bootstrap is over: what it did not name is not ours
            now.unmet = set()
        for rev, place in answer["mended"].items():
            now.parked.pop(rev, None)
            now.confirmed[rev] = (answer["epochs"][place.epoch - 1].name, place)

    def let_go(self, named: str, *, whole: bool) -> None:
        self.now.left |= {
            one for one in self.now.by if one == named or (whole and self.subject(one) == named)
        }

    def take_entry(self, entry: dict[str, Any], epochs: Sequence[Epoch]) -> None:
        now, version, rev = self.now, entry["version"], entry["rev"]
        self.learn_lineage(version.resource, entry["lineage"])
        now.patients[version.resource] = entry["patient"]
        if not entry["own"]:
            self.learn(version)
        now.came[rev] = (epochs[entry["place"].epoch - 1].name, entry["place"])
        if not self.is_mutant("no-echo-suppression"):
            now.confirmed[rev] = now.came[rev]
        now.parked.pop(rev, None)
        now.left.discard(version.resource)
        now.unmet.discard(version.resource)

    def subject(self, resource: str) -> str | None:
        said = [
            dict(body)["subject"]
            for rev in self.now.by[resource]
            if (body := self.body(rev)) and "subject" in dict(body)
        ]
        return self.now.patients.get(resource, said[-1] if said else None)
