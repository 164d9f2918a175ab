"""patterns — regular expressions that cannot run away: what trying them may cost, told beforehand.

http://hl7.org/fhirpath/N1/#matchesregex--string--boolean
https://hl7.org/fhir/R4/elementdefinition-definitions.html#ElementDefinition.constraint.expression
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import lru_cache

from fhir_server.foundation.outcome import Invalid

MAX_PATTERN = 1_000
MAX_GROUPS = 40  # within each other
# How often a pattern may be tried: the ways to share a text among its repetitions. About 0.1 s.
MAX_TRIES = 4_000_000
MAX_LENGTH = 1_000_000  # of a text; longer ones are made nowhere
# R4's eld-19: its first character is all it needs, so it is found at once or tried in vain at once.
CHEAP = frozenset(
    {
        r"""[^\s\.,:;\'"\/|?!@#$%&*()\[\]{}]{1,64}(\.[^\s\.,:;\'"\/|?!@#$%&*()\[\]{}]{1,64}"""
        r"""(\[x\])?(\:[^\s\.]+)?)*"""
    }
)
# What stands in a pattern: an escape, a class, a group's begin and end, a repetition, the rest
PIECE = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(?P<open>\((?:\?:)?)|(?P<close>\))"
    r"|(?P<many>[*+]|\{[0-9]+,\})|(?P<some>\?|\{[0-9]+(?:,[0-9]+)?\})|.",
    re.DOTALL,
)
# The signs by which it is told whether two pieces can match the same: any other is like one.
SIGNS = [chr(code) for code in range(128)] + list("\xa0éĐ中٣²")


def tries(pattern: str, length: int) -> int:
    """How often a pattern may be tried on a text. Raises Invalid where that is too often."""
    if pattern in CHEAP:
        return length
    power, ways = _cost(pattern)
    found = math.comb(length + power, power) * ways
    if found > MAX_TRIES:
        raise Invalid("FHIRPath: the pattern could take too long on so long a text.")
    return found


def longest(pattern: str) -> int | None:
    """The longest text a pattern may be tried on; None: any. Raises Invalid as tries() does."""
    if pattern in CHEAP:
        return None
    power, ways = _cost(pattern)
    short, long = -1, MAX_LENGTH
    if math.comb(long + power, power) * ways <= MAX_TRIES:
        return None
    while long - short > 1:
        middle = (short + long) // 2
        if math.comb(middle + power, power) * ways <= MAX_TRIES:
            short = middle
        else:
            long = middle
    return short


@lru_cache(maxsize=512)
def compiled(pattern: str) -> re.Pattern[str]:
    """Raises Invalid where it is no pattern."""
    if len(pattern) > MAX_PATTERN:
        raise Invalid(f"FHIRPath: a pattern is longer than {MAX_PATTERN} characters.")
    try:
        return re.compile(pattern, re.DOTALL)
    except (re.error, RecursionError, OverflowError) as error:
        raise Invalid(f"FHIRPath: `{pattern[:50]}` is no pattern: {error}.") from None


class _Group:
    """A group of a pattern while it is read."""

    def __init__(self, start: int, power: int = 0) -> None:
        self.start = start
        self.end = start
        self.power = power  # of what stands before it
        self.bars = 0
        self.varies = False


@lru_cache(maxsize=512)
def _cost(pattern: str) -> tuple[int, int]:
    """How many repetitions may compete for the same characters, and in how many ways it may go.

    A repetition of what itself repeats or chooses is refused, unless each sign of a text tells
    which part it belongs to: else the ways to share them double with each, as in `(a+)+`.
    """
    compiled(pattern)
    power, ways = 0 if pattern.startswith("^") else 1, 1
    groups = [_Group(0)]
    last: _Group | None = None
    for piece in PIECE.finditer(pattern):
        closed, last = last, None
        match piece.lastgroup:
            case "open":
                if pattern.startswith("(?", piece.start()) and piece[0] != "(?:":
                    raise Invalid("FHIRPath: a pattern may not look around.")
                groups.append(_Group(piece.end(), power))
                if len(groups) > MAX_GROUPS:
                    raise Invalid(f"FHIRPath: a pattern has more than {MAX_GROUPS} groups in one.")
            case "close" if len(groups) > 1:
                last = groups.pop()
                last.end = piece.start()
                ways *= last.bars + 1
                groups[-1].varies |= last.varies
            case "many" | "some":
                if piece[0] != "?" and closed and closed.varies:
                    _check_told(pattern[closed.start : closed.end], pattern)
                    power = closed.power  # what is told apart competes no more
                open_ended = piece.lastgroup == "many" or "," in piece[0]
                power += open_ended
                ways *= 1 + (piece[0] == "?")
                groups[-1].varies |= open_ended or piece[0] == "?"
            case _:
                if piece[0][0] == "\\" and piece[0][1:].isdigit():
                    raise Invalid("FHIRPath: a pattern may not look back at a group.")
                if piece[0] == "|":
                    groups[-1].bars += 1
                    groups[-1].varies = True
    return power, ways * (groups[0].bars + 1)


