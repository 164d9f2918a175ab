"""vouched — what stands in a code, a unit or an address without a person having made it up.

https://hl7.org/fhir/R4/secpriv-module.html#deident

A name can stand wherever text can: as the display of a code, as a unit, as the path of a URL. So of
these only what somebody else vouches for is told: the code system that has the code, R4 that lists
the codes of an element, the register of provinces. Where a system is not known here a code is told
that looks like one and like no word and no number of a person.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from fhir_server.conformance.definitions import Definitions, Field
from fhir_server.foundation.folding import fold
from fhir_server.foundation.resource import Resource
from fhir_server.terminology.files import code_list
from fhir_server.terminology.terms import Terms

UCUM = "http://unitsofmeasure.org"
# What a code may hold that its system does not vouch for: UCUM's `{words}`, a language's `x-words`,
# a media type's `; name=words`.
LOOSE = re.compile(r"[{}|;\s]|(^|-)x-", re.IGNORECASE)
# A code of a system that is not known here: a few letters, or letters and digits, but never so many
# digits in a row that they could be a telephone, an identity card or an insurance card.
SHORT = re.compile(r"[A-Za-z]{1,5}|(?=[A-Za-z.-]*\d)(?!.*\d{9})[A-Za-z0-9.-]{1,16}")
# Systems that few servers hold, by the shape of their codes.
SHAPES = {
    "http://snomed.info/sct": re.compile(r"\d{6,18}"),
    "http://loinc.org": re.compile(r"\d{1,6}-\d|L[AP]\d{1,7}-\d"),
    "http://www.nlm.nih.gov/research/umls/rxnorm": re.compile(r"\d{1,8}"),
}
BARE = re.compile(r"(https?://|urn:oid:)[A-Za-z0-9./:_-]{1,200}")  # an address that asks nothing
# `code` elements of R4 whose codes are not listed but have a grammar.
GRAMMARS = {
    "language": re.compile("[a-z]{2,3}(-[A-Z]{2})?"),
    "currency": re.compile("[A-Z]{3}"),
}
UNITS = frozenset(  # words for units that are no UCUM, as they are written here
    {
        *("mmHg", "lần/phút", "nhịp/phút", "viên", "ống", "gói", "chai", "lọ", "hộp", "tuýp"),
        *("vỉ", "bơm", "túi", "liều", "lần", "ngày", "tuần", "tháng", "năm", "tuổi", "giờ"),
        *("phút", "giây", "độ", "điểm", "beats/minute", "breaths/minute", "tablet", "capsule"),
        *("years", "months", "weeks", "days", "hours", "minutes", "yr", "bpm"),
    }
)
COUNTRIES = frozenset({"việt nam", "viet nam", "vietnam"})


def coding(terms: Terms, told: Resource) -> Resource | None:
    """The Coding in its system's own words; None: nobody vouches for its code."""
    system, code = told.get("system"), told.get("code")
    if not isinstance(code, str) or not isinstance(system, str | None):
        return None
    where = {} if system is None else {"system": system}
    if system is not None and terms.is_known(system):
        concept = None if LOOSE.search(code) else terms.lookup(system, code)
        if concept is not None:
            said = {} if concept.display is None else {"display": concept.display}
            return where | {"code": code} | said
        if all(version.lacks(code) for version in terms.systems.versions(system)):
            return None
    if system is not None and not BARE.fullmatch(system):
        return None
    return where | {"code": code} if SHAPES.get(system or "", SHORT).fullmatch(code) else None


def measured(terms: Terms, told: Resource) -> Resource:
    """The parts of a Quantity that are its unit, as far as it is one."""
    system, code, unit = told.get("system"), told.get("code"), told.get("unit")
    kept: Resource = {}
    if isinstance(code, str) and coding(terms, {"system": system or UCUM, "code": code}):
        kept["code"] = code
        if isinstance(system, str) and (terms.is_known(system) or BARE.fullmatch(system)):
            kept["system"] = system
    if isinstance(unit, str) and (unit in UNITS or coding(terms, {"system": UCUM, "code": unit})):
        kept["unit"] = unit
    return kept


def code(definitions: Definitions, field: Field, told: Any) -> bool:
    """Whether a value of type `code` is one of those R4 lists for the element."""
    if not isinstance(told, str):
        return False
    binding = field.element.binding
    if binding is not None and binding.strength == "required":
        listed = definitions.codes(binding.value_set)
        if listed is not None:
            return any(told in codes for codes in listed.values())
    grammar = GRAMMARS.get(field.element.name)
    return grammar is not None and grammar.fullmatch(told) is not None


def canonical(terms: Terms, told: Any) -> bool:
    """Whether it is the URL of a definition that is known here."""
    return isinstance(told, str) and terms.canonicals.entry(told) is not None


def bare(told: Any) -> bool:
    """Whether it is an address within which nothing is asked for."""
    return isinstance(told, str) and BARE.fullmatch(told) is not None


def province(told: Any) -> bool:
    """Whether it is a province of Viet Nam, now or before 2025-07-01."""
    return isinstance(told, str) and _plain(told) in _provinces()


def country(told: Any) -> bool:
    """Whether it is a country's code, or this one's name."""
    return isinstance(told, str) and (
        re.fullmatch("[A-Z]{2,3}", told) is not None or told.strip().casefold() in COUNTRIES
    )


@cache
def _provinces() -> frozenset[str]:
    now, before = code_list("provinces-34"), code_list("provinces-63-to-34")
    columns = ("code", "name_2025_07_01", "name_2026_09_20")
    return frozenset(
        {_plain(row[name]) for row in now for name in columns}
        | {_plain(row[name]) for row in before for name in ("old_code", "old_name")}
    )


def _plain(name: str) -> str:
    """Without what kind of a province it is: `Tỉnh`, `Thành phố`, `TP.`."""
    return re.sub(r"^(tinh|thanh pho|tp) ", "", fold(name))
