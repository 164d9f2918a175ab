"""circles — versions that refer to each other, as a visit and its diagnosis, are stored together.

https://hl7.org/fhir/R4/references.html

What refers to what is not stored waits for it. Where each waits for the other and nothing else is
missing, nobody would ever bring what they wait for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from fhir_server.foundation.resource import Key
from fhir_server.interaction.context import Server
from fhir_server.store.contract import rid
from fhir_server.store.contract.side import HELD
from fhir_server.sync.hub import quarantine
from fhir_server.sync.hub.judging import Named
from fhir_server.sync.words import Pushed

MOST_APART = 32  # resources that one version waits for in the end, which are looked through
MOST_READ = 1000  # of them in one transaction
MOST_VERSIONS = 20  # of one resource, which are kept apart


def closed(waiting: Sequence[Pushed], needs: Mapping[Named, Sequence[Key]]) -> list[Pushed]:
    """Those that need nothing but one another. needs: of each what is not here."""
    brings = Counter(one.key for one in waiting)
    by_name = {(one.key, one.rev): one for one in waiting}
    asked: dict[object, list[Named]] = {}  # by a resource, or by a version
    for one in waiting:
        parents = [(one.key, parent) for parent in one.parents]
        for need in (*needs[one.key, one.rev], *(each for each in parents if each in by_name)):
            asked.setdefault(need, []).append((one.key, one.rev))
    vain = [
        name for need in asked if isinstance(need, Key) and not brings[need] for name in asked[need]
    ]
    while vain:
        name = vain.pop()
        gone = by_name.pop(name, None)
        if gone is not None:
            brings[gone.key] -= 1
            vain += asked.get(name, ())
            vain += asked.get(gone.key, ()) if not brings[gone.key] else ()
    return list(by_name.values())


class Apart:
    """What is kept apart, and for what it waits; read once in a transaction."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._waits: dict[Key, list[frozenset[Key]]] = {}

    async def waits_for(self, goal: Key, ahead: Iterable[Key]) -> frozenset[Key]:
        """What waits, in the end, for the goal alone, from `ahead` on: it is stored as soon as that
        is, so the goal need not wait for it."""
        unseen, found = list(ahead), set[Key]()
        while unseen and len(found) < MOST_APART:
            key = unseen.pop()
            if key not in found and key != goal:
                found.add(key)
                unseen += [each for told in await self._of(key) for each in told]
        while True:
            kept = {
                key
                for key in found
                if any(told <= found | {goal} for told in self._waits.get(key, ()))
            }
            if kept == found:
                return frozenset(found)
            found = kept

    async def _of(self, key: Key) -> list[frozenset[Key]]:
        if key not in self._waits and len(self._waits) < MOST_READ:
            rows = await self._server.store.side.range(
                HELD, prefix=(rid(key),), limit=MOST_VERSIONS
            )
            told = [quarantine.waits_of(row) for row in rows]
            self._waits[key] = [frozenset(each) for each in told if each]
        return self._waits.get(key, [])
