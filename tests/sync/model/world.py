"""The replicas, the line between them, and what people do."""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import Any

from fhir_server.sync.epochs import START, Place
from tests.sync.model.hub import Hub, HubState
from tests.sync.model.node import Node, NodeState
from tests.sync.model.replica import Replica, State
from tests.sync.model.words import (
    ABSENT,
    DELETED,
    LISTS,
    Ask,
    Body,
    Broken,
    Busy,
    Crash,
    Revision,
    Version,
    flat,
    revision,
    valid,
)

Places = set[tuple[str, str]]
# Whose, the copy's name, and what is in it, as it is pushed.
Stick = tuple[Node, str, list[tuple[Revision, Version, Any, int]]]


class World:
    def __init__(self, mutant: str = "", *, trace: bool = False) -> None:
        self.mutant, self.trace = mutant, trace
        self.random, self.crash_rate = Random(0), 0.0
        self.hub = Hub(self)
        self.nodes = [Node(self, f"n{i}", f"i{i}") for i in range(3)]
        self.wire: list[tuple[Replica[Any], Ask]] = []
        self.backups: dict[Replica[Any], State] = {}
        # what people were told is saved, and the places they changed
        self.writes: dict[Revision, tuple[Version, Places]] = {}
        self.lost: set[Revision] = set()  # died with the only disk they were on
        self.sticks: list[Stick] = []  # the copies of disks that are gone
        self.copied: set[Revision] = set()  # what these ought to have
        self.counter, self.messages, self.cloned = 0, 0, False
        self.unnoticed = False  # the hub was set back, and does not know it yet
        # a plain FHIR consumer: the last entry of a resource wins
        self.follower: tuple[str, Place, dict[str, Revision]] = ("e1", START, {})

    @property
    def replicas(self) -> tuple[Replica[Any], ...]:
        return (self.hub, *self.nodes)

    def step(self, action: str, seed: int) -> None:
        self.random, self.crash_rate = Random(seed), 0.03
        if self.trace:
            print(action, end=" ")
        with suppress(Crash):
            getattr(self, f"do_{action}")()
        if self.trace:
            heads = {one: self.hub.heads(one) for one in self.hub.now.by}
            print(heads, [node.now.acked for node in self.nodes])

    def demand(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise Broken(otherwise)

    # --- what people write -----------------------------------------------------------------------

    def node(self) -> Node:
        return self.random.choice(self.nodes)

    def token(self) -> str:
        self.counter += 1
        return f"t{self.counter}"

    def wrote(self, rev: Revision, version: Version) -> None:
        new = flat(version.body)
        known = [self.body(parent) for parent in version.parents]
        old = [flat(body) if body is not None else {} for body in known] or [{}]
        places = {
            place
            for before in old
            for place in new.keys() | before.keys()
            if new.get(place, ABSENT) != before.get(place, ABSENT) and place[0] != "link"
        }
        self.writes.setdefault(rev, (version, places))

    def body(self, rev: Revision) -> Body | None:
        bodies = (replica.body(rev) for replica in self.replicas)
        return next((body for body in bodies if body is not None), None)

    def edited(self, body: Body, resource: str, patients: list[str]) -> Body:
        """One or two places changed, as a person would."""
        said, pick = dict(body), self.random.choice
        for _ in range(pick((1, 1, 2))):
            element = pick(("name", "note", "status", "allergy", "allergy", "telecom", "place"))
            if element in LISTS:
                said[element] = self.edited_list(said[element])
            elif element == "status":
                said["status"] = pick(("open", "closed"))
            elif element == "place" and resource[0] == "P":
                said["home"] = pick(self.nodes).name
            elif element == "place" and patients:
                said["subject"] = pick(patients)
            elif element != "place":
                said[element] = pick((self.token(), "")) if element == "note" else self.token()
        return tuple(sorted(said.items()))

    def edited_list(self, value: Body) -> Body:
        items = dict(value)
        key = f"k{self.random.choice((1, 2, 3))}"
        if key in items and self.random.choice((True, False)):
            del items[key]
        else:
            items[key] = self.token()
        return tuple(sorted(items.items()))

    def draft(self, at: Hub | Node, home: str) -> Version | None:
        """What somebody at a screen writes next: something new, a change, a choice of two heads."""
        pick, left = self.random.choice, at.now.left if isinstance(at, Node) else set()
        shown = [one for one in at.now.by if one not in left and at.heads(one)]
        patients = [r for r in shown if r[0] == "P" and at.body(at.heads(r)[0]) != DELETED]
        new: dict[str, Any] = {
            "name": self.token(),
            "note": pick(("", "n")),
            "status": pick(("open", "open", "closed")),
            "allergy": (),
            "telecom": (),
        }
        kinds = ["change"] * 4 + ["delete", "encounter" if len(shown) < 6 else "change"]
        kinds += ["patient" if len(patients) < 3 else "change"]
        kinds += ["resolve"] * 4 if any(len(at.heads(one)) > 1 for one in shown) else []
        match pick(kinds):
            case "patient":
                new |= {"home": home, "cccd": pick(("", "", "c1")), "link": ()}
                return Version(f"P{self.counter}", (), tuple(sorted(new.items())))
            case "encounter" if patients:
                new["subject"] = pick(patients)
                return Version(f"E{self.counter}", (), tuple(sorted(new.items())))
            case "change" | "delete" as kind if shown or (isinstance(at, Node) and at.now.parked):
                return self.changed(at, kind, shown, patients)
            case "resolve":
                split = [one for one in shown if len(at.heads(one)) > 1]
                return self.resolution(at, pick(split)) if split else None
        return None

    def changed(
        self, at: Hub | Node, kind: str, shown: list[str], patients: list[str]
    ) -> Version | None:
        parked = [at.now.versions[rev].resource for rev in at.now.parked]
        resource = self.random.choice(shown + parked)
        if isinstance(at, Hub) and not at.heads(resource):
            return None
        head = (at.display(resource) if isinstance(at, Node) else at.heads(resource))[0]
        body = at.body(head)
        if body == DELETED or (kind == "delete" and self.random.choice((True, True, False))):
            return None
        assert body is not None, "what is shown has a body"
        new = DELETED if kind == "delete" else self.edited(body, resource, patients)
        return Version(resource, (head,), new)

    def resolution(self, at: Replica[Any], resource: str) -> Version:
        heads = at.heads(resource)
        return Version(resource, tuple(sorted(heads)), at.body(self.random.choice(heads)))

    def do_write(self) -> None:
        node = self.node()
        version = self.draft(node, node.name)
        if version:
            node.write(version)

    def do_hub_begin(self) -> None:
        version = self.draft(self.hub, self.node().name)
        if version is None or not valid(version.body or DELETED):
            return
        locked = {held.resource for held, _ in self.hub.open.values()}
        if version.resource not in locked or self.mutant == "transaction-id-before-lock":
            patient = dict(version.body or ()).get("subject", version.resource)
            self.hub.open[self.hub.begin()] = (version, self.hub.now.homes.get(patient))

    def do_hub_commit(self) -> None:
        if not self.hub.open:
            return
        xid = self.random.choice(sorted(self.hub.open))
        version, audience = self.hub.open[xid]
        try:
            rev = self.hub.store(xid, version, audience)
            self.hub.point()
            self.hub.commit()
            self.wrote(rev, version)
        except Busy:
            self.hub.rollback()
            if self.random.random() < 0.5:  # else it gives up, unacknowledged, as a victim does
                self.hub.open[self.hub.begin()] = (version, audience)
        self.hub.open.pop(xid, None)

    def hub_write(self, version: Version) -> None:
        self.hub.apply(self.hub.begin(), version)
        self.hub.commit()
        self.wrote(revision(version), version)

    # --- the line --------------------------------------------------------------------------------

    def send(self, to: Replica[Any], message: Ask) -> None:
        self.wire.append((to, message))

    def do_push(self) -> None:
        ask = self.node().ask_push()
        if ask:
            self.send(self.hub, ask)

    def do_pull(self) -> None:
        self.send(self.hub, self.node().ask_pull())

    def do_deliver(self) -> None:
        if self.wire:
            late = self.random.random() < 0.4
            self.deliver(*self.wire.pop(self.random.randrange(len(self.wire)) if late else -1))

    def deliver(self, to: Replica[Any], message: Ask) -> None:
        self.messages += 1
        if isinstance(to, Node):
            to.receive(message)
            return
        answer = getattr(self.hub, message["kind"])(message)
        if answer:
            self.send(message["device"], answer)

    def do_drop(self) -> None:
        if self.wire:
            self.wire.pop(self.random.randrange(len(self.wire)))

    def do_double(self) -> None:
        if self.wire:
            self.wire.append(self.random.choice(self.wire))

    # --- the disks -------------------------------------------------------------------------------

    def do_crash_hub(self) -> None:
        self.hub.die()

    def do_backup(self) -> None:
        one = self.random.choice((self.hub, self.hub, self.hub, *self.nodes))
        if not (one is self.hub and self.unnoticed):  # it would keep what is not known
            self.backups[one] = one.disk.copy()

    def do_restore(self) -> None:
        one = self.random.choice((self.hub, self.hub, *self.nodes))
        backup = self.backups.get(one)
        if backup is None or (self.unnoticed and one is not self.hub):
            return  # of several disks that are set back one must know
        others = [replica.disk for replica in self.replicas if replica is not one]
        kept = {
            rev
            for state in (*others, backup)
            for rev, version in state.versions.items()
            if version.body is not None
        }
        self.lost |= set(one.disk.versions) - kept - self.copied
        if isinstance(one, Hub):
            self.bring_back(backup)  # type: ignore[arg-type]  # a hub's backup is a hub's
            return
        one.now = backup.copy()
        one.commit()

    def bring_back(self, backup: HubState) -> None:
        """By the command; or by a copy of its files, if somebody can show what that has lost."""
        for node in self.nodes:
            node.due = node.nonce + 1  # its line was cut
        self.wire = [(to, ask) for to, ask in self.wire if not isinstance(to, Node)]
        shown = [(node.name, node.disk.shows) for node in self.nodes if node.disk.shows]
        can_be_seen = any(
            epoch == backup.epochs[-1].name and number > backup.reached.get((name, life), 0)
            for name, (life, number, epoch, _) in shown
        )
        if can_be_seen and self.mutant != "no-epoch" and self.random.random() < 0.7:
            self.hub.set_back(backup)
        else:
            self.hub.restore(backup)

    def do_lose(self) -> None:
        """A laptop is gone for ever. Its copy has what the hub had not confirmed; another laptop
        begins with nothing."""
        if self.unnoticed:  # it may be the one that can show it
            return
        node = self.node()
        disk = node.disk
        due = {
            rev
            for rev, version in disk.versions.items()
            if version.body is not None and rev not in disk.confirmed and rev not in disk.parked
        }
        self.copied |= due
        if self.mutant == "copy-lets-go-of-what-is-sent":
            due -= {rev for rev, _ in disk.packed}
        entries = [
            (rev, disk.versions[rev], node.lineage(rev), group)
            for group, rev in enumerate(disk.versions)
            if rev in due
        ]
        others = [replica.disk for replica in self.replicas if replica is not node]
        kept = {rev for one in others for rev, v in one.versions.items() if v.body is not None}
        self.sticks.append((node, f"copy{len(self.sticks)}", entries))
        self.lost |= set(disk.versions) - kept - self.copied
        self.backups.pop(node, None)
        node.now = NodeState(f"i{self.random.getrandbits(32)}")
        node.commit()

    def do_rescue(self) -> None:
        """Somebody brings a copy, of which some was brought before, or all, or none."""
        if self.sticks:
            node, name, entries = self.random.choice(self.sticks)
            self.hub.rescue(node, name, entries[: self.random.randrange(len(entries) + 1)])

    def do_clone(self) -> None:
        if self.cloned:
            return
        self.cloned = True
        old = self.node()
        new = Node(self, old.name, "")
        new.now, new.nonce = old.disk.copy(), old.nonce
        new.commit()
        self.nodes.append(new)

    def do_follow(self) -> None:
        """A consumer that knows nothing of lineage: it keeps the last entry, and starts again in a
        new epoch."""
        epoch, at, seen = self.follower
        current = self.hub.now.epochs[-1].name
        if epoch != current:
            at, seen = START, {}
        horizon = self.hub.horizon()
        for row in self.hub.now.log:
            if row.place > at and self.hub.within(row.place, horizon):
                at = row.place
                if row.kind == "version":
                    seen = {**seen, row.resource: row.what}
        self.follower = (current, at, seen)

    def check_receipt(self, rev: Revision, epoch: str) -> None:
        """At every step: what a receipt names is on the hub's disk, as long as that disk is."""
        known = self.mutant != "no-epoch" and not self.unnoticed
        if epoch == self.hub.now.epochs[-1].name and known:
            kept = self.hub.disk.versions.get(rev)
            there = kept is not None and kept.body is not None
            self.demand(there, f"receipt for {rev}, which the hub has not")

    # --- the end ---------------------------------------------------------------------------------

    def heal(self) -> None:
        """The line is back, nobody writes: exchange until nothing is left to say, in bounds."""
        self.crash_rate, self.wire = 0.0, []
        while self.hub.open:
            self.do_hub_commit()
        for stick in self.sticks:
            self.hub.rescue(*stick)
        size = sum(len(replica.now.versions) for replica in self.replicas) + len(self.hub.now.log)
        budget, busy = 60 + 8 * size, True
        while busy:
            busy = False
            for node in self.nodes:
                said, budget = self.exchanged(node, budget)
                busy = busy or said
            self.demand(budget > 0, "messages without end")
        self.do_follow()

    def exchanged(self, node: Node, budget: int) -> tuple[bool, int]:
        """Whether there was anything to say, and how many messages are left."""
        busy = False
        while (ask := node.ask_push()) and budget > 0:
            answer = self.hub.push(ask)
            assert answer is not None, "on a line that works"
            node.receive(answer)
            busy, budget = True, budget - 1
        while budget > 0:
            answer, before = self.hub.pull(node.ask_pull()), node.now.cursor
            node.receive(answer)
            budget -= 1
            said = bool(answer["entries"] or answer["mended"])
            if not said and node.now.cursor == before:
                break
            busy = busy or said
        return busy or bool(node.outbox()), budget

    def people_finish(self) -> None:
        """Every conflict is resolved and every parked record mended, where it is seen."""
        for _ in range(3):
            for resource in list(self.hub.now.by):
                if len(self.hub.heads(resource)) > 1:
                    self.hub_write(self.resolution(self.hub, resource))
            self.heal()
            for rev, (why, _) in list(self.hub.now.parked.items()):
                if why == "invalid":
                    self.mend(rev)
            self.heal()

    def mend(self, rev: Revision) -> None:
        version = self.hub.now.versions[rev]
        others = (one for one in self.hub.now.by[version.resource] if one != rev)
        if any(rev in self.hub.ancestors(one) for one in others):
            return
        said = {**dict(version.body or ()), "note": self.token()}
        mended = version._replace(parents=(rev,), body=tuple(sorted(said.items())))
        node = next((one for one in self.nodes if one.body(rev) is not None), None)
        if node:
            node.write(mended)
        else:
            self.hub_write(mended)
