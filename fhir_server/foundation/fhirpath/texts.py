"""texts — the functions of strings, with patterns that cannot run away.

http://hl7.org/fhirpath/N1/#string-manipulation
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from fhir_server.foundation.fhirpath.conversions import text as as_text
from fhir_server.foundation.fhirpath.items import Item, made, plain
from fhir_server.foundation.fhirpath.patterns import compiled, tries
from fhir_server.foundation.fhirpath.scope import Evaluated, Scope, one, value_of
from fhir_server.foundation.fhirpath.values import checked, named
from fhir_server.foundation.outcome import Invalid

TRIES_A_STEP = 20  # about a microsecond

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
        scope.run.spend(len(result) // 100 if isinstance(result, str) else 0)
        if isinstance(result, list):
            return [made(checked(each)) for each in result]
        return [] if result is None else [made(checked(result))]

    return told


def _of_pattern(body: Callable[..., Any]) -> Body:
    """A function that tries a pattern: each takes what it may cost."""
    inner = of_string(body)

    def told(scope: Scope, focus: list[Item], args: Args) -> list[Item]:
        pattern = value_of(args[0](scope), "an argument")
        if len(focus) == 1 and isinstance(focus[0].value, str) and isinstance(pattern, str):
            scope.run.spend(tries(pattern, len(focus[0].value)) // TRIES_A_STEP)
        return inner(scope, focus, args)

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
    tries(pattern, length)
    return compiled(pattern)


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
    "matches": (_of_pattern(_matches), 1, 1),
    "matchesFull": (_of_pattern(matches_full), 1, 1),
    "replaceMatches": (_of_pattern(replace_matches), 2, 2),
}


def _join(scope: Scope, focus: list[Item], args: Args) -> list[Item]:
    separator = one(args[0](scope), "`join()`") if args else made("")
    if separator is None or not focus:
        return []
    parts = [as_text(plain(item)) or "" for item in focus]
    return [made(checked(string(plain(separator)).join(parts)))]


FUNCTIONS["join"] = (_join, 0, 1)
