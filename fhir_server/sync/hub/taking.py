"""taking — a group of versions and all that follows from it, in one transaction.

https://hl7.org/fhir/R4/http.html#transaction

The receipts are written with what they are about, and with how far the node has been heard, so that
whoever asks again is told the same. What was known before is not written again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Key
from fhir_server.interaction import facility, writing
from fhir_server.interaction.context import Circumstances, Server
from fhir_server.interaction.reaching import caring
from fhir_server.store.contract import IndexRows, Unit, rid, version_id
from fhir_server.store.contract.log import HELD as HELD_MARK
from fhir_server.store.contract.log import OUTSIDE, Mark
from fhir_server.store.contract.side import HELD, HERE, RECEIPT, Put, ReceiptRow, Side
from fhir_server.sync.hub import quarantine
from fhir_server.sync.hub.circles import closed
from fhir_server.sync.hub.facts import Facts, text_of
from fhir_server.sync.hub.fitness import Verdict, missing, verdict
from fhir_server.sync.hub.growing import NONE, Grown, grown
from fhir_server.sync.hub.judging import Judging, Named
from fhir_server.sync.hub.looking import Looked, looked
from fhir_server.sync.hub.outside import number_of
from fhir_server.sync.hub.quarantine import Held, version_key
from fhir_server.sync.hub.tree import Tree, Version
from fhir_server.sync.lineage import Rev
from fhir_server.sync.words import Outcome, Pushed

MEBIBYTES = quarantine.MOST_OCTETS >> 20
MANY = Issue(
    "error",
    "too-costly",
    f"{quarantine.MOST} versions of this node are kept apart. Mend some of them first.",
    vietnamese=f"Đã có {quarantine.MOST} bản của máy chủ này bị giữ lại. Xin sửa bớt trước.",
)
LARGE = Issue(
    "error",
    "too-costly",
    f"The versions of this node that are kept apart would have more than {MEBIBYTES} MiB with this"
    " one. Mend some of them first.",
    vietnamese=f"Các bản của máy chủ này bị giữ lại sẽ vượt {MEBIBYTES} MiB nếu thêm bản này."
    " Xin sửa bớt trước.",
)
SAID = {
    Outcome.MERGED: Issue(
        "information",
        "informational",
        "Changes of different places were merged.",
        vietnamese="Các thay đổi ở những nơi khác nhau đã được gộp.",
    ),
    Outcome.CONFLICT: Issue(
        "warning",
        "conflict",
        "It was changed at another place, too. A person must choose; a Task tells.",
        vietnamese="Nơi khác cũng đã sửa bản ghi này. Cần người chọn; xem công việc được giao.",
    ),
}


@dataclass(frozen=True, slots=True)
class Sender:
    """Whose versions these are. offset: milliseconds its clock was ahead when it sent them."""

    node: str
    incarnation: str
    offset: int = 0


@dataclass
class Taking:
    """Groups being taken. unit: what is to be written."""

    server: Server
    circumstances: Circumstances
    sender: Sender
    members: Sequence[Pushed]
    looked: Looked
    verdicts: dict[Named, Verdict] = field(default_factory=dict)
    unit: Unit = field(default_factory=lambda: Unit(()))
    numbers: dict[Named, int] = field(default_factory=dict)  # of their first rows in the unit

    @property
    def stored(self) -> list[Key]:
        """Of what there is more now."""
        return [key for key, tree in self.looked.trees.items() if tree.rows]

    @property
    def place(self) -> int:
        return facility.of_caller(self.circumstances)

    def judge(self) -> None:
        """Each in its order: what refers to one that is not stored is not stored either. A visit
        and its diagnosis refer to each other: what is right but for such a circle is stored whole.
        """
        new = {
            (one.key, one.rev): one
            for one in self.members
            if not self.looked.trees[one.key].knows(one.rev)
            and (one.key, one.rev) not in self.verdicts
        }
        waiting = self._passed(list(new.values()))
        needs = {(one.key, one.rev): missing(self.looked, one) for one in waiting}
        whole = closed(waiting, needs)
        coming = {one.key for one in whole}
        for one in whole:
            self._settle(one, coming)
        for one in waiting:
            if (one.key, one.rev) not in self.verdicts:
                self._settle(one)

    def _passed(self, new: Sequence[Pushed]) -> list[Pushed]:
        """Judge what can be, and return what needs something that is behind it."""
        waiting: list[Pushed] = []
        apart: set[Named] = set()
        behind = Counter(one.key for one in new)
        coming = set(behind)
        for one in new:
            behind[one.key] -= 1
            if not behind[one.key]:
                coming.discard(one.key)
            if self._needs_more(one, coming, apart):
                waiting.append(one)
                apart.add((one.key, one.rev))
                behind[one.key] += 1  # it is still to come
                coming.add(one.key)
            else:
                self._settle(one)
        return waiting

    def _needs_more(self, one: Pushed, coming: set[Key], apart: set[Named]) -> bool:
        if not apart.isdisjoint((one.key, parent) for parent in one.parents):
            return True
        if not missing(self.looked, one):
            return False
        return self._verdict(one, coming).outcome is None

    def _verdict(self, one: Pushed, coming: set[Key]) -> Verdict:
        self.looked.coming = coming
        try:
            return verdict(self.looked, one)
        finally:
            self.looked.coming = set()

    def _settle(self, one: Pushed, coming: set[Key] | None = None) -> None:
        found = self.verdicts[one.key, one.rev] = self._verdict(one, coming or set())
        if found.outcome is None:
            version = Version(one.rev, one.parents, one.method, one.body)
            self.looked.trees[one.key].add(version)
        else:
            self.looked.refused.setdefault((one.key, one.rev), one.parents)

    def park(self, issues: tuple[Issue, ...]) -> None:
        """Keep all of them apart, whatever they say."""
        for one in self.members:
            self.looked.trees.setdefault(one.key, Tree(one.key))
            self.verdicts[one.key, one.rev] = Verdict(Outcome.PARKED, issues)

    async def fill(self) -> None:
        """What is written of each resource, and beside it."""
        found = await self._grown()
        versions = [each.version for each in found]
        versions += [own for each in found for own in (*each.own, *each.told.versions)]
        unit = Unit(
            tuple(versions),
            side=tuple(side for each in found for side in each.told.side),
            expects=tuple(expect for each in found for expect in each.told.expects),
        )
        unit = await writing.of_facilities(self.server, self.circumstances, unit)
        unit = await caring(self.server, self.circumstances, unit, self.looked.patients)
        if self.server.linker is not None and unit.versions:
            unit = await self.server.linker.linked(self.server, self.circumstances, unit)
        self.unit = writing.audited(unit, self.circumstances)
        count = 0
        for new in self.unit.versions:
            names = [(row.generation, row.digest) for row in new.earlier]
            for named in (*names, (new.generation, new.digest)):
                self.numbers.setdefault((new.key, version_id(*named)), count)
                count += 1
        await self._mark(count)

    async def _grown(self) -> list[Grown]:
        server, here = self.server, self.circumstances
        rows: dict[Key, dict[Rev, IndexRows]] = {}
        for (key, rev), content in self.looked.contents.items():
            rows.setdefault(key, {})[rev] = content.rows
        found = []
        for key, tree in self.looked.trees.items():
            newest = self.looked.newest.get(key)
            each = await grown(server, here, tree, newest, rows.get(key, NONE))
            found += [] if each is None else [each]
        return found

    # --- marks, and what is kept apart ---

    async def _mark(self, count: int) -> None:
        marks: list[Mark] = []
        side: list[Side] = []
        await self._demand_room()
        for one in self.members:
            name = (one.key, one.rev)
            row = self.looked.held.get(name)
            found = self.verdicts.get(name, Verdict())
            if found.outcome is None:
                side += [] if row is None else quarantine.dropped(row)
                continue
            self.numbers[name] = count + len(marks)
            marks.append(Mark(HELD_MARK, rid(one.key), self.place, one.rev.encode()))
            if found.outcome is Outcome.PARKED:
                held = self._held(one, found)
                side += quarantine.kept(held, row)
            elif row is not None:
                side += quarantine.dropped(row)
        side += self._mended()
        for key in await self._outside():
            marks.append(Mark(OUTSIDE, rid(key), number_of(self.sender.node)))
        self.unit = replace(self.unit, marks=tuple(marks), side=(*self.unit.side, *side))

    def _held(self, one: Pushed, found: Verdict) -> Held:
        sender, caller = self.sender, self.circumstances.caller
        told = (sender.node, sender.incarnation, caller, found.issues, found.waits, sender.offset)
        return Held(one, *told)

    async def _demand_room(self) -> None:
        """A node that has very much kept apart has no more kept."""
        new = {
            (one.key, one.rev): one
            for one in self.members
            if (one.key, one.rev) not in self.looked.held
            and self.verdicts.get((one.key, one.rev), Verdict()).outcome is Outcome.PARKED
        }
        if not new:
            return
        side, of_node = self.server.store.side, ((self.sender.node,), "by_node")
        many = quarantine.MOST - await side.count(HELD, *of_node)
        large = quarantine.MOST_OCTETS - await side.octets(HELD, quarantine.MEASURED, *of_node)
        for name, one in new.items():
            size = quarantine.octets(quarantine.row_of(self._held(one, self.verdicts[name])))
            if many < 1 or large < size:
                why = MANY if many < 1 else LARGE
                self.verdicts[name] = Verdict(Outcome.REFUSED, (why,))
            else:
                many, large = many - 1, large - size

    def _mended(self) -> Iterator[Side]:
        """What was kept apart, and is followed by what is stored now."""
        for key, tree in self.looked.trees.items():
            for rev in tree.stubs if tree.rows else ():
                row = self.looked.held.get((key, rev))
                if row is not None:
                    yield from quarantine.dropped(row)

    async def _outside(self) -> list[Key]:
        """What the node sent and does not see any more: the patient has left."""
        keys: dict[Key, None] = {}
        owners = {key: stored.owner for key, stored in self.looked.newest.items()}
        owners |= {new.key: new.rows.owner for new in self.unit.versions if new.rows.owner}
        cared = {
            care.patient
            for new in self.unit.versions
            for care in new.cares or ()
            if care.facility == self.place
        }
        for one in self.members:
            tree, owner = self.looked.trees[one.key], owners.get(one.key, 0)
            if tree.knows(one.rev) and owner not in cared and not await self._is_seen(owner):
                keys[one.key] = None
        return list(keys)

    async def _is_seen(self, owner: int) -> bool:
        if self.looked.at_home.get(owner, True):
            return True
        return self.place in (await self.server.store.cared_by((owner,), _now()))[owner]

    # --- receipts ---

    def receipts(self) -> list[ReceiptRow]:
        return [self._receipt(one) for one in self.members]

    def _receipt(self, one: Pushed) -> ReceiptRow:
        name, now = (one.key, one.rev), _now()
        outcome, issues = self.outcome(one)
        parents = one.parents if outcome is Outcome.REFUSED else ()
        known = self.looked.places.get(name)
        seq, num = (HERE, self.numbers[name]) if known is None else known
        facts = text_of(Facts(issues, parents, one.recorded, self.sender.offset))
        number, generation, digest = version_key(*name)
        return ReceiptRow(
            node=self.sender.node,
            incarnation=self.sender.incarnation,
            number=one.number,
            rid=number,
            generation=generation,
            digest=digest,
            outcome=outcome.value,
            seq=seq,
            num=num,
            at=now,
            facts=facts,
        )

    def outcome(self, one: Pushed) -> tuple[Outcome, tuple[Issue, ...]]:
        found = self.verdicts.get((one.key, one.rev), Verdict())
        if found.outcome is not None:
            return found.outcome, found.issues
        outcome = self.looked.trees[one.key].outcome(one.rev)
        said = SAID.get(outcome)
        issues = (*((said,) if said else ()), *found.issues)
        if outcome is Outcome.STORED and issues:
            outcome = Outcome.WARNED
        return outcome, issues


async def taken(
    server: Server,
    circumstances: Circumstances,
    sender: Sender,
    members: Sequence[Pushed],
    judging: Judging,
    broken: Sequence[Issue] = (),
) -> Taking:
    """All that is to be written of groups, but for the receipts. broken: why one version that is
    alone is kept apart, whatever it says."""
    rules = server.live.current.change
    judged = () if broken else members
    found = await looked(server, circumstances, judged, judging)
    taking = Taking(server, circumstances, sender, members, found)
    if broken:
        taking.park(tuple(broken))
    taking.judge()
    await taking.fill()
    taking.unit = replace(taking.unit, rules=rules)
    return taking


def put(rows: Sequence[ReceiptRow]) -> Put[ReceiptRow]:
    return Put(RECEIPT, tuple(rows))


def _now() -> int:
    return time.time_ns() // 1_000_000
