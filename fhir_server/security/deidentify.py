"""deidentify — a record as somebody may see it who is not to know whose it is.

https://hl7.org/fhir/R4/secpriv-module.html#deident

What is left out is told by types of elements, so a profile's or a later element cannot be
forgotten. Of texts, codes, units and addresses only what somebody vouches for stays (vouched.py);
ids and references become pseudonyms (pseudonym.py), which tell which records belong together and no
more. Required elements that are left out say so (data-absent-reason `masked`).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fhir_server.conformance.definitions import Definitions, Field
from fhir_server.foundation.resource import Key, Resource
from fhir_server.security import vouched
from fhir_server.security.policy import SMALLEST
from fhir_server.security.pseudonym import Pseudonyms
from fhir_server.terminology.terms import Terms

OLDEST = 89  # years: who is older is told to be no age, since there are few of them

MASKED = {
    "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
    "valueCode": "masked",
}
OBSERVATION_VALUE = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
REDACTED = {"system": OBSERVATION_VALUE, "code": "REDACTED"}  # of meta.security
SUBSETTED = {"system": OBSERVATION_VALUE, "code": "SUBSETTED"}  # of meta.tag: not to be sent back

# The elements each transformation leaves out, by their type or their path.
LEFT_OUT: dict[str, tuple[str, ...]] = {
    "ids": ("Meta.versionId",),  # it is made of a hash of the whole content
    "names": ("HumanName",),
    "identifiers": ("Identifier",),
    "contacts": ("ContactPoint", "ContactDetail", "Patient.contact", "Patient.link"),
    "addresses": ("Location.position",),
    "dates": ("time",),
    "texts": ("string", "markdown", "xhtml", "Narrative", "Annotation", "id", "oid", "uuid", "url"),
    "attachments": ("Attachment", "base64Binary"),
    "extensions": ("Extension",),
    "small-cells": (),
    "records": (),
}
# The parts of what is left out, or looked at, as a whole.
KEPT = frozenset(
    {
        *("Coding.display", "Coding.version", "Reference.reference", "Identifier.value"),
        *(f"{type}.unit" for type in ("Quantity", "Age", "Count", "Distance", "Duration")),
        *(f"HumanName.{part}" for part in ("text", "family", "given", "prefix", "suffix")),
        *(f"Address.{part}" for part in ("text", "line", "city", "district", "state")),
        *("Address.postalCode", "Address.country", "ContactPoint.value", "Meta.versionId"),
    }
)
QUANTITIES = frozenset({"Quantity", "Age", "Count", "Distance", "Duration"})
UNIT = ("system", "code", "unit")
YEARS = frozenset(
    {
        *(f"{type}.birthDate" for type in ("Patient", "Person", "RelatedPerson", "Practitioner")),
        "FamilyMemberHistory.born[x]",
    }
)
MONTH = re.compile(r"\d{4}(-\d\d)?")
IN_A_YEAR = {"a": 1, "mo": 12, "wk": 52.2, "d": 365.25}  # units of an Age
# Places and things, no people. Definitions, which have a url of their own, neither.
THINGS = frozenset({"Organization", "Location", "HealthcareService", "Medication", "Substance"})

Change = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Means:
    """What it takes to de-identify. own: the resource here that a reference names, if any."""

    definitions: Definitions
    terms: Terms
    pseudonyms: Pseudonyms
    own: Callable[[str], Key | None]

    def id_of(self, key: Key) -> str:
        """The id a record is told by."""
        return key.id if is_nobodys(self.definitions, key.type) else self.pseudonyms.of(key)


def deidentified(means: Means, resource: Resource, how: Collection[str]) -> Resource:
    """The resource without what the transformations leave out; itself where there are none."""
    type, definitions = resource.get("resourceType"), means.definitions
    if not how or type not in definitions.resource_types or is_nobodys(definitions, str(type)):
        return resource
    kept = _Walk(means, frozenset(how)).of_resource(resource)
    if "ids" in how and "id" in resource:
        kept["id"] = means.pseudonyms.of(Key(str(type), resource["id"]))
    meta = kept.get("meta", {})
    kept["meta"] = meta | {
        "security": [*meta.get("security", ()), REDACTED],
        "tag": [*meta.get("tag", ()), SUBSETTED],
    }
    return kept


def counted(number: int, how: Collection[str], smallest: int = SMALLEST) -> int | None:
    """The number as it may be told: rounded down, so that one more person does not show in it, nor
    in the difference of two. None: it may not."""
    if "small-cells" not in how:
        return number
    return None if 0 < number < smallest else number - number % smallest


def is_nobodys(definitions: Definitions, type: str) -> bool:
    """Whether resources of the type are about places, things and meanings, and shown whole."""
    url = definitions.children(type).get("url")
    return type in THINGS or (url is not None and url.type.code == "uri")


class _Walk:
    """Through one resource, by the types of its elements."""

    def __init__(self, means: Means, how: frozenset[str]) -> None:
        self.means, self.definitions, self.how = means, means.definitions, how
        self.without = _left_out(how)

    def of_resource(self, resource: Resource) -> Resource:
        type = resource.get("resourceType")
        if type not in self.definitions.resource_types:
            return {}
        kept = {name: resource[name] for name in ("resourceType", "id") if name in resource}
        if "ids" in self.how and isinstance(kept.get("id"), str):
            kept["id"] = self.means.pseudonyms.word(kept["id"])  # of what is contained
        return kept | self._of(str(type), resource)

    def _of(self, node: str, element: Resource) -> Resource:
        kept: Resource = {}
        fields = self.definitions.children(node)
        for name, value in element.items():
            field = fields.get(name.removeprefix("_"))
            if field is None or field.name == "id":
                continue  # not of R4, or a name given to an element: nobody knows what it tells
            if name.startswith("_"):
                if "extensions" not in self.how and self._keeps_beside(field):
                    kept |= self._beside(name, value)
            elif (told := self._value(field, value)) is not None:
                kept[name] = told
            elif field.element.min or (field.element.path in YEARS and "dates" in self.how):
                _mask(kept, field, self.definitions)
        return kept

    def _beside(self, name: str, value: Any) -> Resource:
        """The extensions of a primitive value."""
        told = self._of("Element", value) if isinstance(value, dict) else {}
        return {name: told} if told else {}

    def _value(self, field: Field, value: Any) -> Any:
        if self._is_left_out(field):
            return None
        change = self._change(field)
        if isinstance(value, list):
            told = [each for one in value if (each := change(one)) is not None]
            return told or None
        return change(value)

    def _is_left_out(self, field: Field) -> bool:
        path, type = field.element.path, field.type.code
        if field.name == "modifierExtension":
            return False  # it changes what all the rest means
        return path in self.without or (type in self.without and path not in KEPT)

    def _keeps_beside(self, field: Field) -> bool:
        """Whether the extensions of a primitive value stay: those of the parts of a list do not,
        as parts may be left out."""
        return not field.element.many and not self._is_left_out(field)

    def _change(self, field: Field) -> Change:
        type, path = field.type.code, field.element.path
        if "ids" in self.how and path == "Reference.reference":
            return self._reference
        if "dates" in self.how and type in DATES:
            return _birth if path in YEARS else DATES[type]
        if "addresses" in self.how and type == "Address":
            return _province
        change = self._vouched(field) if "texts" in self.how else None
        return change or self._within(field)

    def _within(self, field: Field) -> Change:
        """What has nothing to be changed itself."""
        type = field.type.code
        if type in self.definitions.primitive_types:
            return lambda value: None if isinstance(value, dict | list) else value
        if type in self.definitions.any_resource:
            return lambda value: self.of_resource(value) or None if _is_object(value) else None
        return lambda value: self._of(field.node, value) or None if _is_object(value) else None

    def _vouched(self, field: Field) -> Change | None:
        """For what may hold a text that nobody reads as one."""
        terms, type = self.means.terms, field.type.code
        if type == "Coding":
            return self._coding
        if type in QUANTITIES:
            return lambda value: self._quantity(field, value) if _is_object(value) else None
        holds: dict[str, Callable[[Any], bool]] = {
            "code": lambda value: vouched.code(self.definitions, field, value),
            "canonical": lambda value: vouched.canonical(terms, value),
            "uri": lambda value: self._is_type_or_url(field, value),
        }
        judge = holds.get(type)
        return None if judge is None else lambda value: value if judge(value) else None

    def _coding(self, value: Any) -> Resource | None:
        if not _is_object(value):
            return None
        told = vouched.coding(self.means.terms, value)
        selected = value.get("userSelected")
        if told is not None and isinstance(selected, bool):
            told["userSelected"] = selected
        return told

    def _quantity(self, field: Field, value: Resource) -> Resource | None:
        parts = {name: part for name, part in value.items() if name.removeprefix("_") not in UNIT}
        kept = self._of(field.node, parts) | vouched.measured(self.means.terms, value)
        if field.type.code == "Age" and "dates" in self.how and _is_old(value):
            return None
        return kept or None

    def _is_type_or_url(self, field: Field, value: Any) -> bool:
        if field.element.path == "Reference.type":
            return value in self.definitions.resource_types
        return field.element.path == "Extension.url" and vouched.bare(value)

    def _reference(self, value: Any) -> str | None:
        """To a record here by its pseudonym, or to what is contained; no other."""
        if not isinstance(value, str):
            return None
        if value.startswith("#"):
            return f"#{self.means.pseudonyms.word(value[1:])}" if value != "#" else value
        key = self.means.own(value)
        if key is None or key.type not in self.definitions.resource_types:
            return None
        return f"{key.type}/{self.means.id_of(key)}"


@lru_cache(maxsize=64)
def _left_out(how: frozenset[str]) -> frozenset[str]:
    return frozenset(each for name in how for each in LEFT_OUT.get(name, ()))


def _mask(kept: Resource, field: Field, definitions: Definitions) -> None:
    """A required element that is not told says that it is not."""
    is_primitive = field.type.code in definitions.primitive_types
    said: Any = {"extension": [MASKED]}
    kept[f"_{field.name}" if is_primitive else field.name] = [said] if field.element.many else said


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _month(value: Any) -> str | None:
    found = MONTH.match(value) if isinstance(value, str) else None
    return None if found is None else found[0]


def _birth(value: Any) -> str | None:
    """The year; of who is older than OLDEST, none."""
    year = value[:4] if isinstance(value, str) else ""
    today = dt.datetime.now(dt.UTC).year
    return year if year.isdecimal() and today - int(year) <= OLDEST else None


def _instant(value: Any) -> str | None:
    """An instant has no shorter form: the first moment of its month."""
    month = _month(value)
    return f"{month}-01T00:00:00Z" if month and len(month) == len("2026-01") else None


DATES: dict[str, Change] = {"date": _month, "dateTime": _month, "instant": _instant}


def _is_old(age: Resource) -> bool:
    value = age.get("value")
    unit = age.get("code", "a")
    return not isinstance(value, str) and value is not None and value > OLDEST * _in_a_year(unit)


def _in_a_year(unit: Any) -> float:
    return IN_A_YEAR.get(unit, 1) if isinstance(unit, str) else 1


def _province(value: Any) -> Resource | None:
    """What stays of an Address: a province, and a country."""
    if not isinstance(value, dict):
        return None
    told = {"state": vouched.province, "country": vouched.country}
    return {name: value[name] for name, holds in told.items() if holds(value.get(name))} or None
