"""deidentify — a record as somebody may see it who is not to know whose it is.

https://hl7.org/fhir/R4/secpriv-module.html#deident

What is left out is told by types of elements, so a profile's or a later element cannot be
forgotten: of free texts only those stay that are listed here. Required elements that are left out
say so (data-absent-reason `masked`). Ids and references stay, as they tell which records belong
together: a number of a person must not be an id.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any

from fhir_server.conformance.definitions import Definitions, Field
from fhir_server.foundation.resource import Resource

SMALLEST = 5  # a number of people below this is not told, unless there are none

MASKED = {
    "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
    "valueCode": "masked",
}
OBSERVATION_VALUE = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
REDACTED = {"system": OBSERVATION_VALUE, "code": "REDACTED"}  # of meta.security
SUBSETTED = {"system": OBSERVATION_VALUE, "code": "SUBSETTED"}  # of meta.tag: not to be sent back

# The elements each transformation leaves out, by their type or their path.
LEFT_OUT: dict[str, tuple[str, ...]] = {
    "names": ("HumanName",),
    "identifiers": ("Identifier",),
    "contacts": ("ContactPoint", "ContactDetail", "Patient.contact", "Patient.link"),
    "addresses": ("Location.position",),
    "dates": ("time",),
    "texts": ("string", "markdown", "xhtml", "Narrative", "Annotation"),
    "attachments": ("Attachment", "base64Binary"),
    "extensions": ("Extension",),
    "small-cells": (),
}
# Texts that are a code's own words or a unit, and the parts of what is left out as a whole.
KEPT = frozenset(
    {
        *("Coding.display", "Coding.version", "Reference.reference", "Identifier.value"),
        *(f"{type}.unit" for type in ("Quantity", "Age", "Count", "Distance", "Duration")),
        *(f"HumanName.{part}" for part in ("text", "family", "given", "prefix", "suffix")),
        *(f"Address.{part}" for part in ("text", "line", "city", "district", "state")),
        *("Address.postalCode", "Address.country", "ContactPoint.value"),
    }
)
PROVINCE = frozenset({"state", "country"})  # what stays of an Address
YEARS = frozenset({"Patient.birthDate", "Person.birthDate", "RelatedPerson.birthDate"})
ADDRESSES = ("uri", "url", "canonical")  # a search within one holds what was searched for
# Places and things, no people. Definitions, which have a url of their own, neither.
THINGS = frozenset({"Organization", "Location", "HealthcareService", "Medication", "Substance"})

Change = Callable[[Any], Any]


def deidentified(definitions: Definitions, resource: Resource, how: Collection[str]) -> Resource:
    """The resource without what the transformations leave out; itself where there are none."""
    type = resource.get("resourceType")
    if not how or type not in definitions.resource_types or _is_nobodys(definitions, str(type)):
        return resource
    kept = _Walk(definitions, frozenset(how)).of_resource(resource)
    meta = kept.get("meta", {})
    kept["meta"] = meta | {
        "security": [*meta.get("security", ()), REDACTED],
        "tag": [*meta.get("tag", ()), SUBSETTED],
    }
    return kept


def counted(number: int, how: Collection[str]) -> int | None:
    """The number as it may be told; None: it may not."""
    return None if "small-cells" in how and 0 < number < SMALLEST else number


def _is_nobodys(definitions: Definitions, type: str) -> bool:
    url = definitions.children(type).get("url")
    return type in THINGS or (url is not None and url.type.code == "uri")


class _Walk:
    """Through one resource, by the types of its elements."""

    def __init__(self, definitions: Definitions, how: frozenset[str]) -> None:
        self.definitions, self.how = definitions, how
        self.without = _left_out(how)

    def of_resource(self, resource: Resource) -> Resource:
        type = resource.get("resourceType")
        if type not in self.definitions.resource_types:
            return {}
        kept = {name: resource[name] for name in ("resourceType", "id") if name in resource}
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
                    kept[name] = value
            elif (told := self._value(field, value)) is not None:
                kept[name] = told
            elif field.element.min:
                _mask(kept, field, self.definitions)
        return kept

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
        if "dates" in self.how and type in ("date", "dateTime", "instant"):
            return _instant if type == "instant" else _year if path in YEARS else _month
        if "addresses" in self.how and type == "Address":
            return _province
        if "texts" in self.how and type in ADDRESSES:
            return _bare_address
        if type in self.definitions.primitive_types:
            return lambda value: None if isinstance(value, dict | list) else value
        if type in self.definitions.any_resource:
            return lambda value: self.of_resource(value) or None if _is_object(value) else None
        return lambda value: self._of(field.node, value) or None if _is_object(value) else None


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
    return value[:7] if isinstance(value, str) else None


def _year(value: Any) -> str | None:
    return value[:4] if isinstance(value, str) else None


def _instant(value: Any) -> str | None:
    """An instant has no shorter form: the first moment of its month."""
    month = _month(value)
    return f"{month}-01T00:00:00Z" if month else None


def _bare_address(value: Any) -> str | None:
    return value if isinstance(value, str) and not re.search(r"[?@]|^tel:", value) else None


def _province(value: Any) -> Resource | None:
    if not isinstance(value, dict):
        return None
    return {name: told for name, told in value.items() if name in PROVINCE} or None
