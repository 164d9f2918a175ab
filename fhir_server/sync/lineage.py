"""lineage — which versions of a resource follow which, and which of them stand for it.

https://hl7.org/fhir/R4/http.html#versioning

A version names those it was made from, its parents. Versions that no other one follows are the
heads: more than one is a conflict, and nothing else is, so no mark of it can be lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain

from fhir_server.store.contract import parse_version_id

Rev = str  # a version id: `<generation>-<hash>`
Parents = tuple[Rev, ...]


class State(Enum):
    """What is known of a version."""

    ALIVE = "alive"
    DELETED = "deleted"
    STUB = "stub"  # its parents alone: the body may not, or need not, be here
    PARKED = "parked"  # it has a body, which is not taken yet


STANDING = frozenset({State.ALIVE, State.DELETED})


@dataclass(frozen=True, slots=True)
class Known:
    """One version as far as it is known here."""

    parents: Parents
    state: State = State.ALIVE


@dataclass(frozen=True, slots=True)
class Lineage:
    """The versions of one resource. Parents that are not known themselves are the end of it."""

    versions: Mapping[Rev, Known]
    _heads: tuple[Rev, ...] | None = field(default=None, compare=False, repr=False)

    def past(self, rev: Rev) -> frozenset[Rev]:
        """The version itself, and all it follows."""
        seen: set[Rev] = set()
        ahead = [rev]
        while ahead:
            one = ahead.pop()
            if one not in seen:
                seen.add(one)
                known = self.versions.get(one)
                ahead.extend(known.parents if known is not None else ())
        return frozenset(seen)

    def nearest(self, one: Rev, other: Rev) -> list[Rev]:
        """The common ancestors that no other common ancestor follows; several after two people
        resolved one conflict at once, none where one id was created twice."""
        return self._last(self.past(one) & self.past(other))

    def heads(self) -> list[Rev]:
        """The versions that stand for the resource and that none of these follows, the one to be
        shown first: what is alive, then the longer history, then the greater hash."""
        found: Sequence[Rev] | None = self._heads
        if found is None:
            standing = (rev for rev, known in self.versions.items() if known.state in STANDING)
            found = self._last(standing)
            object.__setattr__(self, "_heads", tuple(found))
        return sorted(found, key=self._rank, reverse=True) if len(found) > 1 else list(found)

    def follows(self, rev: Rev, earlier: Rev) -> bool:
        """Whether it was made, directly or not, from the earlier one; a version follows itself."""
        return earlier in self.past(rev)

    def with_version(self, rev: Rev, known: Known) -> Lineage:
        """Know this too. A body takes a stub's place, never a stub a body's."""
        before = self.versions.get(rev)
        if before is not None and known.state is State.STUB:
            return self
        versions = dict(self.versions)
        versions[rev] = known
        heads = self._with_head(rev, known) if before is None else None
        return Lineage(versions, heads)

    def _with_head(self, rev: Rev, known: Known) -> tuple[Rev, ...] | None:
        """The heads when this is added, where that is plain: it follows heads alone, and none of
        the others can follow it, since their histories are no longer. None: it is not plain."""
        if known.state not in STANDING:
            return None
        heads = self.heads()
        others = [head for head in heads if head not in known.parents]
        if len(others) + len(known.parents) != len(heads):
            return None
        if others and generation(rev) < max(map(generation, others)):
            return None
        return (*others, rev)

    def _last(self, revs: Iterable[Rev]) -> list[Rev]:
        among = set(revs)
        passed: set[Rev] = set()
        ahead = list(chain.from_iterable(map(self._parents, among)))
        while ahead:
            one = ahead.pop()
            if one not in passed:
                passed.add(one)
                ahead.extend(self._parents(one))
        return sorted(among - passed)

    def _parents(self, rev: Rev) -> Parents:
        known = self.versions.get(rev)
        return () if known is None else known.parents

    def _rank(self, rev: Rev) -> tuple[bool, int, str]:
        return self.versions[rev].state is State.ALIVE, generation(rev), rev


def generation(rev: Rev) -> int:
    """How long its history is. Raises ValueError for what is no version id of this server."""
    parsed = parse_version_id(rev)
    if parsed is None:
        raise ValueError(f"`{rev[:64]}` is not a version id such as `3-k5f…`.")
    return parsed[0]


def next_generation(parents: Iterable[Rev]) -> int:
    return 1 + max(map(generation, parents), default=0)
