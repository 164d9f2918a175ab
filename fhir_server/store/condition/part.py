"""part — a piece of SQL with the values of its marks, and how pieces are put together.

https://hl7.org/fhir/R4/search.html

Everything a client sent is a bound value: no piece's text depends on it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from fhir_server.store.dialect import Bigints, Dialect

LAST = 0x10FFFF
WHOLE = 2**63 - 1
LONGEST = 400  # characters of a word that are kept: a page of an index holds no longer one


class Part(NamedTuple):
    """A piece of SQL and the values of its marks, in order."""

    text: str
    values: tuple[Any, ...] = ()


YES, NO = Part("true"), Part("false")


def joined(separator: str, parts: Iterable[Part]) -> Part:
    texts: list[str] = []
    values: list[Any] = []
    for part in parts:
        texts.append(part.text)
        values.extend(part.values)
    return Part(separator.join(texts), tuple(values))


def both(parts: Iterable[Part]) -> Part:
    kept = [part for part in parts if part is not YES]
    if any(part is NO for part in kept):
        return NO
    return joined(" and ", kept) if kept else YES


def either(parts: Iterable[Part]) -> Part:
    kept = [part for part in parts if part is not NO]
    if any(part is YES for part in kept):
        return YES
    if len(kept) < 2:
        return kept[0] if kept else NO
    return Part(f"({joined(' or ', kept).text})", joined("", kept).values)


def member(column: str, numbers: Sequence[int], dialect: Dialect) -> Part:
    """`column` is one of the numbers: one bound value, however many they are."""
    if not numbers:
        return NO
    if len(numbers) == 1:
        return Part(f"{column} = {dialect.mark}", (numbers[0],))
    if dialect.postgresql:
        return Part(f"{column} = any({dialect.mark})", (Bigints(numbers),))
    return Part(f"{column} in (select value from json_each(?))", (json.dumps(list(numbers)),))


def successor(prefix: str) -> str | None:
    """The smallest text after every text that begins with `prefix`; None: there is none."""
    for at in range(len(prefix) - 1, -1, -1):
        point = ord(prefix[at]) + 1
        if point <= LAST:
            # U+D800 to U+DFFF are no characters
            return prefix[:at] + chr(0xE000 if 0xD800 <= point < 0xE000 else point)
    return None


def storable(text: str) -> bool:
    """Whether a database can hold the text: no NUL and no half of a character."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def within(column: str, start: float | None, end: float | None, mark: str) -> list[Part]:
    """start <= column < end."""
    bounds = ((">=", start), ("<", end))
    return [Part(f"{column} {sign} {mark}", (b,)) for sign, b in bounds if b is not None]


def whole(bound: float | None) -> int | None:
    """A bound for whole numbers: x >= 1.5 and x >= 2 say the same, and so do x < 1.5 and x < 2."""
    if bound is None or isinstance(bound, int):
        return bound if bound is None else max(-WHOLE, min(WHOLE, bound))
    if not math.isfinite(bound) or abs(bound) > WHOLE:
        return -WHOLE if bound < 0 else WHOLE
    return math.ceil(bound)
