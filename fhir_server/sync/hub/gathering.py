"""gathering — rows of a page for a node: each version with its parents, its place, and its past.

https://hl7.org/fhir/R4/bundle.html#history

Nothing is decided here but what the caller's role may read: who is at home is for pulling to say.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from fhir_server.foundation.resource import Key
from fhir_server.interaction.context import Circumstances, Server
from fhir_server.store.codec import whole
from fhir_server.store.contract import (
    EVERYTHING,
    Facts,
    Position,
    Stored,
    parse_version_id,
    rid,
)
from fhir_server.store.contract.lineage import Known as Kept
from fhir_server.store.contract.log import Epoch
from fhir_server.sync.hub.places import place_of
from fhir_server.sync.lineage import Known, Lineage, Rev, State
from fhir_server.sync.words import Kind, Row, Stubbed

MOST_STUBS = 1000  # of one resource: the nearest
NOBODY = 0
UNKNOWN = Known(())  # the first version of what was only ever written here


class Gathering:
    """Makes rows, and tells the audit of them. facility: the number of the node's."""

    def __init__(
        self, server: Server, circumstances: Circumstances, facility: int, epochs: Sequence[Epoch]
    ) -> None:
        self._server = server
        self._circumstances = circumstances
        self._reach = circumstances.reach("read")
        self._facility = facility
        self._epochs = epochs
        self._patients: dict[int, str] = {NOBODY: ""}
        self._may: dict[tuple[str, int], bool] = {}
        self._firsts: Mapping[tuple[Key, Rev], Position] = {}

    def may(self, type: str, owner: int) -> bool:
        """Whether the node's role reads such a record of a patient who is at home there: when care
        ended says nothing of it, a Consent does."""
        known = self._may.get((type, owner))
        if known is None:
            facts = Facts(type, owner, 0, frozenset({self._facility} if owner else ()))
            known = self._may[type, owner] = self._reach.allows(facts)
        return known

    async def learn(self, owners: Iterable[int]) -> None:
        """Have the ids of these patients at hand."""
        if unknown := sorted(set(owners) - self._patients.keys()):
            names = await self._server.store.audit.keys(unknown)
            self._patients |= {number: key.id for number, key in names.items()}

    def patient(self, owner: int) -> Key | None:
        """The name behind a number; None where nothing was ever stored of it."""
        id = self._patients.get(owner)
        return Key("Patient", id) if id else None

    async def told(
        self, found: Sequence[tuple[Stored, int]], echoes: Collection[tuple[int, Rev]]
    ) -> list[Row]:
        """Versions as they stand in the log, each with whose it was then. A first one has no
        parents, so nothing need be looked up of what is new."""
        kept = await self._lineages({stored.key for stored, _ in found if stored.generation > 1})
        rows = []
        for stored, owner in found:
            rev = stored.version_id
            past = kept.get(stored.key, {})
            known = past.get(rev, UNKNOWN)
            is_echo = bool(echoes) and (rid(stored.key), rev) in echoes
            rows.append(
                self._row(
                    stored,
                    rev,
                    known.parents,
                    owner,
                    Kind.ECHO if is_echo else Kind.VERSION,
                    position=self._firsts.get((stored.key, rev)),
                    stubs=_absent(past, known.parents) if known.parents else (),
                )
            )
        return rows

    async def heads(
        self, found: Sequence[tuple[Stored, int]], echoes: Collection[tuple[int, Rev]]
    ) -> list[Row]:
        """All heads of these resources, with all of their past: to who knows nothing of them.

        found: the newest version of each, and whose it is. echoes: what who asks has sent."""
        kept = await self._lineages({stored.key for stored, _ in found})
        others = await self._others(found, kept)
        rows = []
        for stored, owner in found:
            past = kept.get(stored.key, {})
            heads = [stored, *others.get(stored.key, ())]
            revs = {head.version_id for head in heads}
            for number, head in enumerate(heads):
                rev = head.version_id
                is_echo = bool(echoes) and (rid(head.key), rev) in echoes
                rows.append(
                    self._row(
                        head,
                        rev,
                        past[rev].parents if rev in past else (),
                        owner,
                        Kind.ECHO if is_echo else Kind.VERSION,
                        position=self._firsts.get((head.key, rev)),
                        stubs=_all_but(past, revs) if number == 0 else (),
                    )
                )
        return rows

    def left(self, kind: Kind, key: Key, position: Position) -> Row:
        return Row(kind, key, place_of(self._epochs, position))

    # --- lineages ---

    async def _lineages(self, keys: Iterable[Key]) -> dict[Key, dict[Rev, Known]]:
        wanted = sorted(keys)
        found = await self._server.store.lineage(wanted) if wanted else {}
        self._firsts = {
            (key, one.rev): one.position
            for key, all_of in found.items()
            for one in all_of
            if one.position is not None
        }
        return {key: {one.rev: _known(one) for one in all_of} for key, all_of in found.items()}

    async def _others(
        self, found: Sequence[tuple[Stored, int]], kept: Mapping[Key, Mapping[Rev, Known]]
    ) -> dict[Key, list[Stored]]:
        """The heads beside the newest, of those few resources that have several."""
        wanted = [
            (stored.key, rev)
            for stored, _ in found
            if len(past := kept.get(stored.key, {})) > 1
            for rev in Lineage(past).heads()
            if rev != stored.version_id
        ]
        others: dict[Key, list[Stored]] = {}
        if wanted:
            for stored in await self._server.store.at_versions(wanted, EVERYTHING):
                others.setdefault(stored.key, []).append(stored)
        return others

    # --- rows ---

    def _row(
        self,
        stored: Stored,
        rev: Rev,
        parents: tuple[Rev, ...],
        owner: int,
        kind: Kind,
        *,
        position: Position | None,
        stubs: tuple[Stubbed, ...],
    ) -> Row:
        deleted = stored.tail is None
        carries = kind is Kind.VERSION and not deleted
        if kind is Kind.VERSION:
            self._circumstances.tell(stored)
        return Row(
            kind=kind,
            key=stored.key,
            place=place_of(self._epochs, position or stored.position),
            rev=rev,
            parents=parents,
            method="DELETE" if deleted else stored.method,
            updated=stored.updated,
            patient=self._patients.get(owner, ""),
            body=whole(stored) if carries else None,
            stubs=stubs,
        )


def _known(kept: Kept) -> Known:
    return Known(kept.parents, State(kept.state))


def _absent(past: Mapping[Rev, Known], parents: Sequence[Rev]) -> tuple[Stubbed, ...]:
    """Of the past what nobody has, from the parents on: it comes by no row."""
    found: dict[Rev, Stubbed] = {}
    ahead = list(parents)
    while ahead and len(found) < MOST_STUBS:
        rev = ahead.pop()
        known = past.get(rev)
        if known is not None and known.state is State.STUB and rev not in found:
            found[rev] = Stubbed(rev, known.parents)
            ahead.extend(known.parents)
    return tuple(found.values())


def _all_but(past: Mapping[Rev, Known], heads: set[Rev]) -> tuple[Stubbed, ...]:
    """The nearest first."""
    revs = sorted(past.keys() - heads, key=_generation, reverse=True)[:MOST_STUBS]
    return tuple(Stubbed(rev, past[rev].parents) for rev in revs)


def _generation(rev: Rev) -> int:
    parsed = parse_version_id(rev)
    return parsed[0] if parsed is not None else 0
