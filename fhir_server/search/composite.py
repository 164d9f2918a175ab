"""composite — values that stand together: this code with that value, of the same component.

https://hl7.org/fhir/R4/search.html#composite

What is written for a pair, by the kinds of its parts. A token in it is found by its code, with its
system or with none, as the low bits say or do not say it; not by its system alone.

    token, token                KeyRow: the hash of both, and a few bits for the system of each
    token, quantity|number|date QuantityRow: code, system and unit are parts of its `unit`
    token, number, number       the same, with one number for lo and one for hi
    token, string               StringRow: the hash of the token before each word
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import product
from math import prod
from typing import Any, NamedTuple

from fhir_server.foundation.outcome import Invalid, NotSupported, TooLarge
from fhir_server.search.escape import split
from fhir_server.search.extract import Way, compiled, unfolded
from fhir_server.search.kinds import KINDS
from fhir_server.search.pairing import Pairing, pairings
from fhir_server.search.parameters import Parameter, Parameters
from fhir_server.search.site import Site
from fhir_server.store.contract import (
    HASH_MASK,
    PARAM_SHIFT,
    WHOLE_TEXT,
    AllOf,
    AnyOf,
    Condition,
    DateRow,
    Interval,
    KeyBetween,
    KeyIs,
    KeyRow,
    QuantityRow,
    StringRow,
    WordStarts,
    hash128,
)

EXACT = frozenset({"token", "reference", "uri"})
SPANS = frozenset({"date", "number", "quantity"})
HALF = (1 << 32) - 1

# A KeyRow's w: 16 bits more of the hash, then 24 for each system. A QuantityRow's unit: 33 bits of
# the code, 8 of its system, 22 of the unit. Systems and units need only be told apart where the
# code is the same, so few bits do; the code's are 10,000 codes' worth of one in a million.
KEY_SYSTEM, CODE_BITS, SYSTEM_BITS, UNIT_BITS = 24, 33, 8, 22
CODE = ((1 << CODE_BITS) - 1) << SYSTEM_BITS + UNIT_BITS
SYSTEM = ((1 << SYSTEM_BITS) - 1) << UNIT_BITS
UNIT = (1 << UNIT_BITS) - 1

Taken = Callable[[Mapping[str, Any]], list[Any]]  # the rows of one part of one repetition
Write = Callable[[Mapping[str, Any], list[Any]], None]


class Exact(NamedTuple):
    """What a token, reference or uri says. system: 0 for none; None: whichever."""

    code: str
    system: int | None = 0


# --- which are there -----------------------------------------------------------------------------


def sink(kinds: Sequence[str]) -> str | None:
    """Where the rows of such a pair go; None: there is no row for it."""
    exact = sum(kind in EXACT for kind in kinds)
    rest = tuple(kind for kind in kinds if kind not in EXACT)
    if not rest and exact <= 2:
        return "keys"
    if exact > 1:
        return None
    if rest == ("string",):
        return "strings"
    return "quantities" if rest == ("number", "number") or _is_span(rest) else None


def _is_span(kinds: Sequence[str]) -> bool:
    return len(kinds) == 1 and kinds[0] in SPANS


def answerable(parameters: Parameters, composite: Parameter) -> bool:
    """Whether a composite can be indexed and asked; all of R4's can."""
    found = pairings(parameters, composite)
    return bool(found) and all(
        not one.paired or sink([part.type for part in one.paired]) for one in found
    )


# --- what is written -----------------------------------------------------------------------------


def writer(parameters: Parameters, pairing: Pairing, site: Site, at_most: int) -> Write:
    """A function that adds the pairs of one repetition to the rows of `sink`."""
    parts = [_taken(parameters, pairing, part, site) for part in pairing.paired]
    pair = PAIRS[sink([part.type for part in pairing.paired]) or "keys"]
    kinds, number = [part.type for part in pairing.paired], pairing.number

    def write(repetition: Mapping[str, Any], rows: list[Any]) -> None:
        found = [part(repetition) for part in parts]
        if len(rows) + prod(map(len, found)) > at_most:
            raise TooLarge(
                f"`{pairing.place.element}` would need more than {at_most} index entries for "
                "what stands together in it. Divide it into several resources."
            )
        for together in product(*found):
            rows.extend(pair(number, kinds, together))

    return write


def _taken(parameters: Parameters, pairing: Pairing, part: Parameter, site: Site) -> Taken:
    kind, names = KINDS[part.type], dict[str, Any]()
    ways: list[Way] = []
    for path in part.paths:
        for one in unfolded(parameters.definitions, path, kind.TYPES):
            if write := kind.writer(part, one.type, site, one.system):
                name = f"w{len(names)}"
                names[name] = write
                ways.append((one.after(len(pairing.place.steps)), [f"found += {name}({{v}})"]))
    take = compiled("take(r, found)", ways, names)

    def taken(repetition: Mapping[str, Any]) -> list[Any]:
        found: list[Any] = []
        take(repetition, found)
        return list(dict.fromkeys(found))

    return taken


