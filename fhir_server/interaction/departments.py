"""departments — which Organization a department is part of, as far as it has been looked up.

https://hl7.org/fhir/R4/organization-definitions.html#Organization.partOf
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping

KNOWN = 5.0  # seconds for which what was looked up is taken for what is there
KEPT = 10_000  # Organizations of which it is


class Departments:
    """For each Organization the one it is a department of; 0: it is none's. One for a worker."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[int, tuple[float, int]] = OrderedDict()

    def known(self, numbers: Iterable[int]) -> dict[int, int]:
        """Those that were looked up a moment ago."""
        now = self._clock()
        found = {number: self._known.get(number, (0.0, 0)) for number in numbers}
        return {number: whole for number, (until, whole) in found.items() if now < until}

    def forget(self, numbers: Iterable[int]) -> None:
        """These were written just now."""
        for number in numbers:
            self._known.pop(number, None)

    def learn(self, wholes: Mapping[int, int]) -> None:
        until = self._clock() + KNOWN
        for number, whole in wholes.items():
            self._known[number] = (until, whole)
            self._known.move_to_end(number)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
