"""string — text, found by the beginnings of its words, whatever its case, tones or order.

https://hl7.org/fhir/R4/search.html#string
"""

# ruff: noqa: ARG001 - every kind has the same functions
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from fhir_server.foundation.outcome import Invalid
from fhir_server.search.escape import unescape
from fhir_server.search.folding import words
from fhir_server.search.parameters import Parameter
from fhir_server.search.site import HERE, Site
from fhir_server.store.contract import AllOf, Condition, StringRow, WordStarts

MODIFIERS: frozenset[str] = frozenset()
WORDS_ASKED = 50

Writer = Callable[[Any], Sequence[StringRow]]

# R4 search#string: of HumanName and Address "the search covers the elements of type string"
PARTS = {
    "HumanName": ("family", "given", "text", "prefix", "suffix"),
    "Address": ("line", "district", "city", "state", "country", "postalCode", "text"),
}


@lru_cache(maxsize=1 << 13)  # the same names, wards and provinces come again and again
def _rows(number: int, text: str) -> tuple[StringRow, ...]:
    return tuple(StringRow(number, word) for word in words(text))


def writer(parameter: Parameter, type: str, site: Site, system: str | None = None) -> Writer | None:
    number = parameter.number
    if type in PARTS:
        parts = PARTS[type]

        def of_parts(value: Mapping[str, Any]) -> list[StringRow]:
            found: dict[StringRow, None] = {}
            for part in parts:
                text = value.get(part)
                for one in text if text.__class__ is list else (text,):
                    if one:
                        found.update(dict.fromkeys(_rows(number, one)))
            return list(found)

        return of_parts
    if type in TYPES:
        return lambda value: _rows(number, value)
    return None


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
    starts = tuple(WordStarts(parameter.number, word) for word in asked)
    return starts[0] if len(starts) == 1 else AllOf(starts)


def present(parameter: Parameter) -> Condition:
    return WordStarts(parameter.number, "")
