"""token — a code and, perhaps, the system that gives it meaning.

https://hl7.org/fhir/R4/search.html#token
https://hl7.org/fhir/R4/search.html#mimetype

Codes and identifiers are compared as written: R4 lets a match be case sensitive, and identifiers,
UCUM and most code systems are. Values of type string are compared without case, as R4 asks.
"""

# ruff: noqa: ARG001 - every kind has the same functions
from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from fhir_server.foundation.outcome import FhirError, Invalid, NotSupported
from fhir_server.search import texts_asked
from fhir_server.search.dominant import dominant
from fhir_server.search.escape import split, unescape
from fhir_server.search.parameters import Parameter
from fhir_server.search.site import HERE, MAX_LOOKS, Site
from fhir_server.store.contract import (
    HASH_MASK,
    PARAM_SHIFT,
    AnyOf,
    Condition,
    KeyBetween,
    KeyIs,
    KeyRow,
    hash128,
)
from fhir_server.terminology.terms import Terms

CODED = frozenset({"CodeableConcept", "Coding", "code", "Extension"})
# Each modifier with the datatypes it is for; none: for all
FOR: dict[str, frozenset[str]] = {
    "above": CODED,
    "below": CODED,
    "in": CODED,
    "not": frozenset(),
    "not-in": CODED,
    "of-type": frozenset({"Identifier"}),
    "text": frozenset({"CodeableConcept", "Coding", "Identifier", "Extension"}),
}
MODIFIERS = frozenset(FOR)
MAX_CODES = 5_000  # of a value set, or of what lies above or below a code
HALF = (1 << 32) - 1
CODE, SYSTEM = HALF, ~HALF  # the masks of a KeyRow's w
SPECIAL = "http://hl7.org/fhir/special-values"
# Before what a row says beside a code, so that it is no one's code
WITHOUT_CASE = "\0"  # a string's folded text
OF_TYPE = "\0of-type\0"  # an identifier's type and value
MIME = "\0mime\0"  # a MIME type without its parameters
HOLDER = "\0holder\0"  # whose card it is
# A card of the Vietnamese health insurance: whom it insures, the benefits, the province; and the
# number of its holder, which stays when a new card begins otherwise.
CARD = re.compile(r"[A-Z]{2}[1-5][0-9]{2}([0-9]{10})")
# The elements whose codes are MIME types
MIME_TYPES = ("CapabilityStatement.format", "Subscription.channel.payload", ".contentType")

Writer = Callable[[Any], Sequence[KeyRow]]


# --- what is written -----------------------------------------------------------------------------


def _signed(number: int) -> int:
    """64 bits as a database's integers have them."""
    return number - (1 << 64) if number >> 63 else number


def _system(system: str) -> int:
    """The half of w that tells the system: 0 where there is none, and only there."""
    return (hash128(system) & HALF or 1) << 32 if system else 0


@lru_cache(maxsize=1 << 16)
def _key(number: int, type: str, parameter: str, system: str, code: str) -> KeyRow:
    digest = hash128(code)
    v = number << PARAM_SHIFT | digest & HASH_MASK
    w = _signed(_system(system) | digest >> PARAM_SHIFT & HALF)
    return KeyRow(v, w, dominant(type, parameter).get((system, code), 0))


def writer(parameter: Parameter, type: str, site: Site, system: str | None = None) -> Writer | None:
    number, of, named = parameter.number, parameter.of, parameter.code

    def of_pair(value: Mapping[str, Any], property: str) -> Sequence[KeyRow]:
        code = value.get(property)
        return (_key(number, of, named, value.get("system") or "", code),) if code else ()

    def of_concept(value: Mapping[str, Any]) -> Sequence[KeyRow]:
        return [
            _key(number, of, named, coding.get("system") or "", coding["code"])
            for coding in value.get("coding") or ()
            if "code" in coding
        ]

    def of_identifier(value: Mapping[str, Any]) -> Sequence[KeyRow]:
        rows = of_pair(value, "value")
        texts = _typed(value) if rows and "type" in value else []
        if rows and (card := CARD.fullmatch(value["value"])):
            texts.append(HOLDER + card[1])
        return [*rows, *(_key(number, of, named, "", text) for text in texts)]

    def of_code(value: str) -> Sequence[KeyRow]:
        return (_key(number, of, named, system or "", value),)

    def of_mime_type(value: str) -> Sequence[KeyRow]:
        base, more, _ = value.partition(";")
        return [*of_code(value), *(of_code(MIME + base.strip()) if more else ())]

    writers: dict[str, Writer] = {
        "CodeableConcept": of_concept,
        "Coding": lambda value: of_pair(value, "code"),
        "Identifier": of_identifier,
        "ContactPoint": lambda value: of_pair({"value": value.get("value")}, "value"),
        "boolean": lambda value: of_code("true" if value else "false"),
        "string": lambda value: of_code(WITHOUT_CASE + value.casefold()),
        **dict.fromkeys(PLAIN, of_code),
        **({"code": of_mime_type} if _is_mime_type(parameter) else {}),
    }
    return writers.get(type)


