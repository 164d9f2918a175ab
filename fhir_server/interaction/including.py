"""including — what comes with the matches of a page: what they refer to, and what refers to them.

https://hl7.org/fhir/R4/search.html#include
https://hl7.org/fhir/R4/search.html#revinclude

Level by level: the matches, what these bring, and under `:iterate` what that brings in turn. A
level asks the store once for all that it refers to, once for all that refers to it, and once more
for definitions by their `url` or for old versions where there are such references; never for each
entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from time import perf_counter

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Key
from fhir_server.interaction.context import Circumstances, Server
from fhir_server.interaction.pointing import Page, Pointed, asked_of, definitions_of, pointing
from fhir_server.interaction.reaching import those_within
from fhir_server.search.include import FORWARD, REVERSE
from fhir_server.search.site import Site
from fhir_server.search.wanted import Include
from fhir_server.store.contract import AnyOf, KeyIs, Restriction, Select, Stored, rid

KEYS_AT_ONCE = 1500  # in one statement: the store refuses one of many more conditions


@dataclass(frozen=True, slots=True)
class Level:
    """One step away from what was known: how many were found, by how many questions, how long."""

    found: int
    questions: int
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Included:
    """What was included, in the order it was met, and what is to be told of what was not."""

    rows: tuple[Stored, ...] = ()
    issues: tuple[Issue, ...] = ()
    levels: tuple[Level, ...] = ()


async def included(
    server: Server,
    circumstances: Circumstances,
    includes: Sequence[Include],
    matches: Sequence[Stored],
) -> Included:
    """Each resource once, and none that is a match of this page."""
    if not includes or not matches:
        return Included()
    walk = _Walk(server, circumstances, {stored.key: stored.version_id for stored in matches})
    level, asked = matches, list(includes)
    while level and asked and len(walk.levels) < server.limits.include_levels:
        level = await walk.onward(Page(level), asked)
        asked = [include for include in includes if include.iterate]
    if level and asked:
        walk.tell_depth(asked[0])
    return Included(tuple(walk.found), tuple(walk.issues), tuple(walk.levels))


@dataclass
class _Walk:
    """What has been met so far. have: of what is in the answer as it is now, the version."""

    server: Server
    circumstances: Circumstances
    have: dict[Key, str]
    found: list[Stored] = field(default_factory=list)
    old: set[tuple[Key, str]] = field(default_factory=set)
    issues: list[Issue] = field(default_factory=list)
    levels: list[Level] = field(default_factory=list)
    questions: int = 0

    @cached_property
    def site(self) -> Site:
        site = self.server.indexer.site
        return replace(site, base_urls=(self.circumstances.base, *site.base_urls))

    @property
    def restriction(self) -> Restriction:
        return self.circumstances.reach("search")

    @property
    def room(self) -> int:
        return self.server.limits.included - len(self.found)

    async def onward(self, page: Page, asked: Sequence[Include]) -> list[Stored]:
        """What a level brings that was not there."""
        start, found, questions = perf_counter(), len(self.found), self.questions
        if forward := [include for include in asked if not include.reverse]:
            pointed = asked_of(self.server, self.site, page, forward)
            await self._current(pointed)
            await self._versions(pointed)
            await self._definitions(pointed)
        if reverse := [include for include in asked if include.reverse]:
            await self._referring(page, reverse)
        took = (perf_counter() - start) * 1000
        self.levels.append(Level(len(self.found) - found, self.questions - questions, took))
        return self.found[found:]

    # --- _include --------------------------------------------------------------------------------

    async def _current(self, pointed: Pointed) -> None:
        """What is referred to as it is now: one question for all."""
        new = [key for key in pointed.keys if key not in self.have]
        wanted = self._bounded(len(new), FORWARD) and new[: self.room]
        if wanted:
            self.questions += 1
            rids = [rid(key) for key in wanted]
            rows = await self.server.store.by_rid(rids, self.restriction)
            there = {stored.key: stored for stored in rows}  # two ids can share a number
            self._take((there[key] for key in wanted if key in there), FORWARD)

    async def _versions(self, pointed: Pointed) -> None:
        """R4 search#versions: a version-specific reference is to the version it names."""
        new = [
            (key, version)
            for key, version in pointed.versions
            if self.have.get(key) != version and (key, version) not in self.old
        ]
        wanted = self._bounded(len(new), FORWARD) and new[: self.room]
        if wanted:
            self.questions += 1
            rows = await self.server.store.at_versions(wanted, self.restriction)
            rows = await those_within(self.server, self.circumstances, "search", rows)
            there = {(stored.key, stored.version_id): stored for stored in rows}
            kept = [there[one] for one in wanted if one in there]
            self.old.update((stored.key, stored.version_id) for stored in kept)
            self.found += [stored for stored in kept if not stored.deleted]

    async def _definitions(self, pointed: Pointed) -> None:
        """What is referred to by its `url`."""
        if pointed.canonicals:
            keys, types = definitions_of(self.server.parameters, pointed.canonicals)
            rows = await self._search(types, keys, FORWARD)
            self._take((one for one in rows if pointed.names(one)), FORWARD)

    # --- _revinclude -----------------------------------------------------------------------------

    async def _referring(self, page: Page, asked: Sequence[Include]) -> None:
        """What refers to the level: one question for all."""
        pointed = pointing(self.server.parameters, self.site, page, asked)
        types = sorted({include.source for include in asked})
        rows = await self._search(types, list(pointed.keys), REVERSE)
        if pointed.definitions:
            rows = [one for one in rows if pointed.is_by(self.server, self.site, one)]
        self._take(rows, REVERSE)

    # --- both ------------------------------------------------------------------------------------

    async def _search(self, types: Sequence[str], keys: Sequence[KeyIs], name: str) -> list[Stored]:
        """What meets one of the keys; it may be more than there is room for."""
        found: list[Stored] = []
        for start in range(0, len(keys), KEYS_AT_ONCE):
            if not self._bounded(1, name):
                break
            some = tuple(keys[start : start + KEYS_AT_ONCE])
            # One key alone is walked in the order of the answer, and no further than the limit.
            where = some[0] if len(some) == 1 else AnyOf(some)
            select = Select(tuple(types), where, restriction=self.restriction)
            self.questions += 1
            page = await self.server.store.search(select, limit=self._limit(types))
            found += page.rows
            if page.more:
                self._tell_number(name)
        return found

    def _limit(self, types: Sequence[str]) -> int:
        """Room enough, though what is met again takes some of it. It is one of a few numbers: they
        stand in the text of the statement, and each text is prepared anew."""
        known = sum(key.type in types for key in self.have)
        return self.server.limits.included + (1 << known.bit_length() if known else 0)

    def _take(self, rows: Iterable[Stored], name: str) -> None:
        for stored in rows:
            if stored.key not in self.have and self._bounded(1, name):
                self.have[stored.key] = stored.version_id
                self.found.append(stored)

    # --- bounds ----------------------------------------------------------------------------------

    def _bounded(self, number: int, name: str) -> bool:
        """Whether there is room for any of so many; that there is none for all is told."""
        if number > self.room:
            self._tell_number(name)
        return self.room > 0

    def _tell_number(self, name: str) -> None:
        self._tell(
            name,
            f"This page includes {self.server.limits.included} resources, the most one may "
            "(`included`); what else its `_include` and `_revinclude` ask for is left out. Ask "
            "for smaller pages with `_count`, or for one of them in each search.",
        )

    def tell_depth(self, asked: Include) -> None:
        self._tell(
            REVERSE if asked.reverse else FORWARD,
            f"`:iterate` was followed {self.server.limits.include_levels} levels from the matches "
            "(`include_levels`); what lies beyond is left out. Search again from the last ones.",
        )

    def _tell(self, name: str, diagnostics: str) -> None:
        if all(issue.diagnostics != diagnostics for issue in self.issues):
            self.issues.append(Issue("warning", "too-costly", diagnostics, f"http.{name}"))
