"""kept — values that were found as they should be: the same value need not be looked at again.

https://hl7.org/fhir/R4/profiling.html

Coded values are few and come again and again: most records of a day have the same categories,
places and kinds. What a check says of one is kept by its JSON, with the day where that mattered,
and never where anything around the value did: `Scope.touched` tells.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from fhir_server.validation.profile.scope import AROUND, DAY, Scope

MAX_KEPT = 2_000  # values, for clients choose them
MAX_SIZE = 1_000  # bytes of a value

Check = Callable[[Any, Scope], bool]
Good = dict[object, bool]  # by the JSON: whether on any day; and by the JSON and days


def text_of(value: Any) -> bytes | None:
    """A value as JSON, another for each; None where it has none to be told by, or a long one."""
    try:
        text = orjson.dumps(value)
    except TypeError:  # a decimal, or deeper than orjson goes
        return None
    return text if len(text) <= MAX_SIZE else None


class Kept:
    """The values one check accepted. One for all threads."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._good: tuple[object, Good] = (None, {})  # what terminology said then

    def holds(self, key: object, value: Any, scope: Scope) -> bool:
        """Whether the check accepts a value, which the key tells from all others."""
        around = scope.around
        generation, good = self._good
        if generation != around.generation:
            good = {}
            self._good = around.generation, good
        always = good.get(key)
        if always:
            return True
        if always is not None and (key, scope.date, around.today) in good:
            return True
        before, scope.touched = scope.touched, 0
        found = self._check(value, scope)
        touched = scope.touched
        scope.touched = before | touched
        if found and not touched & AROUND:
            if len(good) >= MAX_KEPT:
                good.clear()
            good[key] = not touched & DAY
            if touched & DAY:
                good[key, scope.date, around.today] = True
        return found
