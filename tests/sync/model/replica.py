"""Versions, their lineage, and a disk that keeps only what was committed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tests.sync.model.words import DELETED, Body, Crash, Revision, Version, revision

if TYPE_CHECKING:
    from tests.sync.model.world import World

S = TypeVar("S", bound="State")


class State:
    """What is on a disk. A copy is one level deep: what the containers hold is never changed."""

    def __init__(self) -> None:
        self.versions: dict[Revision, Version] = {}
        self.by: dict[str, tuple[Revision, ...]] = {}  # resource -> revisions as they came
        self.parked: dict[Revision, Any] = {}

    def copy(self: S) -> S:
        twin = object.__new__(type(self))
        for name, value in self.__dict__.items():
            twin.__dict__[name] = value.copy() if isinstance(value, dict | list | set) else value
        return twin


class Replica(Generic[S]):
    def __init__(self, world: World, state: S) -> None:
        self.world, self.now, self.disk = world, state, state.copy()

    def commit(self) -> None:
        self.disk = self.now.copy()

    def rollback(self) -> None:
        self.now = self.disk.copy()

    def point(self) -> None:
        """A place where the power may fail."""
        if self.world.random.random() < self.world.crash_rate:
            self.die()
            raise Crash

    def die(self) -> None:
        self.rollback()

    def learn(self, version: Version) -> Revision:
        """Keep a version; a body replaces a stub, never the other way."""
        rev = revision(version)
        known = self.now.versions.get(rev)
        if known is None:
            self._add(version.resource, rev)
        if known is None or known.body is None:
            self.now.versions[rev] = version
        return rev

    def learn_lineage(self, resource: str, lineage: dict[Revision, tuple[Revision, ...]]) -> None:
        for rev, parents in lineage.items():
            if rev not in self.now.versions:
                self.now.versions[rev] = Version(resource, parents, None)
                self._add(resource, rev)

    def _add(self, resource: str, rev: Revision) -> None:
        self.now.by[resource] = (*self.now.by.get(resource, ()), rev)

    def ancestors(self, rev: Revision) -> set[Revision]:
        """The revision itself and everything it follows, as far as it is known here."""
        seen: set[Revision] = set()
        ahead = [rev]
        while ahead:
            one = ahead.pop()
            if one not in seen:
                seen.add(one)
                ahead.extend(self.now.versions[one].parents if one in self.now.versions else ())
        return seen

    def passed(self, revs: Iterable[Revision]) -> set[Revision]:
        """What any of them follows."""
        return set().union(*(self.ancestors(rev) - {rev} for rev in revs))

    def nearest(self, ours: Revision, theirs: Revision) -> list[Revision]:
        """The common ancestors that no other common ancestor follows."""
        common = self.ancestors(ours) & self.ancestors(theirs)
        return sorted(common - self.passed(common))

    def lineage(self, rev: Revision) -> dict[Revision, tuple[Revision, ...]]:
        known = self.now.versions
        return {one: known[one].parents for one in self.ancestors(rev) if one in known}

    def counted(self, rev: Revision) -> bool:
        """Whether a version stands for its resource: it has a body and is not parked."""
        return self.now.versions[rev].body is not None and rev not in self.now.parked

    def heads(self, resource: str) -> list[Revision]:
        """What nothing follows, the one to show first: alive, then longest, then by hash."""
        counted = [rev for rev in self.now.by.get(resource, ()) if self.counted(rev)]
        last = set(counted) - self.passed(counted)
        return sorted(last, key=self._rank, reverse=True)

    def _rank(self, rev: Revision) -> tuple[bool, int, str]:
        return self.now.versions[rev].body != DELETED, int(rev.split("-")[0]), rev

    def body(self, rev: Revision) -> Body | None:
        return self.now.versions[rev].body if rev in self.now.versions else None

    def said(self, rev: Revision) -> dict[str, Any]:
        """What a version that has a body says."""
        return dict(self.body(rev) or ())