def _exact(kind: str, row: KeyRow | KeyIs) -> Exact:
    """The half of a token's w that is its system is told apart; of others all is one value."""
    v = row.v & HASH_MASK
    if kind == "token":
        return Exact(f"{v}.{row.w & HALF}", row.w >> 32 & HALF)
    return Exact(f"{kind}{v}.{row.w}")


def _key(number: int, kinds: Sequence[str], rows: Sequence[KeyRow]) -> Iterator[KeyRow]:
    v, w, _ = _key_of(number, tuple(map(_exact, kinds, rows)))
    yield KeyRow(v, w)


def _span(
    number: int, kinds: Sequence[str], rows: Sequence[KeyRow | DateRow | QuantityRow]
) -> Iterator[QuantityRow]:
    exact: list[Exact] = []
    spans: list[DateRow | QuantityRow] = []
    for kind, row in zip(kinds, rows, strict=True):
        if isinstance(row, KeyRow):
            exact.append(_exact(kind, row))
        else:
            spans.append(row)
    first, last = spans[0], spans[-1]
    if len(spans) > 1 and (first.lo != first.hi or last.lo != last.hi):
        return  # Ranges: no row holds two
    asked = first.unit if kinds[-1] == "quantity" and isinstance(first, QuantityRow) else 0
    unit, _ = _unit_of(exact, asked)
    hi = last.hi if len(spans) == 1 else last.lo
    yield QuantityRow(number, unit, float(first.lo), float(hi))


def _words(
    number: int, kinds: Sequence[str], rows: Sequence[KeyRow | StringRow]
) -> Iterator[StringRow]:
    exact = [_exact(k, row) for k, row in zip(kinds, rows, strict=True) if isinstance(row, KeyRow)]
    for row in rows:
        if isinstance(row, StringRow) and not row.param & WHOLE_TEXT:
            for before in {_before(exact), _before([one._replace(system=None) for one in exact])}:
                yield StringRow(number, before + row.word)


PAIRS: dict[str, Callable[[int, Sequence[str], Any], Iterator[Any]]] = {
    "keys": _key,
    "quantities": _span,
    "strings": _words,
}


# --- pairs as numbers ----------------------------------------------------------------------------


@lru_cache(maxsize=1 << 14)
def _key_of(number: int, parts: tuple[Exact, ...]) -> tuple[int, int, int]:
    """v, w and the mask of w."""
    digest = hash128("\n".join(part.code for part in parts))
    w, mask = digest >> PARAM_SHIFT & 0xFFFF, (1 << 64) - 1
    for at, part in enumerate(parts):
        place = 16 + KEY_SYSTEM * at
        if part.system is None:
            mask &= ~(((1 << KEY_SYSTEM) - 1) << place)
        else:
            w |= _few(part.system, KEY_SYSTEM) << place
    return number << PARAM_SHIFT | digest & HASH_MASK, _signed(w), _signed(mask)


def _signed(number: int) -> int:
    """64 bits as a database's integers have them."""
    return number - (1 << 64) if number >> 63 else number


def _unit_of(exact: Sequence[Exact], unit: int | None) -> tuple[int, int]:
    """A QuantityRow's unit and the mask of what of it is meant. unit: None for whichever."""
    code, mask = 0, CODE | SYSTEM | UNIT
    for part in exact:
        code |= (hash128(part.code) & (1 << CODE_BITS) - 1) << SYSTEM_BITS + UNIT_BITS
        if part.system is None:
            mask &= ~SYSTEM
        else:
            code |= _few(part.system, SYSTEM_BITS) << UNIT_BITS
    if unit is None:
        mask &= ~UNIT
    else:
        code |= unit & UNIT
    return code, -1 if mask == CODE | SYSTEM | UNIT else mask


def _before(exact: Sequence[Exact]) -> str:
    """What stands before a word, always as long."""
    told = "\n".join(f"{part.code} {part.system}" for part in exact)
    return f"{hash128(told) >> 64:016x}" if told else ""


def _few(system: int, bits: int) -> int:
    """A system in so many bits: 0 where there is none, and only there."""
    return system % ((1 << bits) - 1) + 1 if system else 0


# --- what is asked -------------------------------------------------------------------------------


def where(parameters: Parameters, composite: Parameter, text: str, site: Site) -> Condition:
    # R4 search#composite:  [part]$[part]
    texts = split(text, "$")
    wanted = len(composite.components)
    if len(texts) != wanted or not all(texts):
        kinds = "$".join(f"[{kind}]" for kind in _kinds(parameters, composite))
        raise Invalid(
            f"`{composite.code}` is given `{text[:80]}`. It takes {wanted} values joined by `$`, "
            f"`{kinds}`; a `$` that belongs to one is written `\\$`."
        )
    found = pairings(parameters, composite)
    if not answerable(parameters, composite):
        raise NotSupported(
            f"`{composite.code}` of {composite.of} joins values that cannot be searched together "
            "here. Search by each of its parts."
        )
    either = [_where(composite, pairing, texts, site) for pairing in found]
    return either[0] if len(either) == 1 else AnyOf(tuple(either))


