"""filtering — a filter as its text and as a tree, so that no parser stands between question and
answer.

https://hl7.org/fhir/R4/search_filter.html
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from tests.oracle.dates import interval


class Comparison(NamedTuple):
    """path: parameters parted by dots, of which all but the last are references."""

    path: str
    operator: str
    value: str

    @property
    def text(self) -> str:
        plain = self.value.isascii() and not set(self.value) & set('()[]" \\')
        return f"{self.path} {self.operator} {self.value if plain else json.dumps(self.value)}"


class Joined(NamedTuple):
    word: str  # and | or | not
    parts: tuple[Any, ...]

    @property
    def text(self) -> str:
        if self.word == "not":
            return f"not ({self.parts[0].text})"
        return f" {self.word} ".join(
            part.text if isinstance(part, Comparison) else f"({part.text})" for part in self.parts
        )


class Filter(str):
    """The text, which knows the tree."""

    __slots__ = ("tree",)
    tree: Comparison | Joined

    @classmethod
    def of(cls, tree: Comparison | Joined) -> Filter:
        found = cls(tree.text)
        found.tree = tree
        return found


def whole(operator: str, value: str, asked: str) -> bool:
    """R4:  eq, co, sw, ew of a string; both are folded."""
    return {
        "eq": value == asked,
        "co": asked in value,
        "sw": value.startswith(asked),
        "ew": value.endswith(asked),
    }[operator]


def overlaps(span: tuple[float, float], asked: str) -> bool:
    """R4:  po "the specified period overlaps the value"."""
    (start, end), (lo, hi) = span, interval(asked)
    return start < hi and lo < end
