"""draw — chance that comes out the same every time, on every machine.

https://hl7.org/fhir/R4/resource.html

Only `Random.random` is used: Python promises its sequence for a seed, and of no other method.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from hashlib import blake2b
from itertools import accumulate
from random import Random
from typing import Generic, TypeVar

T = TypeVar("T")


class Draw:
    """A sequence of chances of its own, told by a key: no draw disturbs another's."""

    __slots__ = ("unit",)

    def __init__(self, *key: object) -> None:
        self.unit = Random("/".join(map(str, key))).random  # noqa: S311 - invented people

    def chance(self, share: float) -> bool:
        return self.unit() < share

    def below(self, end: int) -> int:
        return int(self.unit() * end)

    def between(self, first: int, last: int) -> int:
        """One of first, ..., last."""
        return first + int(self.unit() * (last - first + 1))

    def pick(self, items: Sequence[T]) -> T:
        return items[int(self.unit() * len(items))]

    def digits(self, count: int) -> str:
        return f"{self.below(10**count):0{count}}"


class Weighted(Generic[T]):
    """Things that are not equally likely."""

    __slots__ = ("_bounds", "_items")

    def __init__(self, items: Sequence[tuple[T, float]]) -> None:
        self._items = [item for item, _ in items]
        self._bounds = list(accumulate(weight for _, weight in items))

    def pick(self, draw: Draw) -> T:
        return self._items[bisect(self._bounds, draw.unit() * self._bounds[-1])]


def zipf(items: Sequence[T], *, flattened_by: float = 0.0) -> Weighted[T]:
    """The n-th thing has the weight 1 / (n + flattened_by)."""
    return Weighted([(item, 1 / (rank + flattened_by)) for rank, item in enumerate(items, 1)])


def number(*key: object) -> int:
    """64 bits that only the key decides."""
    text = "/".join(map(str, key)).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest())
