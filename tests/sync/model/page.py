"""A page of the hub's log for one node: decided when it is read, by the log itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fhir_server.sync.epochs import Place
from tests.sync.model.words import PAGE, Ask, Revision, Row, sees

if TYPE_CHECKING:
    from tests.sync.model.hub import Hub


class Page:
    """Versions, whole records that enter, marks of what left: as many as a page holds."""

    def __init__(self, hub: Hub, ask: Ask, at: Place, entering: Any, horizon: int) -> None:
        self.hub, self.ask, self.node = hub, ask, ask["node"]
        self.at, self.entering = at, entering
        self.entries: list[dict[str, Any]] = []
        log = hub.now.log
        self.ahead = iter([row for row in log if row.place > at and hub.within(row.place, horizon)])

    def fill(self) -> None:
        while len(self.entries) < PAGE:
            if self.entering:
                self.enter()
                continue
            row = next(self.ahead, None)
            if row is None:
                break
            self.at = row.place
            self.entries += getattr(self, row.kind)(row)

    def enter(self) -> None:
        """The next resource of a record that enters."""
        patient, after = self.entering
        hub = self.hub
        rest = sorted(
            one
            for one in hub.now.by
            if one > after
            and patient in ("", self.scope(one))
            and hub.heads(one)
            and (self.ours(one) or (not patient and (self.node, one) in hub.now.authored))
        )
        if not rest:
            if hub.is_mutant("snapshot-joins-at-its-end") and not patient and hub.now.log:
                self.at, self.ahead = hub.now.log[-1].place, iter(())
            self.entering = None
            return
        one = rest[0]
        self.entries += (
            [self.told(rev, self.scope(one)) for rev in hub.heads(one)]
            if self.ours(one)
            else [{"left": one, "record": False}]
        )
        self.entering = (patient, one)

    def scope(self, resource: str) -> str:
        return self.hub.now.patients.get(resource, resource)

    def ours(self, resource: str) -> bool:
        return sees(self.node, self.hub.now.homes.get(self.scope(resource)))

    def home(self, row: Row) -> Iterator[dict[str, Any]]:
        before, after = (sees(self.node, home) for home in row.what)
        if after and not before and not self.hub.is_mutant("no-backfill"):
            self.entering = (row.resource, "")
        elif before and not after and not self.hub.is_mutant("no-left-mark"):
            yield {"left": row.resource, "record": True}

    def outside(self, row: Row) -> Iterator[dict[str, Any]]:
        if row.what == self.node and not self.hub.member(self.node, row.patients[1], self.at):
            yield {"left": row.resource, "record": False}

    def held(self, row: Row) -> Iterator[dict[str, Any]]:
        return iter(())

    def version(self, row: Row) -> Iterator[dict[str, Any]]:
        hub, (was, patient) = self.hub, row.patients
        inside = (
            sees(self.node, row.audience)
            if hub.is_mutant("audience-at-write")
            else hub.member(self.node, patient, self.at)
        )
        if inside:
            revs = hub.heads(row.resource) if was != patient else [row.what]
            yield from (self.told(rev, patient) for rev in revs)
        elif (was != patient and hub.member(self.node, was, self.at)) or (
            self.node,
            row.resource,
        ) in hub.now.authored:
            yield {"left": row.resource, "record": False}

    def told(self, rev: Revision, patient: str) -> dict[str, Any]:
        """A version as it travels, and whose record it was there. The body is left out where this
        very life sent it."""
        hub = self.hub
        version = hub.now.versions[rev]
        own = (self.node, self.ask["incarnation"], rev) in hub.now.pushed
        return {
            "version": version._replace(body=None) if own else version,
            "rev": rev,
            "own": own,
            "lineage": hub.lineage(rev),
            "place": hub.now.first[rev],
            "patient": patient,
        }
