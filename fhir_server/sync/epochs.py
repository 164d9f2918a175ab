"""epochs — the histories a hub has had, and where two of them part.

https://hl7.org/fhir/R4/http.html#history

A database that came back from a backup has lost what was written since. It closes the epoch it was
in, at a place before which surely nothing is lost, and begins another, with a name nobody can
foresee: one backup may be restored twice. Who holds places of the old epoch beyond that end knows
by this that they say nothing any more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

MOST = 1000  # epochs that are read; a hub that was restored more often is broken
NAME = re.compile(r"[a-z0-9]{1,26}")
NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


class Place(NamedTuple):
    """A place in a hub's log: epochs are counted from 1. `seq` and `num`: see Position."""

    epoch: int
    seq: int
    num: int = 0

    def __str__(self) -> str:
        return f"{self.epoch}.{self.seq}.{self.num}"


START = Place(0, 0, 0)


class Epoch(NamedTuple):
    """One history. end: what is before it is there in all later epochs too; None: it goes on."""

    name: str
    end: Place | None = None


Epochs = tuple[Epoch, ...]


class Malformed(ValueError):
    """What somebody sent is no place, or no list of epochs."""


def fork(mine: Sequence[Epoch], theirs: Sequence[Epoch]) -> Place | None:
    """From where on what one says of places does not hold for the other; None: nowhere.

    The last epoch both have been in is the one that counts: where it ended, for either, they part.
    Histories that share none part at the start.
    """
    shared = [
        (one.end, other.end)
        for one, other in zip(mine, theirs, strict=False)
        if one.name == other.name
    ]
    ends = [end for end in shared[-1] if end is not None] if shared else [START]
    return min(ends, default=None)


def told(epochs: Sequence[Epoch]) -> str:
    """As they travel: `k3f@1.884120.0 m2qa`."""
    return " ".join(
        epoch.name if epoch.end is None else f"{epoch.name}@{epoch.end}" for epoch in epochs
    )


def read(text: str) -> Epochs:
    """Raises Malformed."""
    words = text.split(" ", MOST)
    if len(words) > MOST:
        raise Malformed(f"There are more than {MOST} epochs.")
    found = tuple(map(_epoch, words))
    if any(epoch.end is None for epoch in found[:-1]) or found[-1].end is not None:
        raise Malformed("Each epoch but the last has an end, and the last has none.")
    if any(epoch.end is not None and epoch.end.epoch > at for at, epoch in enumerate(found, 1)):
        raise Malformed("An epoch ends in itself or before, not in a later one.")
    if len({epoch.name for epoch in found}) < len(found):
        raise Malformed("Two epochs have one name.")
    return found


def place(text: str) -> Place:
    """Raises Malformed."""
    parts = text.split(".")
    if len(parts) != 3 or not all(map(NUMBER.fullmatch, parts)):
        raise Malformed(f"`{text[:64]}` is not a place such as `1.884120.0`.")
    return Place(*map(int, parts))


def _epoch(word: str) -> Epoch:
    name, ended, end = word.partition("@")
    if not NAME.fullmatch(name):
        raise Malformed(f"`{name[:64]}` is not the name of an epoch.")
    return Epoch(name, place(end) if ended else None)
