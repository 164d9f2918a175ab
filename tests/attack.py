"""attack — how long the attacks on the server last, and what is counted while they do.

The leak matrix, the attacks on tokens, the edits of the audit and the fuzz runs are in `make test`
in a short form and in `make attack` (FHIR_ATTACK=long) in a long one. A test tells what it did
by the fixture `tell`; what all of them told stands in one table under the run.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pytest

LONG = os.environ.get("FHIR_ATTACK") == "long"
FIGURE = "attack figure"
# tell("leak matrix: cells", 1234): figures of the same name are added up.
Tell = Callable[[str, int], None]


def times(short: int, long: int) -> int:
    """How often an attack is tried: `short` in `make test`, `long` in `make attack`."""
    return long if LONG else short


def teller(request: pytest.FixtureRequest) -> Tell:
    """Figures travel with the report of their test, from whichever process it ran in."""
    return lambda name, number: request.node.user_properties.append((FIGURE, [name, number]))


def figures(reports: Iterable[Any]) -> Counter[str]:
    """What the tests of these reports told, added up by name."""
    told: Counter[str] = Counter()
    for report in reports:
        if getattr(report, "when", None) != "call":
            continue
        for key, value in report.user_properties:
            if key == FIGURE:
                name, number = value
                told[name] += number
    return told


def table(told: Counter[str]) -> list[str]:
    """The lines of the table, right to the figures."""
    width = max(map(len, told), default=0)
    return [f"{name:<{width}}  {told[name]:>12,}" for name in sorted(told)]
