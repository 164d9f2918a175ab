"""string — text, found by the beginnings of its words, whatever its case, tones or order.

https://hl7.org/fhir/R4/search.html#string
"""

# ruff: noqa: ARG001 - every kind has the same functions
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from fhir_server.foundation.folding import words
from fhir_server.foundation.outcome import Invalid
from fhir_server.search.escape import unescape
from fhir_server.search.parameters import PARTS, Parameter
from fhir_server.search.site import HERE, Site
from fhir_server.store.contract import AllOf, Condition, KeyRow, StringRow, WordStarts

MODIFIERS: frozenset[str] = frozenset()
WORDS_ASKED = 50

Writer = Callable[[Any], Sequence[StringRow]]
Rest = Callable[[Any, list[StringRow], list[KeyRow]], None]


@lru_cache(maxsize=1 << 13)  # the same names, wards and provinces come again and again
def _rows(number: int, text: str) -> tuple[StringRow, ...]:
    return tuple(StringRow(number, word) for word in words(text))


def writer(parameter: Parameter, type: str, site: Site, system: str | None = None) -> Writer | None:
    number = parameter.number
    if type in PARTS:
        return of_parts(number, PARTS[type])
    if type in TYPES:
        return lambda value: _rows(number, value)
    return None


def of_parts(number: int, parts: Sequence[str]) -> Writer:
    """The words of some parts of a HumanName or Address."""

    def write(value: Mapping[str, Any]) -> list[StringRow]:
        found: dict[StringRow, None] = {}
        for part in parts:
            text = value.get(part)
            for one in text if text.__class__ is list else (text,):
                if one:
                    found.update(dict.fromkeys(_rows(number, one)))
        return list(found)

    return write


def of_rest(number: int, type: str, left: Sequence[str], mark: KeyRow) -> Rest:
    """The words of the parts but those left to narrower parameters, and none of their words."""
    whole = of_parts(number, [part for part in PARTS[type] if part not in left])
    theirs = of_parts(0, left)

    def write(value: Mapping[str, Any], strings: list[StringRow], keys: list[KeyRow]) -> None:
        said = {row.word for row in theirs(value)}
        rest = [row for row in whole(value) if row.word not in said]
        strings += rest
        if not rest and not has_any(value, left):
            keys.append(mark)

    return write


def has_any(value: Mapping[str, Any], parts: Sequence[str]) -> bool:
    """Whether a HumanName or Address has a value in any of these parts."""
    texts = (value.get(part) for part in parts)
    return any(any(text) if text.__class__ is list else text is not None for text in texts)


TYPES = frozenset({"string", "markdown", "code", "id", "uri", *PARTS})


def where(parameter: Parameter, text: str, modifier: str | None, site: Site = HERE) -> Condition:
    """Each word asked for begins a word of the value.

    R4 asks that the value begins with the text; this finds that and more: `van nguyen` finds
    `Nguyễn Văn Đức`, because people write names in either order.
    """
    asked = words(unescape(text))
    if not asked:
        raise Invalid(f"`{parameter.code}` needs a letter or a digit to search for.")
    if len(asked) > WORDS_ASKED:
        raise Invalid(f"`{parameter.code}` is given {len(asked)} words; at most {WORDS_ASKED}.")
    starts = tuple(WordStarts(parameter.number, word, parameter.also) for word in asked)
    return starts[0] if len(starts) == 1 else AllOf(starts)


def present(parameter: Parameter) -> Condition:
    return WordStarts(parameter.number, "", parameter.also)
