"""texts — the functions of strings, with patterns that cannot run away.

http://hl7.org/fhirpath/N1/#string-manipulation
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from fhir_server.foundation.fhirpath.conversions import text as as_text
from fhir_server.foundation.fhirpath.items import Item, made, plain
from fhir_server.foundation.fhirpath.scope import Evaluated, Scope, one, value_of
from fhir_server.foundation.fhirpath.values import checked, named
from fhir_server.foundation.outcome import Invalid

MAX_PATTERN = 1_000
# How often a pattern may be tried: the text's length to the power of its open repetitions.
MAX_TRIES = 20_000_000
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

Args = tuple[Evaluated, ...]
Body = Callable[[Scope, list[Item], Args], list[Item]]


def of_string(body: Callable[..., Any]) -> Body:
    """A function of a string and of values; where one of them is empty, so is the result."""

    def told(scope: Scope, focus: list[Item], args: Args) -> list[Item]:
        value = value_of(focus, "a string function")
        given = [value_of(arg(scope), "an argument") for arg in args]
        if value is None or None in given:
            return []
        if not isinstance(value, str):
            raise Invalid(f"FHIRPath: the function is for strings, not for {named(value)}.")
        scope.run.spend(len(value) // 100)
        result = body(value, *given)
        if isinstance(result, list):
            return [made(checked(each)) for each in result]
        return [] if result is None else [made(checked(result))]

    return told


def string(value: Any) -> str:
    if not isinstance(value, str):
        raise Invalid(f"FHIRPath: the argument must be a string, not {named(value)}.")
    return value


def _integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Invalid(f"FHIRPath: the argument must be an integer, not {named(value)}.")
    return value


def _substring(value: str, start: Any, length: Any = None) -> str | None:
    begin = _integer(start)
    if not 0 <= begin < len(value):
        return None
    return value[begin:] if length is None else value[begin : begin + max(_integer(length), 0)]


def _replace(value: str, pattern: Any, substitution: Any) -> str:
    old, new = string(pattern), string(substitution)
    occurrences = value.count(old)
    checked_length = len(value) + occurrences * len(new)
    if checked_length > 1_000_000:
        raise Invalid("FHIRPath: `replace()` makes too long a text.")
    return value.replace(old, new)


def _matches(value: str, pattern: Any) -> bool:
    return _pattern(string(pattern), len(value)).search(value) is not None


def matches_full(value: str, pattern: Any) -> bool:
    """Whether all of a text matches. Raises Invalid for a pattern that could take too long."""
    return _pattern(string(pattern), len(value)).fullmatch(value) is not None


def replace_matches(value: str, pattern: Any, substitution: Any) -> str:
    if pattern == "":
        return value
    found = _pattern(string(pattern), len(value))
    # `$1` and `${name}` in FHIRPath are `\1` and `\g<name>` here
    new = string(substitution).replace("\\", "\\\\")
    new = re.sub(r"\$\{?([0-9]{1,2}|[A-Za-z]\w*)\}?", r"\\g<\1>", new)
    if (len(value) + 1) * (len(new) + 1) > 10_000_000:
        raise Invalid("FHIRPath: `replaceMatches()` makes too long a text.")
    try:
        return found.sub(new, value)
    except (re.error, IndexError):
        raise Invalid("FHIRPath: the substitution names a group that is not there.") from None


def _pattern(pattern: str, length: int) -> re.Pattern[str]:
    """A pattern that can be tried on a text of this length. Raises Invalid where it cannot."""
    if pattern in CHEAP:
        return _made(pattern)
    compiled, power, choices = _compiled(pattern)
    if (length + 1) ** power << choices > MAX_TRIES:
        raise Invalid("FHIRPath: the pattern could take too long on so long a text.")
    return compiled


def bounded(pattern: str) -> tuple[re.Pattern[str], int]:
    """A pattern, and the longest text it may be tried on. Raises Invalid where there is none."""
    if pattern in CHEAP:
        return _made(pattern), sys.maxsize
    compiled, power, choices = _compiled(pattern)
    tries = MAX_TRIES >> choices
    if power == 0:
        return compiled, sys.maxsize if tries else -1
    longest = int(tries ** (1 / power)) + 1
    while longest >= 0 and (longest + 1) ** power > tries:
        longest -= 1
    return compiled, longest


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> tuple[re.Pattern[str], int, int]:
    """A pattern, the power its trying grows by with the text, and how often it doubles."""
    if len(pattern) > MAX_PATTERN:
        raise Invalid(f"FHIRPath: a pattern is longer than {MAX_PATTERN} characters.")
    power, choices = _cost(pattern)
    return _made(pattern), power, choices


@lru_cache(maxsize=512)
def _made(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.DOTALL)
    except (re.error, RecursionError, OverflowError) as error:
        raise Invalid(f"FHIRPath: `{pattern[:50]}` is no pattern: {error}.") from None


def _cost(pattern: str) -> tuple[int, int]:
    """How many repetitions may compete for the same characters, and how many choices there are.

    A repetition around another, or around a choice, is refused where nothing certain stands
    between two rounds: the ways to share the characters double with each, as in `(a+)+`.
    """
    power, choices = 0 if pattern.startswith("^") else 1, 0
    groups: list[_Group] = [_Group(0)]
    last: _Group | None = None
    for piece in PIECE.finditer(pattern):
        match piece.lastgroup:
            case "open":
                if pattern.startswith("(?", piece.start()) and piece[0] != "(?:":
                    raise Invalid("FHIRPath: a pattern may not look around.")
                groups.append(_Group(piece.end()))
                last = None
            case "close" if len(groups) > 1:
                last = groups.pop()
                groups[-1].varies |= last.varies
            case "many" | "some":
                if piece[0] != "?" and last and last.varies and not last.separated(pattern):
                    raise Invalid(
                        "FHIRPath: a pattern may not repeat a group that itself repeats or "
                        f"chooses, as in `{pattern[:50]}`."
                    )
                power += piece.lastgroup == "many" or "," in piece[0]
                choices += piece[0] == "?"
                groups[-1].varies = True
                last = None
            case _:
                if piece[0][0] == "\\" and piece[0][1:].isdigit():
                    raise Invalid("FHIRPath: a pattern may not look back at a group.")
                choices += piece[0] == "|"
                groups[-1].varies |= piece[0] == "|"
                last = None
    return power, choices


class _Group:
    """A group of a pattern while it is read."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.varies = False

    def separated(self, pattern: str) -> bool:
        """Whether each round begins with an escaped sign that the rest of it shuts out."""
        found = re.match(r"\\([.:/\-|@])", pattern[self.start :])
        rest = pattern[self.start + 2 :]
        return found is not None and bool(
            re.match(r"\[\^[^\]]*" + re.escape(found[1]), rest)
            or re.match(r"\[(?!\^)[A-Za-z0-9_\-]+\]", rest)
        )


