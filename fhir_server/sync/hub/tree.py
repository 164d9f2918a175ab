"""tree — the versions of one resource, as a hub takes more of them: what is written, and when.

https://hl7.org/fhir/R4/http.html#versioning

Nothing is looked up here and nothing is kept. Versions are added, heads that can be made one are
made one, and the last row is of the version that stands for the resource: who keeps only the last
that is told of it has the right one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple

from fhir_server.conformance.definitions import Definitions
from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Key, Resource
from fhir_server.sync.lineage import STANDING, Known, Lineage, Parents, Rev, State, generation
from fhir_server.sync.merging import merged
from fhir_server.sync.words import Outcome
from fhir_server.sync.words.push import named

MOST_HEADS = 32  # of one resource: more are for nobody to choose between
TRIED = 6  # heads of which each is tried with each other

Pair = tuple[Rev, Rev]


class Version(NamedTuple):
    """A version with its content. body None: a deletion."""

    rev: Rev
    parents: Parents
    method: str
    body: Resource | None


@dataclass(frozen=True, slots=True)
class Standing:
    """A lineage, its heads, what the first of them follows, and what follows each version. joined:
    the longest history of a version in that past that was made of several; 0: none was."""

    lineage: Lineage
    heads: list[Rev]
    past: frozenset[Rev]
    following: Mapping[Rev, Sequence[Rev]]
    joined: int

    @classmethod
    def of(cls, lineage: Lineage) -> Standing:
        heads = lineage.heads()
        following: dict[Rev, list[Rev]] = {}
        for rev, known in lineage.versions.items():
            for parent in known.parents:
                following.setdefault(parent, []).append(rev)
        past = lineage.past(heads[0]) if heads else frozenset()
        joined = max(
            (
                generation(rev)
                for rev, known in lineage.versions.items()
                if len(known.parents) > 1 and rev in past
            ),
            default=0,
        )
        return cls(lineage, heads, past, following, joined)

    def is_line_after(self, rev: Rev) -> bool:
        """Whether all that follows a version follows it alone, to the only head."""
        return len(self.heads) == 1 and self.joined <= generation(rev)

    def after(self, rev: Rev) -> set[Rev]:
        """The version itself, and all that follow it."""
        found: set[Rev] = set()
        ahead = [rev]
        while ahead:
            one = ahead.pop()
            if one not in found:
                found.add(one)
                ahead.extend(self.following.get(one, ()))
        return found


@dataclass
class Tree:
    """lineage: all that is known. last: of which version the last row of the log is; empty: there
    is none. bodies: contents as far as they were needed. rows: what is to be written, in order.
    merges: those of the rows that the hub made. unmerged: why pairs of heads stay two."""

    key: Key
    lineage: Lineage = field(default_factory=lambda: Lineage({}))
    last: Rev = ""
    bodies: dict[Rev, Resource | None] = field(default_factory=dict)
    rows: list[Version] = field(default_factory=list)
    stubs: dict[Rev, Parents] = field(default_factory=dict)
    merges: list[Version] = field(default_factory=list)
    unmerged: dict[Pair, tuple[Issue, ...]] = field(default_factory=dict)
    _standing: Standing | None = None

    def __post_init__(self) -> None:
        self.before = self.lineage

    def knows(self, rev: Rev) -> bool:
        """Whether it is here with its content."""
        known = self.lineage.versions.get(rev)
        return known is not None and known.state in STANDING

    @property
    def stands(self) -> bool:
        """Whether there is any version with its content."""
        return bool(self.last)

    def has_heard_of(self, rev: Rev) -> bool:
        return rev in self.lineage.versions

    def add(self, version: Version) -> None:
        """Take a version whose parents are known."""
        state = State.DELETED if version.body is None else State.ALIVE
        self.lineage = self.lineage.with_version(version.rev, Known(version.parents, state))
        self.bodies[version.rev] = version.body
        self.rows.append(version)
        self.stubs.pop(version.rev, None)
        self.last = version.rev

    def add_stub(self, rev: Rev, parents: Parents) -> None:
        """Take what is known of a version that has no content here."""
        if not self.has_heard_of(rev):
            self.lineage = self.lineage.with_version(rev, Known(parents, State.STUB))
            self.stubs[rev] = parents

    # --- making one of two ---

    def missing(self) -> set[Rev]:
        """Contents that are needed to go on."""
        heads = self.lineage.heads()
        wanted = set(heads) if len(heads) > 1 else set()
        for one, other in self._pairs(heads):
            wanted.update(filter(self.knows, self.lineage.nearest(one, other)))
        if self.rows and heads[0] != self.last:
            wanted.add(heads[0])
        return wanted - self.bodies.keys()

    def merge(self, definitions: Definitions) -> Version | None:
        """The next version that makes one of two heads; None: each that is left stays. It is to be
        judged, and then added, or left out by `leave`."""
        for pair in self._pairs(self.lineage.heads()):
            found = self._merged(definitions, pair)
            if found is not None:
                return found
            self.unmerged[pair] = ()
        return None

    def leave(self, version: Version, issues: tuple[Issue, ...]) -> None:
        """What would be one of two is not valid, so they stay two."""
        one, other = version.parents
        heads = self.lineage.heads()
        pair = (one, other) if heads.index(one) < heads.index(other) else (other, one)
        self.unmerged[pair] = issues

    def add_merge(self, version: Version) -> None:
        self.add(version)
        self.merges.append(version)

    def _pairs(self, heads: list[Rev]) -> Iterator[Pair]:
        """Those that have not been tried, in the order in which heads are shown."""
        return (pair for pair in combinations(heads[:TRIED], 2) if pair not in self.unmerged)

    def _merged(self, definitions: Definitions, pair: Pair) -> Version | None:
        parents = tuple(sorted(pair))
        one, other = (self.bodies[rev] for rev in pair)
        if one is None and other is None:
            return Version(named(self.key, parents, None), parents, "DELETE", None)
        if one is None or other is None:
            return None
        bases = [self._base(rev) for rev in self.lineage.nearest(*pair)]
        made = merged(definitions, bases, one, other).resource
        if made is None:
            return None
        return Version(named(self.key, parents, made), parents, "PUT", made)

    def _base(self, rev: Rev) -> Resource | None:
        """What was there before; None: that is not known. Of what was deleted, nothing was."""
        if not self.knows(rev):
            return None
        body = self.bodies[rev]
        return {"resourceType": self.key.type, "id": self.key.id} if body is None else body

    # --- in the end ---

    def finish(self) -> Version | None:
        """What is to be told last: the version that stands for the resource. None: nothing."""
        if not self.rows:
            return None
        shown = self.lineage.heads()[0]
        if shown != self.last:
            known, body = self.lineage.versions[shown], self.bodies[shown]
            method = "DELETE" if body is None else "PUT"
            self.rows.append(Version(shown, known.parents, method, body))
            self.last = shown
        return self.rows[-1]

    def outcome(self, rev: Rev) -> Outcome:
        """What became of a version that is here."""
        standing = self._in_the_end()
        if standing.is_line_after(rev):
            return Outcome.STORED
        after = standing.after(rev)
        if not after.issuperset(standing.heads):
            return Outcome.CONFLICT
        joins = (self._parents(one) for one in after & standing.past)
        joined = any(0 < len(after.intersection(parents)) < len(parents) for parents in joins)
        return Outcome.MERGED if joined else Outcome.STORED

    def _in_the_end(self) -> Standing:
        """Looked through once, however many versions are asked about."""
        if self._standing is None or self._standing.lineage is not self.lineage:
            self._standing = Standing.of(self.lineage)
        return self._standing

    def _parents(self, rev: Rev) -> Parents:
        known = self.lineage.versions.get(rev)
        return () if known is None else known.parents

    @property
    def issues(self) -> tuple[Issue, ...]:
        """Why merges that could be made are not valid."""
        return tuple(issue for found in self.unmerged.values() for issue in found)

    @property
    def was_apart(self) -> bool:
        return len(self.before.heads()) > 1

    @property
    def is_apart(self) -> bool:
        return len(self.lineage.heads()) > 1