def _typed(identifier: Mapping[str, Any]) -> list[str]:
    """R4 search#token, :of-type: "match if any of the type codes match"."""
    return [
        _of_type_text(coding["system"], coding["code"], identifier["value"])
        for coding in identifier["type"].get("coding") or ()
        if "system" in coding and "code" in coding
    ]


def _of_type_text(system: str, code: str, value: str) -> str:
    return f"{OF_TYPE}{system}\0{code}\0{value}"


def _is_mime_type(parameter: Parameter) -> bool:
    return any(path.element.endswith(MIME_TYPES) for path in parameter.paths)


PLAIN = ("code", "id", "uri", "url", "canonical", "oid", "uuid")
TYPES = frozenset(
    {"CodeableConcept", "Coding", "Identifier", "ContactPoint", "boolean", "string", *PLAIN}
)
WITHOUT_SYSTEM = frozenset({"ContactPoint", "boolean", "uri", "url", "canonical", "oid", "uuid"})


# --- what is asked -------------------------------------------------------------------------------


def modifiers_of(parameter: Parameter) -> frozenset[str]:
    types = parameter.types
    return frozenset(name for name, these in FOR.items() if not these or these & types)


def where(parameter: Parameter, text: str, modifier: str | None, site: Site = HERE) -> Condition:
    return WHERE[modifier](parameter, text, modifier, site)


def _plain(parameter: Parameter, text: str, modifier: str | None, site: Site) -> Condition:
    # R4 search#token:  [code]  |  [system]|[code]  |  |[code]  |  [system]|
    match [unescape(part) for part in split(text, "|")]:
        case [code] if code:
            return _of_code(parameter, code)
        case [system, code] if system or code:
            _needs_system(parameter, text)
            return _of_system(parameter, system) if not code else _of_pair(parameter, system, code)
    raise Invalid(
        f"`{parameter.code}` is given `{text[:80]}`. A token is written `code`, `system|code`, "
        "`|code` (no system) or `system|` (any code of it); write a `|` within one as `\\|`."
    )


def _of_code(parameter: Parameter, code: str) -> Condition:
    """The code under any system; a dominant value is kept apart, so it is asked for apart."""
    implied = {path.system for path in parameter.paths if path.type == "code"}
    asked: list[Condition] = []
    if "string" in parameter.types:
        asked.append(_pair(parameter, "", WITHOUT_CASE + code.casefold()))
    if parameter.types == {"code"} and len(implied) == 1 and None not in implied:
        asked.append(_pair(parameter, implied.pop() or "", code))
    elif parameter.types <= WITHOUT_SYSTEM:
        asked.append(_pair(parameter, "", code))
    else:
        common = dominant(parameter.of, parameter.code)
        asked += [_pair(parameter, *pair) for pair in common if pair[1] == code]
        plain = _pair(parameter, "", code)
        asked.append(KeyIs(plain.v, plain.w & CODE, mask=CODE))
    return asked[0] if len(asked) == 1 else AnyOf(tuple(asked))


def _pair(parameter: Parameter, system: str, code: str) -> KeyIs:
    row = _key(parameter.number, parameter.of, parameter.code, system, code)
    return KeyIs(row.v, row.w, -1, row.dominant, parameter.of if row.dominant else "")


def _of_pair(parameter: Parameter, system: str, code: str) -> Condition:
    exact = _pair(parameter, system, code)
    if system or "string" not in parameter.types:
        return exact
    return AnyOf((exact, _pair(parameter, "", WITHOUT_CASE + code.casefold())))


def _of_system(parameter: Parameter, system: str) -> Condition:
    lo = parameter.number << PARAM_SHIFT
    found = KeyBetween(lo, lo + HASH_MASK + 1, w=_signed(_system(system)), mask=SYSTEM)
    pairs = [pair for pair in dominant(parameter.of, parameter.code) if pair[0] == system]
    return _beside(parameter, found, pairs)


def _beside(parameter: Parameter, found: Condition, pairs: Iterable[tuple[str, str]]) -> Condition:
    """Or any of these dominant values."""
    common = tuple(_pair(parameter, *pair) for pair in pairs)
    return AnyOf((*common, found)) if common else found


def _needs_system(parameter: Parameter, text: str) -> None:
    """R4 search#token: of ContactPoint, uri and boolean "the pipe symbol SHALL NOT be used"."""
    if parameter.types and parameter.types <= WITHOUT_SYSTEM:
        raise Invalid(
            f"`{parameter.code}` has no system: write the value alone, not `{text[:80]}`, and a "
            "`|` within it as `\\|`."
        )


# --- what codes mean -----------------------------------------------------------------------------


def _in(parameter: Parameter, text: str, modifier: str | None, site: Site) -> Condition:
    """R4 search#token: a literal reference to a value set here, else its canonical URL.

    R4 says of `:not` that it finds what has no value too, and that "the negation applies to the
    set, not each individual entry". Of `:not-in` it says neither; it is taken for the same.
    """
    terms, named = _terms(parameter, modifier, site), unescape(text)
    here = site.own(named)
    try:
        literal = terms.stored("ValueSet", here.key.id) if here else None
        pairs = terms.codes(literal or named, at_most=MAX_CODES)
    except FhirError as error:
        raise _told(parameter, modifier, named, error) from error
    return _any_of(parameter, pairs)


