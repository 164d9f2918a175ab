"""The model's hub: every public method is one request, every commit one transaction."""

from __future__ import annotations

from bisect import insort
from itertools import combinations
from typing import TYPE_CHECKING, Any

from fhir_server.sync.epochs import START, Epoch, Place
from tests.sync.model.page import Page
from tests.sync.model.replica import Replica, State
from tests.sync.model.words import (
    Ask,
    Busy,
    Revision,
    Row,
    Version,
    merge,
    revision,
    sees,
    valid,
)

if TYPE_CHECKING:
    from tests.sync.model.world import World

Life = tuple[str, str]  # node, incarnation


class HubState(State):
    def __init__(self) -> None:
        super().__init__()
        self.log: list[Row] = []  # in order of place
        self.first: dict[Revision, Place] = {}  # where it was first announced
        self.announced: dict[str, Revision] = {}  # what the log names last of a resource
        self.last: dict[str, Place] = {}  # the place of its last row
        self.parked: dict[Revision, tuple[str, Place]] = {}  # quarantine: why, and where
        self.homes: dict[str, str | None] = {}  # patient -> node
        self.patients: dict[str, str] = {}  # resource -> patient
        self.reached: dict[Life, int] = {}  # the last number with an outcome
        self.receipts: dict[tuple[str, str, int], tuple[Revision, str, Place]] = {}
        self.pushed: set[tuple[str, str, Revision]] = set()
        self.authored: set[tuple[str, str]] = set()  # node, resource: what it ever pushed
        self.whole: dict[Life, Place] = {}  # where a copy with `reached` surely has all before
        self.lives: dict[str, tuple[str, ...]] = {}  # incarnations of a node, newest last
        self.alarms: set[str] = set()  # nodes of which two seem to be alive
        self.epochs: tuple[Epoch, ...] = (Epoch("e1"),)


