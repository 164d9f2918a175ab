"""string — text, found by the beginnings of its words, whatever its case, tones or order.

https://hl7.org/fhir/R4/search.html#string
"""

# ruff: noqa: ARG001 - every kind has the same functions
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import product
from typing import Any
from unicodedata import normalize

from fhir_server.foundation.folding import every_word, other_spelling, words
from fhir_server.foundation.outcome import Invalid
from fhir_server.search.escape import unescape
from fhir_server.search.parameters import PARTS, Parameter
from fhir_server.search.site import HERE, Site
from fhir_server.store.contract import (
    CUT,
    FIRST,
    LAST,
    WHOLE_TEXT,
    AllOf,
    AnyOf,
    Condition,
    Contains,
    KeyRow,
    StringRow,
    Whole,
    WordStarts,
    hash128,
)

MODIFIERS: frozenset[str] = frozenset({"exact", "contains"})
WORDS_ASKED = 50
CONTAINED = 64  # folded letters that :contains may be given; a piece of CUT begins at every so many
PIECES = 200  # of one value
SPELLINGS = 3  # words of a :contains that are also looked for as others spell them
SHORT = 256  # longer texts do not come again and again

Writer = Callable[[Any], Sequence[StringRow]]
Rest = Callable[[Any, list[StringRow], list[KeyRow]], None]


# --- what is written -----------------------------------------------------------------------------


def _rows(number: int, text: str) -> Sequence[StringRow]:
    return _known(number, text) if len(text) <= SHORT else _made(number, text)


def _made(number: int, text: str) -> tuple[StringRow, ...]:
    """A value of one word is one row; of several, one for each word and one for the whole."""
    said = every_word(text)
    whole = digest(text) << 2 | FIRST | LAST
    if len(said) < 2:
        return (StringRow(number, said[0] if said else "", whole),)
    first, *further = _pieces(" ".join(said))
    return (
        *(StringRow(number, word) for word in dict.fromkeys(said)),
        StringRow(number + WHOLE_TEXT, first, whole),
        *(StringRow(number + WHOLE_TEXT, piece) for piece in further),
    )


_known = lru_cache(maxsize=1 << 13)(_made)  # the same names, wards and provinces come again


def _pieces(folded: str) -> Iterator[str]:
    """The text, or so much of it at a time that any CONTAINED letters stand together in one."""
    yield folded[:CUT]
    for start in range(CONTAINED, min(len(folded) - CONTAINED, PIECES * CONTAINED), CONTAINED):
        yield folded[start : start + CUT]


def digest(text: str) -> int:
    """28 bits that tell texts apart which are the same when folded; NFC and NFD are one text."""
    return hash128(normalize("NFC", text)) >> 100 or 1


def place(strings: list[StringRow]) -> None:
    """Take FIRST and LAST from where they are wrong: each whole value was written as if it were
    the only one of its parameter."""
    wholes: dict[int, list[int]] = {}
    for at, row in enumerate(strings):
        if row[2]:
            number = row[0] & ~WHOLE_TEXT
            if number in wholes:
                wholes[number].append(at)
            else:
                wholes[number] = [at]
    for places in wholes.values():
        if len(places) > 1:
            values = [strings[at][1:] for at in places]
            first, last = min(values), max(values)
            for at, value in zip(places, values, strict=True):
                wrong = (value != first and FIRST) + (value != last and LAST)
                if wrong:
                    param, word, whole = strings[at]
                    strings[at] = StringRow(param, word, whole - wrong)


def writer(parameter: Parameter, type: str, site: Site, system: str | None = None) -> Writer | None:
    number = parameter.number
    if type in PARTS:
        return of_parts(number, PARTS[type])
    if type in TYPES:
        return lambda value: _rows(number, value) if value else ()
    return None


def of_parts(number: int, parts: Sequence[str]) -> Writer:
    """The rows of some parts of a HumanName or Address."""

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
    """The rows of the parts but those left to narrower parameters, without what these say."""
    whole = of_parts(number, [part for part in PARTS[type] if part not in left])
    theirs = of_parts(0, left)

    def write(value: Mapping[str, Any], strings: list[StringRow], keys: list[KeyRow]) -> None:
        rest = whole(value)
        if rest:
            known = theirs(value)
            wholes, words = {row[1:] for row in known}, {row[1] for row in known}
            rest = [
                row for row in rest if (row[1:] not in wholes if row[2] else row[1] not in words)
            ]
        strings += rest
        if not rest and not has_any(value, left):
            keys.append(mark)

    return write


def has_any(value: Mapping[str, Any], parts: Sequence[str]) -> bool:
    """Whether a HumanName or Address has a value in any of these parts."""
    texts = (value.get(part) for part in parts)
    return any(any(text) if text.__class__ is list else text is not None for text in texts)


TYPES = frozenset({"string", "markdown", "code", "id", "uri", *PARTS})


# --- what is asked -------------------------------------------------------------------------------


def where(parameter: Parameter, text: str, modifier: str | None, site: Site = HERE) -> Condition:
    # R4 search#string:  "equals or starts with" | :contains | :exact
    asked = unescape(text)
    if modifier == "exact":
        return _exact(parameter, asked)
    return (_contained if modifier == "contains" else _begun)(parameter, asked)


def _begun(parameter: Parameter, text: str) -> Condition:
    """Each word asked for begins a word of the value.

    R4 asks that the value begins with the text; this finds that and more: `van nguyen` finds
    `Nguyễn Văn Đức`, because people write names in either order.
    """
    asked = words(text)
    _some(parameter, asked)
    if len(asked) > WORDS_ASKED:
        raise Invalid(f"`{parameter.code}` is given {len(asked)} words; at most {WORDS_ASKED}.")
    starts = tuple(
        WordStarts(parameter.number, word, parameter.also, (other,) if other else ())
        for word, other in ((word, other_spelling(word)) for word in asked)
    )
    return starts[0] if len(starts) == 1 else AllOf(starts)


def _exact(parameter: Parameter, text: str) -> Condition:
    folded = " ".join(every_word(text))[:CUT]
    return Whole(parameter.number, folded, digest(text), parameter.also)


def _contained(parameter: Parameter, text: str) -> Condition:
    asked = every_word(text)
    _some(parameter, asked)
    folded = " ".join(asked)
    if len(folded) > CONTAINED:
        raise Invalid(
            f"`{parameter.code}:contains` is given {len(folded)} letters; at most {CONTAINED}. "
            f"Without `:contains`, `{parameter.code}` finds up to {WORDS_ASKED} words."
        )
    texts = (folded, *_otherwise(asked))
    found = tuple(Contains(parameter.number, one, parameter.also) for one in texts)
    return found[0] if len(found) == 1 else AnyOf(found)


def _otherwise(asked: Sequence[str]) -> Iterator[str]:
    """The words as others spell them. Such a word is then meant as a whole: `mi` is no `minh`."""
    others = [(at, other) for at, word in enumerate(asked) if (other := other_spelling(word))]
    others = others[:SPELLINGS]
    for chosen in product((False, True), repeat=len(others)):
        spelt = dict(pair for pair, is_other in zip(others, chosen, strict=True) if is_other)
        if spelt:
            text = " ".join(spelt.get(at, word) for at, word in enumerate(asked))
            yield f"{' ' * (0 in spelt)}{text}{' ' * (len(asked) - 1 in spelt)}"


def _some(parameter: Parameter, asked: Sequence[str]) -> None:
    if not asked:
        raise Invalid(f"`{parameter.code}` needs a letter or a digit to search for.")


def present(parameter: Parameter) -> Condition:
    return WordStarts(parameter.number, "", parameter.also)
