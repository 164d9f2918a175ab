"""token — a code and, perhaps, the system that gives it meaning.

https://hl7.org/fhir/R4/search.html#token

Codes and identifiers are compared as written: R4 lets a match be case sensitive, and identifiers,
UCUM and most code systems are. Values of type string are compared without case, as R4 asks.
"""

# ruff: noqa: ARG001 - every kind has the same functions
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from fhir_server.foundation.outcome import Invalid
from fhir_server.search.dominant import dominant
from fhir_server.search.escape import split, unescape
from fhir_server.search.parameters import Parameter
from fhir_server.search.site import HERE, Site
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

MODIFIERS = frozenset({"not"})
HALF = (1 << 32) - 1
CODE, SYSTEM = HALF, ~HALF  # the masks of a KeyRow's w
SPECIAL = "http://hl7.org/fhir/special-values"
WITHOUT_CASE = "\0"  # before a string's folded text, so that it is no one's code

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

    def of_contact(value: Mapping[str, Any]) -> Sequence[KeyRow]:
        address = value.get("value")
        return (_key(number, of, named, "", address),) if address else ()

    def of_code(value: str) -> Sequence[KeyRow]:
        return (_key(number, of, named, system or "", value),)

    writers: dict[str, Writer] = {
        "CodeableConcept": of_concept,
        "Coding": lambda value: of_pair(value, "code"),
        "Identifier": lambda value: of_pair(value, "value"),
        "ContactPoint": of_contact,
        "boolean": lambda value: of_code("true" if value else "false"),
        "string": lambda value: of_code(WITHOUT_CASE + value.casefold()),
        **dict.fromkeys(PLAIN, of_code),
    }
    return writers.get(type)


PLAIN = ("code", "id", "uri", "url", "canonical", "oid", "uuid")
TYPES = frozenset(
    {"CodeableConcept", "Coding", "Identifier", "ContactPoint", "boolean", "string", *PLAIN}
)
WITHOUT_SYSTEM = frozenset({"ContactPoint", "boolean", "uri", "url", "canonical", "oid", "uuid"})


# --- what is asked -------------------------------------------------------------------------------


def where(parameter: Parameter, text: str, modifier: str | None, site: Site = HERE) -> Condition:
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


def identifies(parameter: Parameter, text: str) -> tuple[str, str] | None:
    """The system and value, where the text names one identifier and its system."""
    parts = split(text, "|")
    if "Identifier" not in parameter.types or len(parts) != 2 or not all(parts):
        return None
    return unescape(parts[0]), unescape(parts[1])


def present(parameter: Parameter) -> Condition:
    number = parameter.number
    found = KeyBetween(number << PARAM_SHIFT, (number + 1) << PARAM_SHIFT)
    return _beside(parameter, found, dominant(parameter.of, parameter.code))