class Hub(Replica[HubState]):
    def __init__(self, world: World) -> None:
        super().__init__(world, HubState())
        # transactions begun and not committed
        self.open: dict[int, tuple[Version, str | None]] = {}
        self.xid = 0
        self.number = 0

    def die(self) -> None:
        self.rollback()
        self.open = {}

    def is_mutant(self, name: str) -> bool:
        return self.world.mutant == name

    # --- writing ---------------------------------------------------------------------------------

    def begin(self) -> int:
        self.xid += 1
        self.number = 0
        return self.xid

    def append(
        self,
        xid: int,
        kind: str,
        resource: str,
        what: Any,
        was: str = "",
        audience: str | None = None,
    ) -> Place:
        if not self.is_mutant("transaction-id-before-lock"):
            if any(v.resource == resource for x, (v, _) in self.open.items() if x != xid):
                raise Busy  # a row lock
            if self.now.last.get(resource, START)[:2] > (len(self.now.epochs), xid):
                raise Busy  # a later transaction was here first: begin again, with a later id
        self.number += 1
        place = Place(len(self.now.epochs), xid, self.number)
        self.now.last[resource] = place
        patient = self.now.patients.get(resource, resource)
        whose = (was or patient, patient)
        row = Row(place, kind, resource, what, whose, min([*self.open, xid]), audience)
        insort(self.now.log, row)
        return place

    def announce(self, xid: int, resource: str, rev: Revision, audience: str | None = None) -> None:
        was = self.now.patients.get(resource, "")
        if audience is None:
            audience = self.now.homes.get(self.patient(resource))
        heads = self.heads(resource)
        self.now.patients[resource] = self.patient(resource)
        place = self.append(xid, "version", resource, rev, was, audience)
        self.now.first.setdefault(rev, place)
        self.now.announced[resource] = rev
        if resource[0] == "P" and heads:
            before = self.now.homes.get(resource)
            home = self.said(heads[0]).get("home", before)
            if home != before:
                self.now.homes[resource] = home
                self.append(xid, "home", resource, (before, home))

    def patient(self, resource: str) -> str:
        """Whose record a resource is: the display head says."""
        if resource[0] == "P":
            return resource
        heads = self.heads(resource)
        if not heads:
            return ""
        return str(self.said(heads[0]).get("subject", self.now.patients.get(resource, "")))

    def store(self, xid: int, version: Version, audience: str | None = None) -> Revision:
        """Keep a valid version, merge what can be, tell followers, and wake what waited for it."""
        resource = version.resource
        rev = self.learn(version)
        self.now.parked.pop(rev, None)
        self.announce(xid, resource, rev, audience)
        self.settle(xid, resource)
        if resource[0] == "P":
            self.link(xid, resource)
        if not self.is_mutant("dependants-forgotten"):
            self.wake(xid, resource)
        return rev

    def wake(self, xid: int, resource: str) -> None:
        """What waited for the resource, the shorter histories first."""
        waiting = sorted(self.now.parked.items(), key=lambda one: int(one[0].split("-")[0]))
        for rev, (why, _) in waiting:
            if why == resource and rev in self.now.parked:
                self.apply(xid, self.now.versions[rev])

    def settle(self, xid: int, resource: str) -> None:
        """Merge heads until no pair merges; then let the log end with the head to display."""
        while self.merge_two(xid, resource):
            continue
        display = self.heads(resource)[0]
        if self.now.announced[resource] != display and not self.is_mutant("display-not-repeated"):
            self.announce(xid, resource, display)

    def merge_two(self, xid: int, resource: str) -> bool:
        forgets = self.is_mutant("merge-forgets-parent")
        for pair in combinations(self.heads(resource), 2):
            ours, theirs = pair
            if self.is_mutant("last-writer-wins") and theirs != self.now.by[resource][-1]:
                theirs, ours = pair
            bases = [self.body(rev) for rev in self.nearest(ours, theirs)]
            one, other = self.body(ours), self.body(theirs)
            assert one is not None, "heads have bodies"
            assert other is not None, "heads have bodies"
            body = merge(bases, one, other, self.world.mutant)
            if body is None or (not valid(body) and not self.is_mutant("merge-not-validated")):
                continue
            parents = (theirs,) if forgets else tuple(sorted((ours, theirs)))
            self.announce(xid, resource, self.learn(Version(resource, parents, body)))
            if forgets:
                self.now.parked[ours] = ("forgotten", START)
            return True
        return False

    def link(self, xid: int, resource: str) -> None:
        """Two Patients with one citizen number are linked, both kept."""
        number = self.said(self.heads(resource)[0]).get("cccd")
        for other in sorted(p for p in self.now.by if p[0] == "P" and p != resource):
            heads = self.heads(other)
            if not number or not heads or self.said(heads[0]).get("cccd") != number:
                continue
            for one, two in ((resource, other), (other, resource)):
                head = self.heads(one)[0]
                said = self.said(head)
                if two not in dict(said["link"]):
                    said["link"] = tuple(sorted((*said["link"], (two, "seealso"))))
                    version = Version(one, (head,), tuple(sorted(said.items())))
                    self.announce(xid, one, self.learn(version))
                    self.settle(xid, one)

    def apply(self, xid: int, version: Version) -> tuple[str, Place]:
        """Take one version from a node, and say what became of it."""
        rev, resource = revision(version), version.resource
        if self.body(rev) is None or rev in self.now.parked:
            if why := self.unfit(version):
                self.learn(version)
                if rev not in self.now.parked or self.now.parked[rev][0] != why:
                    self.now.parked[rev] = (why, self.append(xid, "held", resource, rev))
                return "parked", self.now.parked[rev][1]
            self.store(xid, version)
        elif self.is_mutant("not-idempotent"):
            self.store(xid, Version(resource, (self.heads(resource)[0],), version.body))
        heads = self.heads(resource)
        outcome = "conflict" if len(heads) > 1 else "stored" if rev in heads else "merged"
        return outcome, self.now.first[rev]

    def unfit(self, version: Version) -> str:
        """Why it cannot be stored: it is invalid, or the resource it waits for; empty: it can."""
        assert version.body is not None, "only what has a body is pushed"
        if not valid(version.body):
            return "invalid"
        subject = dict(version.body).get("subject")
        return str(subject) if subject and not self.heads(subject) else ""

    # --- push ------------------------------------------------------------------------------------

    def push(self, ask: Ask) -> Ask | None:
        """Take numbered groups; each is applied, and its place moved, in one transaction."""
        self.look_at(ask)
        who = (ask["node"], ask["incarnation"])
        reached, first = self.now.reached.get(who, 0), ask["first"]
        self.meet(who, is_news=first + len(ask["entries"]) - 1 > reached)
        answer = {
            "kind": "push",
            "nonce": ask["nonce"],
            "epochs": self.now.epochs,
            "first": first,
            "outcomes": [],
        }
        if first > reached + 1:
            return {**answer, "refused": "gap", "reached": reached}
        entries = list(enumerate(ask["entries"], first))
        known = [(first - 1, ask["before"])] if first > 1 else []
        known += [(n, rev) for n, (rev, _, _, _) in entries if n <= reached]
        if not self.is_mutant("reused-number-trusted") and any(
            self.now.receipts[*who, n][0] != rev for n, rev in known
        ):
            return {**answer, "refused": "reused", "reached": reached}
        try:
            for group in sorted({entry[3] for n, entry in entries if n > reached}):
                members = [(n, e) for n, e in entries if e[3] == group and n > reached]
                self.take(ask, who, members, answer)
        except Busy:
            self.rollback()
        last = min(self.now.reached.get(who, 0), first + len(entries) - 1)
        return {**answer, "outcomes": self.outcomes(who, first, last)}

    def meet(self, who: Life, *, is_news: bool) -> None:
        node, incarnation = who
        lives = self.now.lives.get(node, ())
        if incarnation not in lives:
            self.now.lives[node] = (*lives, incarnation)
        elif lives[-1] != incarnation and is_news:
            self.now.alarms.add(node)  # a retired life has news: two laptops, one name

    def take(self, ask: Ask, who: Life, members: list[tuple[int, Any]], answer: Ask) -> None:
        """One group, in one transaction."""
        if self.is_mutant("position-first"):
            for n, (rev, _, _, _) in members:
                place = Place(len(self.now.epochs), self.xid + 1, 1)
                self.now.receipts[*who, n] = (rev, "stored", place)
            self.now.reached[who] = members[-1][0]
            self.commit()
            self.point()
        xid = self.begin()
        for n, (rev, version, lineage, _) in members:
            self.learn_lineage(version.resource, lineage)
            outcome, place = self.apply(xid, version)
            if self.is_mutant("poison-blocks") and outcome == "parked":
                raise Busy
            patient = self.now.patients.get(version.resource, "")
            if outcome != "parked" and not sees(who[0], self.now.homes.get(patient)):
                self.append(xid, "outside", version.resource, who[0])
            self.now.pushed.add((*who, rev))
            self.now.authored.add((who[0], version.resource))
            self.now.receipts[*who, n] = (rev, outcome, place)
            self.now.reached[who] = n
        self.now.whole[who] = Place(len(self.now.epochs), min([*self.open, xid]))
        if self.is_mutant("answer-before-commit"):
            told = self.outcomes(who, ask["first"], members[-1][0])
            self.world.send(ask["device"], {**answer, "outcomes": told})
        self.point()
        self.commit()
        self.point()

    def rescue(self, node: Any, copy: str, entries: list[Any]) -> None:
        """A copy of a disk that is gone: each version as its node would have pushed it, numbered by
        the copy, whoever brings it. No life of the node begins or ends by it."""
        ask = {"device": node, "first": 1}
        try:
            for number, entry in enumerate(entries, 1):
                known = self.now.receipts.get((node.name, copy, number))
                if known is None or self.is_mutant("not-idempotent"):
                    self.take(ask, (node.name, copy), [(number, entry)], {})
        except Busy:
            self.rollback()

    def outcomes(self, who: Life, first: int, last: int) -> list[tuple[Any, ...]]:
        return [(n, *self.now.receipts[*who, n]) for n in range(first, last + 1)]

    # --- pull ------------------------------------------------------------------------------------

    def pull(self, ask: Ask) -> Ask:
        """A page of the log after a cursor, for one node."""
        self.look_at(ask)
        at, entering = ask["cursor"]
        horizon = self.horizon()
        if at is None:  # a bootstrap is a record that enters: everyone's, from here on
            safe = [row.place for row in self.now.log if self.within(row.place, horizon)]
            at, entering = (safe[-1] if safe else START), ("", "")
        page = Page(self, ask, at, entering, horizon)
        page.fill()
        mended = {
            rev: self.now.first[rev]
            for rev in ask["parked"]
            if rev in self.now.first and rev not in self.now.parked
        }
        return {
            "kind": "pull",
            "nonce": ask["nonce"],
            "epochs": self.now.epochs,
            "entries": page.entries,
            "mended": mended,
            "from": ask["cursor"],
            "cursor": (page.at, page.entering),
            "read": self.now.log[-1].place if self.now.log else START,
        }

    def horizon(self) -> int:
        """The oldest transaction still open: a reader stops before it."""
        beyond = self.xid + 1
        return beyond if self.is_mutant("no-horizon") else min(self.open, default=beyond)

    def within(self, place: Place, horizon: int) -> bool:
        return place.epoch < len(self.now.epochs) or place.seq < horizon

    def member(self, node: str, patient: str, place: Place) -> bool:
        """Whether a patient was in a node's catchment there: read from the log, never the row."""
        homes = [
            row.what[1]
            for row in self.now.log
            if row.kind == "home" and row.resource == patient and row.place <= place
        ]
        return bool(homes) and sees(node, homes[-1])

    # --- a backup --------------------------------------------------------------------------------

    def restore(self, backup: HubState) -> None:
        """Come back from a backup: a new epoch, which says how far the old one is surely here."""
        self.now, self.open = backup.copy(), {}
        log, number = self.now.log, len(self.now.epochs)
        if self.is_mutant("no-epoch"):
            self.xid = max((row.place.seq for row in log), default=0)
        else:
            safe = max((row.safe for row in log if row.place.epoch == number), default=0)
            end = Place(number, safe, 0)
            if self.is_mutant("epoch-ends-at-last-row") and log:
                last = log[-1].place
                end = Place(last.epoch, last.seq, last.num + 1)
            closed = Epoch(self.now.epochs[-1].name, end)
            begun = Epoch(f"e{self.world.random.getrandbits(32)}")
            self.now.epochs = (*self.now.epochs[:-1], closed, begun)
            self.xid = 0  # as after a dump is loaded into a fresh database
        self.world.unnoticed = False
        self.commit()

    def set_back(self, backup: HubState) -> None:
        """Come back from a backup without knowing it: the same epoch goes on."""
        self.now, self.open = backup.copy(), {}
        if self.world.random.random() < 0.5:  # else in a server that goes on counting
            self.xid = max((row.place.seq for row in self.now.log), default=0)
            # What was asked before would be taken at the very places that are lost: it went with
            # the connection.
            self.world.wire = []
        self.world.unnoticed = True
        self.commit()

    def look_at(self, ask: Ask) -> None:
        """A receipt of this epoch that is not here was given by what is lost: begin another."""
        if ask["shown"] is None or self.is_mutant("receipt-not-looked-at"):
            return
        incarnation, number, epoch, place = ask["shown"]
        who = (ask["node"], incarnation)
        if epoch != self.now.epochs[-1].name:
            return
        if self.now.reached.get(who, 0) < number:
            whole = self.now.whole.get(who, START)
            if whole > place and not self.is_mutant("life-believed"):
                whole = START  # the life went on since
        elif self.now.receipts[*who, number][2] != place and not self.is_mutant("number-alone"):
            whole = START  # the number was taken anew: since when is not known
        else:
            return
        if self.is_mutant("only-beyond-the-newest") and (
            self.now.log and place <= self.now.log[-1].place
        ):
            return
        if self.is_mutant("epoch-ends-where-noticed"):
            whole = Place(len(self.now.epochs), self.horizon())
        self.part(whole)
        self.world.unnoticed = False
        self.commit()

    def part(self, whole: Place) -> None:
        """Another epoch. What was written since the last one surely ended is of the new one."""
        now, number = self.now, len(self.now.epochs)
        end = max(whole, Place(number, 0))

        def moved(place: Place) -> Place:
            return place._replace(epoch=number + 1) if place >= end else place

        now.log = [row._replace(place=moved(row.place)) for row in now.log]
        now.first = {rev: moved(place) for rev, place in now.first.items()}
        now.last = {one: moved(place) for one, place in now.last.items()}
        now.parked = {rev: (why, moved(place)) for rev, (why, place) in now.parked.items()}
        now.receipts = {
            one: (rev, outcome, moved(place)) for one, (rev, outcome, place) in now.receipts.items()
        }
        begun = Epoch(f"e{self.world.random.getrandbits(32)}")
        now.epochs = (*now.epochs[:-1], Epoch(now.epochs[-1].name, end), begun)
