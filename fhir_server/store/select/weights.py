"""weights — how many rows a condition has, or a type, remembered for a minute: they come again.

https://hl7.org/fhir/R4/search.html

What is remembered decides only what a search is driven from, never what it answers.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from weakref import WeakKeyDictionary

from fhir_server.store.contract.watch import WATCH
from fhir_server.store.select.weighing import Weighable

EVERY = 1 << 62  # resources of a type are told without a limit
KEPT = 4096  # of them
SECONDS = 60.0


class Weights:
    """Of each condition how many rows it had, counted how far, and until when that is believed."""

    def __init__(self) -> None:
        self._known: dict[Weighable, tuple[int, int, float]] = {}

    def known(self, limits: Mapping[Weighable, int]) -> dict[Weighable, int]:
        """The weights that are known as far as is asked. Who watches is to see what others pay."""
        now, found = time.monotonic(), dict[Weighable, int]()
        if WATCH.get() is not None:
            return found
        for condition, limit in limits.items():
            weight, counted, until = self._known.get(condition, (0, 0, 0.0))
            if now < until and (weight < counted or limit <= counted):
                found[condition] = min(weight, limit)
        return found

    def learn(self, limits: Iterable[tuple[Weighable, int]], weights: Sequence[int]) -> None:
        """What was just counted."""
        until = time.monotonic() + SECONDS
        for (condition, limit), weight in zip(limits, weights, strict=True):
            if len(self._known) >= KEPT and condition not in self._known:
                del self._known[next(iter(self._known))]
            self._known[condition] = weight, limit, until


_OF: WeakKeyDictionary[object, Weights] = WeakKeyDictionary()


def weights_of(source: object) -> Weights:
    """What is remembered of the database that is read through `source`."""
    found = _OF.get(source)
    if found is None:
        found = _OF[source] = Weights()
    return found