FUNCTIONS: dict[str, tuple[Body, int, int]] = {
    "indexOf": (of_string(lambda value, part: value.find(string(part))), 1, 1),
    "lastIndexOf": (of_string(lambda value, part: value.rfind(string(part))), 1, 1),
    "substring": (of_string(_substring), 1, 2),
    "startsWith": (of_string(lambda value, part: value.startswith(string(part))), 1, 1),
    "endsWith": (of_string(lambda value, part: value.endswith(string(part))), 1, 1),
    "contains": (of_string(lambda value, part: string(part) in value), 1, 1),
    "upper": (of_string(str.upper), 0, 0),
    "lower": (of_string(str.lower), 0, 0),
    "trim": (of_string(str.strip), 0, 0),
    "length": (of_string(len), 0, 0),
    "toChars": (of_string(list), 0, 0),
    "split": (of_string(lambda value, by: value.split(string(by)) if by else list(value)), 1, 1),
    "replace": (of_string(_replace), 2, 2),
    "matches": (of_string(_matches), 1, 1),
    "matchesFull": (of_string(matches_full), 1, 1),
    "replaceMatches": (of_string(replace_matches), 2, 2),
}


def _join(scope: Scope, focus: list[Item], args: Args) -> list[Item]:
    separator = one(args[0](scope), "`join()`") if args else made("")
    if separator is None or not focus:
        return []
    parts = [as_text(plain(item)) or "" for item in focus]
    return [made(checked(string(plain(separator)).join(parts)))]


FUNCTIONS["join"] = (_join, 0, 1)