def _kinds(parameters: Parameters, composite: Parameter) -> list[str]:
    found = pairings(parameters, composite)
    return [part.parameter.type for part in found[0].parts] if found else []


def _where(composite: Parameter, pairing: Pairing, texts: Sequence[str], site: Site) -> Condition:
    conditions: list[Condition] = []
    paired: list[Condition] = []
    for part, text in zip(pairing.parts, texts, strict=True):
        asked = KINDS[part.parameter.type].where(part.parameter, text, None, site)
        (conditions if part.alone else paired).append(asked)
    if paired:
        conditions.append(_together(composite, pairing, paired))
    return conditions[0] if len(conditions) == 1 else AllOf(tuple(conditions))


def _together(composite: Parameter, pairing: Pairing, asked: Sequence[Condition]) -> Condition:
    """A row of the pair, for every way in which each part may be met."""
    kinds = [part.type for part in pairing.paired]
    ways = [list(_each(composite, kind, one)) for kind, one in zip(kinds, asked, strict=True)]
    make = ASKED[sink(kinds) or "keys"]
    found = tuple(make(pairing.number, together) for together in product(*ways))
    return found[0] if len(found) == 1 else AnyOf(found)


def _each(composite: Parameter, kind: str, asked: Condition) -> Iterator[Exact | Condition]:
    """The alternatives of one part; a token's or reference's as what its row says."""
    if kind not in EXACT:
        yield from asked.conditions if isinstance(asked, AnyOf) and kind in SPANS else (asked,)
        return
    for one in asked.conditions if isinstance(asked, AnyOf) else (asked,):
        if not isinstance(one, KeyIs) or one.mask not in (-1, HALF):
            raise NotSupported(
                f"`{composite.code}` cannot be asked with a system alone (`system|`), because its "
                "values are kept together by their codes. Give the code, or ask for each part by "
                "its own parameter."
            )
        told = _exact(kind, one)
        yield told if one.mask == -1 else told._replace(system=None)


def _ask_key(number: int, parts: Iterable[Any]) -> Condition:
    v, w, mask = _key_of(number, tuple(parts))
    return KeyIs(v, w, mask)


def _ask_span(number: int, parts: Sequence[Any]) -> Condition:
    exact = [part for part in parts if isinstance(part, Exact)]
    spans = [part for part in parts if isinstance(part, Interval)]
    asked = spans[0].unit or 0
    unit, mask = _unit_of(exact, None if asked == -1 else asked)
    if len(spans) == 1:
        one = spans[0]
        return Interval(number, one.lo_from, one.lo_to, one.hi_from, one.hi_to, unit, mask)
    (a, b), (c, d) = (_of_point(one) for one in spans)
    return Interval(number, a, b, c, d, unit, mask)


def _of_point(asked: Interval) -> tuple[float | None, float | None]:
    """What is asked of a range that is one point."""
    start = [one for one in (asked.lo_from, asked.hi_from) if one is not None]
    end = [one for one in (asked.lo_to, asked.hi_to) if one is not None]
    return max(start, default=None), min(end, default=None)


def _ask_words(number: int, parts: Sequence[Any]) -> Condition:
    before = _before([part for part in parts if isinstance(part, Exact)])

    def told(asked: Condition) -> Condition:
        match asked:
            case WordStarts(_, word, _, spelt):
                others = tuple(before + one for one in spelt)
                return WordStarts(number, before + word, spelt=others)
            case AllOf(inner):
                return AllOf(tuple(map(told, inner)))
            case AnyOf(inner):
                return AnyOf(tuple(map(told, inner)))
        raise TypeError(f"no words: {asked}")

    return told(next(part for part in parts if not isinstance(part, Exact)))


ASKED: dict[str, Callable[[int, Any], Condition]] = {
    "keys": _ask_key,
    "quantities": _ask_span,
    "strings": _ask_words,
}


def present(
    parameters: Parameters, composite: Parameter, alone: Callable[[Parameter], Condition]
) -> Condition:
    """All parts have values that stand together. alone: asks it of a plain parameter."""
    found: list[Condition] = []
    for pairing in pairings(parameters, composite):
        parts = [alone(part.parameter) for part in pairing.parts if part.alone]
        if pairing.paired:
            parts.append(_any_row(pairing))
        found.append(parts[0] if len(parts) == 1 else AllOf(tuple(parts)))
    return found[0] if len(found) == 1 else AnyOf(tuple(found))


def _any_row(pairing: Pairing) -> Condition:
    number = pairing.number
    match sink([part.type for part in pairing.paired]):
        case "keys":
            return KeyBetween(number << PARAM_SHIFT, (number + 1) << PARAM_SHIFT)
        case "strings":
            return WordStarts(number, "")
    return Interval(number, unit=-1)