def _check_told(body: str, pattern: str) -> None:
    if not _Places(body).are_told():
        raise Invalid(
            "FHIRPath: a pattern may not repeat a group that itself repeats or chooses, unless "
            f"each character tells where it belongs, as it does not in `{pattern[:50]}`."
        )


class _Part:
    """A part of a pattern: where it may begin and end, and whether it may be nothing."""

    def __init__(self, first: set[int], last: set[int], *, empty: bool) -> None:
        self.first = first
        self.last = last
        self.empty = empty


class _Places:
    """The places of a pattern that match a character, and which may follow which (Glushkov)."""

    def __init__(self, body: str) -> None:
        self.signs: list[frozenset[str]] = []
        self.follow: list[set[int]] = []
        self.rounds: set[tuple[int, int]] = set()  # which follow by going round
        self.told = True
        self.pieces: Iterator[re.Match[str]] = PIECE.finditer(body)
        self.whole = self._choice()
        self._repeat(self.whole)

    def are_told(self) -> bool:
        """Whether a character always tells which of the places it stands at."""
        together = [self.whole.first, *self.follow]
        return self.told and all(self._disjoint(places) for places in together)

    def _disjoint(self, places: set[int]) -> bool:
        seen: set[str] = set()
        for place in places:
            if seen & self.signs[place]:
                return False
            seen |= self.signs[place]
        return True

    def _choice(self) -> _Part:
        """Alternatives, to the end of their group."""
        whole = _Part(set(), set(), empty=False)
        row, last = _Part(set(), set(), empty=True), _Part(set(), set(), empty=True)
        for piece in self.pieces:
            match piece.lastgroup:
                case "open":
                    row, last = self._joined(row, last), self._choice()
                case "close":
                    break
                case "many" | "some":
                    last = self._quantified(last, piece[0])
                case _ if piece[0] == "|":
                    whole = self._either(whole, self._joined(row, last))
                    row, last = _Part(set(), set(), empty=True), _Part(set(), set(), empty=True)
                case _:
                    row, last = self._joined(row, last), self._one(piece[0])
        return self._either(whole, self._joined(row, last))

    def _one(self, piece: str) -> _Part:
        if piece in ("^", "$", r"\b", r"\B", r"\A", r"\Z"):
            return _Part(set(), set(), empty=True)
        place = len(self.signs)
        self.signs.append(_signs(piece))
        self.follow.append(set())
        return _Part({place}, {place}, empty=False)

    def _joined(self, one: _Part, two: _Part) -> _Part:
        for place in one.last:
            self.follow[place] |= two.first
        first = one.first | two.first if one.empty else one.first
        last = one.last | two.last if two.empty else two.last
        return _Part(set(first), set(last), empty=one.empty and two.empty)

    def _either(self, one: _Part, two: _Part) -> _Part:
        return _Part(one.first | two.first, one.last | two.last, empty=one.empty or two.empty)

    def _quantified(self, part: _Part, times: str) -> _Part:
        if times == "?":
            return _Part(part.first, part.last, empty=True)
        if times[0] == "{" and "," not in times:  # a fixed number of rounds
            for place in part.last:
                self.follow[place] |= part.first
            self.told &= not part.empty
        else:
            self._repeat(part)
        may_be_none = times == "*" or times.startswith(("{0,", "{0}"))
        return _Part(part.first, part.last, empty=part.empty or may_be_none)

    def _repeat(self, part: _Part) -> None:
        """Rounds must be told from those of what is within, and none may be of nothing."""
        rounds = {(place, first) for place in part.last for first in part.first}
        self.told &= not part.empty and not rounds & self.rounds
        self.rounds |= rounds
        for place in part.last:
            self.follow[place] |= part.first


@lru_cache(maxsize=1024)
def _signs(piece: str) -> frozenset[str]:
    """What a piece of one character matches."""
    try:
        one = re.compile(piece, re.DOTALL)
    except re.error:
        return frozenset(SIGNS)
    return frozenset(sign for sign in SIGNS if one.fullmatch(sign))