def _line(parameter: Parameter, text: str, modifier: str | None, site: Site) -> Condition:
    """R4 search#token: the concept itself, and what it subsumes, or what subsumes it."""
    if _is_mime_type(parameter):
        return _mime(parameter, text, modifier)
    system, code = _concept(parameter, text, modifier)
    terms = _terms(parameter, modifier, site)
    try:
        codes = terms.line(system, code, below=modifier == "below", at_most=MAX_CODES)
    except FhirError as error:
        raise _told(parameter, modifier, f"{system}|{code}", error) from error
    return _any_of(parameter, ((system, code) for code in codes))


def _concept(parameter: Parameter, text: str, modifier: str | None) -> tuple[str, str]:
    # R4 search#token:  [system]|[code]
    match [unescape(part) for part in split(text, "|")]:
        case [system, code] if system and code:
            return system, code
        case [code] if code:
            implied = {path.system for path in parameter.paths}
            if parameter.types == {"code"} and len(implied) == 1 and None not in implied:
                return implied.pop() or "", code
    raise Invalid(
        f"`{parameter.code}:{modifier}` is given `{text[:80]}`. It takes `system|code`: what lies "
        f"{modifier} a code depends on its system."
    )


def _mime(parameter: Parameter, text: str, modifier: str | None) -> Condition:
    """R4 search#mimetype: `text/xml` finds `text/xml; charset=UTF-8` too."""
    text = unescape(text)
    whole = _of_code(parameter, text)
    if modifier == "above":  # `text/xml` is what a `text/xml; charset=UTF-8` may be called, too
        base = text.partition(";")[0].strip()
        return whole if base == text else AnyOf((whole, _of_code(parameter, base)))
    return AnyOf((whole, _of_code(parameter, MIME + text)))


def _of_type(parameter: Parameter, text: str, modifier: str | None, site: Site) -> Condition:
    # R4 search#token:  [system]|[code]|[value], "All 3 parts must be present"
    match [unescape(part) for part in split(text, "|")]:
        case [system, code, value] if system and code and value:
            return _pair(parameter, "", _of_type_text(system, code, value))
    raise Invalid(
        f"`{parameter.code}:of-type` is given `{text[:80]}`. It takes `system|code|value`: the "
        "system and code of the identifier's type, and the identifier's value; all three."
    )


def _any_of(parameter: Parameter, pairs: Iterable[tuple[str, str]]) -> Condition:
    """Any of these codes. A `code` has the system its value set implies; where that implies none,
    the code alone tells."""
    implied = {path.system for path in parameter.paths if path.type == "code"}
    spelled = bool(parameter.types - {"code"})
    unsaid = None in implied or "Extension" in parameter.types
    found: dict[Condition, None] = {}
    for system, code in pairs:
        if spelled or system in implied:
            found[_pair(parameter, system, code)] = None
        if unsaid:
            found[_pair(parameter, "", code)] = None
    return AnyOf(tuple(found))


def _terms(parameter: Parameter, modifier: str | None, site: Site) -> Terms:
    if site.terms is None:
        raise NotSupported(
            f"`{parameter.code}:{modifier}` needs to know what codes mean, and nothing that could "
            "tell is known here."
        )
    site.looks[0] -= 1
    if site.looks[0] < 0:
        raise Invalid(
            f"One search may ask what codes mean {MAX_LOOKS} times: for a value set, or for what "
            "lies above or below a code. Ask in several searches."
        )
    return site.terms


def _told(parameter: Parameter, modifier: str | None, named: str, error: FhirError) -> Invalid:
    """What terminology refuses, about the parameter."""
    return Invalid(f"`{parameter.code}:{modifier}` cannot be asked of `{named[:200]}`. {error}")


WHERE: dict[str | None, Callable[[Parameter, str, str | None, Site], Condition]] = {
    None: _plain,
    "above": _line,
    "below": _line,
    "in": _in,
    "not": _plain,
    "not-in": _in,
    "of-type": _of_type,
    "text": texts_asked.said,
}


def identifies(parameter: Parameter, text: str) -> tuple[str, str] | None:
    """The system and value, where the text names one identifier and its system."""
    parts = split(text, "|")
    if "Identifier" not in parameter.types or len(parts) != 2 or not all(parts):
        return None
    return unescape(parts[0]), unescape(parts[1])


def cards_of(parameter: Parameter, holder: str) -> Condition:
    """Any insurance card of the holder with this number of ten digits, however it begins."""
    return _pair(parameter, "", HOLDER + holder)


def present(parameter: Parameter) -> Condition:
    number = parameter.number
    found = KeyBetween(number << PARAM_SHIFT, (number + 1) << PARAM_SHIFT)
    return _beside(parameter, found, dominant(parameter.of, parameter.code))
