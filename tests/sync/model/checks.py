"""What must hold after quiescence: nothing lost, doubled, overwritten or blocked."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from tests.sync.model.node import Node
from tests.sync.model.words import ABSENT, CLINICAL, DELETED, Revision, Version, flat, sees, valid
from tests.sync.model.world import World


class Checks:
    """resolved: people have chosen and mended all there was."""

    def __init__(self, world: World, *, resolved: bool) -> None:
        self.world, self.hub, self.resolved = world, world.hub, resolved
        self.demand = world.demand
        self.heads = {one: heads for one in self.hub.now.by if (heads := self.hub.heads(one))}
        self.past = {
            one: [self.hub.ancestors(head) for head in heads] for one, heads in self.heads.items()
        }

    def all(self) -> None:
        self.acknowledged()
        for resource, revs in self.heads.items():
            one = not self.resolved or len(revs) == 1
            self.demand(one, f"{resource} has heads {revs} after resolution")
            for head in revs:
                self.content(resource, head)
        self.automatic()
        self.parked()
        for node in self.world.nodes:
            self.node(node)
        shown = {one: heads[0] for one, heads in self.heads.items()}
        seen = self.world.follower[2]
        self.demand(seen == shown, f"a plain follower sees {seen}, not {shown}")
        self.linked()

    def acknowledged(self) -> None:
        for rev, (version, _) in self.world.writes.items():
            if rev in self.world.lost:
                continue
            there = self.hub.body(rev) is not None
            self.demand(there, f"{rev} of {version.resource} was acknowledged and is lost")
            if rev not in self.hub.now.parked:
                known = any(rev in past for past in self.past.get(version.resource, []))
                self.demand(known, f"{rev} is in no head's past")

    def content(self, resource: str, head: Revision) -> None:
        """Every place a person set still says so, or one who had seen it set it again."""
        past, now = self.hub.ancestors(head), flat(self.hub.body(head))
        self.demand(valid(self.hub.body(head) or DELETED), f"{head} of {resource} is invalid")
        people = [rev for rev in past if rev in self.world.writes]
        for rev in people:
            version, places = self.world.writes[rev]
            for place in places:
                said = flat(version.body).get(place, ABSENT)
                if said == now.get(place, ABSENT):
                    continue
                later = any(
                    rev in self.hub.ancestors(one)
                    and one != rev
                    and place in self.world.writes[one][1]
                    for one in people
                )
                self.demand(
                    later or self.undone(rev, place, said, past),
                    f"{place} set by {rev} is silently overwritten in {head} of {resource}",
                )

    def undone(self, rev: Revision, place: tuple[str, str], said: Any, past: set[str]) -> bool:
        """Whether a change only took its own side back to what both had started from."""
        hub = self.hub
        for version in filter(None, map(hub.now.versions.get, past)):
            if len(version.parents) != 2:
                continue
            for ours, theirs in (version.parents, version.parents[::-1]):
                if rev not in hub.ancestors(ours) - hub.ancestors(theirs):
                    continue
                bases = (flat(hub.body(base)) for base in hub.nearest(ours, theirs))
                if any(base.get(place, ABSENT) == said for base in bases):
                    return True
        return False

    def automatic(self) -> None:
        """What no person wrote says nothing of its own, and drops nothing."""
        hub = self.hub
        for rev, version in hub.now.versions.items():
            if rev in self.world.writes or version.body is None or rev not in hub.now.first:
                continue
            if len(version.parents) == 2:
                self.not_shorter(rev, version)
            elif len(version.parents) < 2:
                self.only_links(rev, version)

    def not_shorter(self, rev: Revision, version: Version) -> None:
        for parent in version.parents:
            before = {place for place in flat(self.hub.body(parent)) if place[0] in CLINICAL}
            short = before - flat(version.body).keys()
            self.demand(not short, f"the merge {rev} of {version.resource} drops {short}")

    def only_links(self, rev: Revision, version: Version) -> None:
        parent = self.hub.body(version.parents[0]) if version.parents else DELETED
        if parent is None:
            return
        changed = flat(version.body).items() ^ flat(parent).items()
        odd = {change for change in changed if change[0][0] != "link"}
        self.demand(not odd, f"{rev} of {version.resource} was written by nobody")

    def parked(self) -> None:
        for rev, (why, _) in self.hub.now.parked.items():
            version = self.hub.now.versions[rev]
            if any(rev in past for past in self.past.get(version.resource, [])):
                continue
            real = (
                not valid(version.body or DELETED)
                and (not self.resolved or self.waits(rev, version.resource))
                if why == "invalid"
                else not self.hub.heads(why)
            )
            self.demand(real, f"{rev} is parked for {why} without need")

    def waits(self, rev: Revision, resource: str) -> bool:
        """Whether it was mended, and that waits for what died with the only disks it was on."""
        return any(
            rev in self.hub.ancestors(other) and why != "invalid" and not self.hub.heads(why)
            for other, (why, _) in self.hub.now.parked.items()
            if other != rev and self.hub.now.versions[other].resource == resource
        )

    def node(self, node: Node) -> None:
        seen, homes = node.now, self.hub.now.homes
        sent = not node.outbox() and seen.acked == len(seen.packed)
        self.demand(sent, f"{node.name} still has something to send")
        mine = {r: h for r in seen.by if r not in seen.left and (h := node.heads(r))}
        due = {
            one: heads
            for one, heads in self.heads.items()
            if sees(node.name, homes.get(self.hub.now.patients[one]))
        }
        self.demand(mine == due, f"{node.name} shows {mine}, its catchment is {due}")
        ends = dict(self.hub.now.epochs)
        for rev, _, epoch, at in seen.receipts:
            end = ends.get(epoch, at)
            if end is None or at < end:
                true = self.hub.body(rev) is not None
                self.demand(true, f"the receipt of {node.name} for {rev} is untrue")

    def linked(self) -> None:
        alone = {one: heads[0] for one, heads in self.heads.items() if len(heads) == 1}
        people = {one: self.hub.said(head) for one, head in alone.items() if one[0] == "P"}
        for one, two in combinations(sorted(people), 2):
            number = people[one].get("cccd")
            if number and number == people[two].get("cccd"):
                both = two in dict(people[one]["link"]) and one in dict(people[two]["link"])
                self.demand(both, f"{one}, {two} not linked")
