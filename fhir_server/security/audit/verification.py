"""verification — whether the audit is as it was written: every seal is computed again.

https://hl7.org/fhir/R4/security.html#audit

What is found: an entry whose content, time or number was changed; one that was taken out, put in
or moved; a chain that was cut short or taken away, as far as an anchor tells of it; an entry that
comes after its chain had ended; an entry that is no longer found by whom it is about.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fhir_server.security.audit import said
from fhir_server.security.audit.anchors import Anchor
from fhir_server.store import block
from fhir_server.store.audit import FIRST, sealed
from fhir_server.store.contract import Entered

Pointer = tuple[int, int, int, int]  # subject, at, chain, number


class Trail(Protocol):
    """All of the audit, as it was at one moment: rows as they lie in the chains, which may hold
    several entries each."""

    def parts(self) -> Iterator[Sequence[Entered]]:
        """Every row, by chain and number, many at a time."""

    def place(self) -> tuple[int, int]:
        """Up to which chain and number they are found by whom they are about; what comes after
        is looked through where somebody asks."""

    def there(self, pointers: Sequence[Pointer]) -> int:
        """How many of these are there."""

    def pointers(self) -> int:
        """How many there are at all."""


@dataclass
class Verified:
    """How much was read, and each thing that is wrong with it, as a sentence."""

    entries: int = 0
    chains: int = 0
    anchors: int = 0
    wrong: list[str] = field(default_factory=list)


def verify(trail: Trail, anchors: Iterable[Anchor]) -> Verified:
    found = Verified()
    reading = Reading(found, by_chain(anchors, found))
    place, pointers = trail.place(), 0
    for part in trail.parts():
        expected: list[Pointer] = []
        late: list[Pointer] = []
        for row in part:
            is_late = row[:2] > place and block.parts(row.body) is not None
            (late if is_late else expected).extend(reading.take(row))
        there = trail.there(expected) if expected else 0
        if there != len(expected):
            first, last = name_of(part[0]), name_of(part[-1])
            found.wrong.append(
                f"Between the entries {first} and {last}, {len(expected) - there} can no longer be"
                " found by the patient, client or person they are about."
            )
        pointers += there + (trail.there(late) if late else 0)
    reading.end()
    if (more := trail.pointers() - pointers) > 0 and not found.wrong:
        found.wrong.append(f"{more} entries are found by somebody they are not about.")
    return found


def by_chain(anchors: Iterable[Anchor], found: Verified) -> dict[int, dict[int, Anchor]]:
    """The anchors of each chain by number; two that contradict one another are told."""
    held: dict[int, dict[int, Anchor]] = {}
    for anchor in anchors:
        found.anchors += 1
        head = anchor.head
        other = held.setdefault(head.chain, {}).get(head.number)
        if other is not None and other.head.seal != head.seal:
            found.wrong.append(
                f"Lines {other.line} and {anchor.line} of the anchors contradict one another."
            )
        if other is None or head.ended:
            held[head.chain][head.number] = anchor
    return held


class Reading:
    """Goes along the chains."""

    def __init__(self, found: Verified, anchors: dict[int, dict[int, Anchor]]) -> None:
        self._found = found
        self._anchors = anchors
        self._chain = 0
        self._number = 0
        self._seal = FIRST
        self._wanted: dict[int, Anchor] = {}
        self._ends = 0  # the number of the chain's last entry, where an anchor says that it is

    def take(self, entered: Entered) -> set[Pointer]:
        """Look at the next row; what it is to be found by."""
        if entered.chain != self._chain:
            self._leave()
            self._chain, self._number, self._seal = entered.chain, 0, FIRST
            self._wanted = self._anchors.pop(entered.chain, {})
            self._found.chains += 1
        entries = block.entries(entered)
        self._found.entries += len(entries)
        name = name_of(entered)
        missing = entered.number - len(entries) - self._number
        if missing:
            self._tell(f"Before the entry {name}, {missing} are missing.")
        elif not self._is_sealed(entered):
            self._tell(f"The entry {name} is not what its seal says: it, or one before, differs.")
        self._number, self._seal = entered.number, entered.seal
        anchor = self._wanted.pop(entered.number, None)
        if anchor is not None and anchor.head.seal != entered.seal:
            self._tell(
                f"The entry {name} is not the one line {anchor.line} of the anchors tells of: the"
                " chain was made anew."
            )
        if anchor is not None and anchor.head.ended:
            self._ends = entered.number
        return {
            (subject, entered.at, entered.chain, entered.number)
            for one in entries
            for subject in self._subjects(one)
        }

    def end(self) -> None:
        self._leave()
        for chain, wanted in self._anchors.items():
            line = min(anchor.line for anchor in wanted.values())
            self._tell(
                f"The chain {chain:x} is not there, of which line {line} of the anchors tells"
                f" {max(wanted)} entries."
            )

    def _is_sealed(self, entered: Entered) -> bool:
        chain, number, at, seal, body = entered
        return sealed(self._seal, chain, number, at, body) == seal

    def _leave(self) -> None:
        """What the anchors still say of a chain that is read to its end."""
        if self._wanted:
            last = max(self._wanted)
            self._tell(
                f"The chain {self._chain:x} ends with {self._number}, but line"
                f" {self._wanted[last].line} of the anchors tells of {last} entries."
            )
        if self._ends and self._number > self._ends:
            self._tell(
                f"The chain {self._chain:x} had ended with {self._ends}, but goes on to"
                f" {self._number}."
            )
        self._wanted, self._ends = {}, 0

    def _subjects(self, entry: Entered) -> tuple[int, ...]:
        try:
            return said.subjects(said.read(entry.body))
        except said.Unreadable:
            self._tell(f"The entry {name_of(entry)} cannot be read.")
            return ()

    def _tell(self, sentence: str) -> None:
        self._found.wrong.append(sentence)


def name_of(entered: Entered) -> str:
    return f"{entered.chain:x}-{entered.number}"
