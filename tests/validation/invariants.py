"""invariants — resources changed at random, and expressions as profiles write them, for the tests.

https://hl7.org/fhir/R4/profiling.html
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

from fhir_server.foundation.fhirpath.items import Item, Model

# node: what profiles ask of it
PROFILED: dict[str, list[str]] = {
    "Patient": [
        "name.exists() or telecom.exists()",
        "identifier.where(system = 'urn:oid:1.2.36.146.595.217.0.1').count() <= 1",
        "identifier.all(value.matches('^[0-9]{5,12}$') or value.empty())",
        "identifier.where(value.length() = 5).exists()",
        "name.where(use = 'official').given.first().startsWith('P')",
        "name.select(given | family).count() > 2",
        "birthDate <= today()",
        "birthDate > @1970-01-01 and birthDate < @2100",
        "birthDate + 18 years < today()",
        "deceased.exists() implies (deceased as boolean) = false or deceased is dateTime",
        "(deceased as dateTime) >= birthDate",
        "contact.all(name.exists() or $this.telecom.exists())",
        "contact.where(relationship.coding.code contains 'N').exists().not()",
        "contact.relationship.coding.code contains 'N'",
        "extension('http://x.y/z').exists() xor active",
        "name.extension('http://x.y/z').value.exists()",
        "birthDate.extension('http://hl7.org/fhir/StructureDefinition/patient-birthTime').exists()",
        "gender in ('male' | 'female')",
        "gender = 'male' or gender = 'female' or gender.empty()",
        "(gender != 'male') implies active",
        "active.not()",
        "name[1].use = 'usual'",
        "name.tail().exists()",
        "telecom.where(rank = 1).use != 'home'",
        "telecom.rank.isDistinct()",
        "address.line.count() = 1",
        "address.city & '!' = 'PleasantVille!'",
        "'Patient/' + id = 'Patient/example'",
        "id.upper().contains('EX')",
        "iif(active, name.exists(), name.empty())",
        "multipleBirth.exists() or multipleBirth.hasValue()",
        "(multipleBirth as integer) > 1",
        "name.given.hasValue()",
        "birthDate.toString().length() >= 10",
        "photo.data.empty() or photo.contentType.startsWith('image/')",
        "link.exists(type = 'seealso')",
        "contained.exists()",
        "contained.where($this is Organization).exists()",
        "contained.ofType(Organization).name.exists()",
        "managingOrganization.reference.substring(0, 12) = 'Organization'",
        "Patient.name.exists() and Resource.id.exists() and Group.name.empty()",
        "(identifier.value | name.family).count() > 1",
        "name.family.indexOf('a') > 0",
        "identifier.value.first().toInteger() mod 2 = 0",
        "%resource.name.all(given.exists() or %resource.name.family.exists())",
        "name.all($this.family.exists()) or {}",
        "true and name.exists() and (1 < 2) and ('a' <= 'b')",
        "-1 < telecom.rank.count() - 2",
        "telecom.all(system = 'email' implies value.contains('@'))",
        "communication.preferred",
        "address.period.start >= @1974-12-25T10:00:00+07:00",
    ],
    "Identifier": [
        "system = 'urn:x' implies value.matches('^[A-Z]{2}[0-9]{13}$')",
        "value.exists() and value.trim() = value",
        "type.coding.exists(code = 'MR') or use = 'usual'",
        "assigner.display.lower().replaceMatches('[a-z]', 'x').startsWith('x')",
        "period.start.exists() implies period.start < period.end or period.end.empty()",
    ],
    "Observation": [
        "(component.empty() and hasMember.empty())"
        " implies (dataAbsentReason.exists() or value.exists())",
        "value.ofType(Quantity).code = '{score}' or value.ofType(Quantity).value > 0",
        "(value as Quantity).value <= 1000",
        "component.value.ofType(Quantity).value.exists()",
        "effective.ofType(dateTime).exists() or effective.ofType(Period).start.exists()",
        "category.coding.where(system = 'http://terminology.hl7.org/CodeSystem/observation-category').code"
        " = 'vital-signs'",
        "referenceRange.low.value < referenceRange.high.value",
        "issued >= (effective as dateTime)",
    ],
    "Encounter": [
        "period.start <= period.end",
        "diagnosis.where(rank = 1).count() = 1",
        "diagnosis.condition.reference.isDistinct()",
        "status = 'finished' implies period.end.exists()",
        "period.start + 4 hours > period.end",
        "length.value >= 0",
    ],
    "code": ["$this = 'final' or $this.length() > 3", "$this in ('a' | 'final')", "hasValue()"],
    "CodeableConcept": [
        "coding.exists() or text.exists()",
        "coding.system.all(startsWith('http'))",
        "coding.where(userSelected = true).count() <= 1",
        "coding.code.intersect(%context.coding.display).empty()",
    ],
}


def places(model: Model, item: Item, path: str | None = None) -> Iterator[tuple[str | None, Item]]:
    """Every element of a resource, with the path of its definition."""
    yield path, item
    for child in model.children(item):
        named = model.fields(item.node)[child.element]
        element = next(field.element for field in named if field.name == child.name)
        yield from places(model, child, str(getattr(element, "path", "")))


def changed(resource: dict[str, Any], seed: int) -> dict[str, Any]:
    """A resource with a few changes that mostly leave it the structure of its type."""
    chance = random.Random(seed)
    copied = copy.deepcopy(resource)
    for _ in range(chance.randint(1, 5)):
        objects = [each for each in _objects(copied) if each.keys() - {"resourceType"}]
        if objects:
            chance.choice(CHANGES)(chance.choice(objects), chance)
    return copied


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _objects(each)


def _key(found: dict[str, Any], chance: random.Random) -> str:
    return chance.choice([name for name in found if name != "resourceType"])


def _without(found: dict[str, Any], chance: random.Random) -> None:
    del found[_key(found, chance)]


def _repeated(found: dict[str, Any], chance: random.Random) -> None:
    value = found[_key(found, chance)]
    if isinstance(value, list):
        value.append(copy.deepcopy(chance.choice(value)))


def _valueless(found: dict[str, Any], chance: random.Random) -> None:
    """A primitive that has nothing but an extension, or has one besides."""
    name = _key(found, chance)
    beside = {"extension": [{"url": "http://x.y/z", "valueString": "x"}]}
    value = found[name]
    if isinstance(value, dict | bool) or name.startswith("_"):
        return
    if not isinstance(value, list):
        found[f"_{name}"] = beside
        if chance.random() < 0.6:
            del found[name]
    elif not isinstance(value[0], dict):
        found[f"_{name}"] = [beside] + [None] * (len(value) - 1)
        value[0] = None


def _otherwise(found: dict[str, Any], chance: random.Random) -> None:
    """Another value of the same kind."""
    name = _key(found, chance)
    value = found[name]
    if isinstance(value, bool):
        found[name] = not value
    elif isinstance(value, int):
        found[name] = chance.choice([-1, 0, 1, 7])
    elif isinstance(value, str) and value[:4].isdigit() and value[4:5] in ("-", ""):
        found[name] = chance.choice(DATES)
    elif isinstance(value, str):
        found[name] = chance.choice(["x", value.upper(), value[:3] or "a", "final", "http://x.y/z"])


DATES = ["1974", "1974-12", "1974-12-25", "2030-01-01", "1974-12-25T10:00:00Z"]
DATES += ["1974-12-25T10:00:00.5+07:00", "1974-12-26T01:00:00+07:00", "2012-06-01T10:00:00+07:00"]
CHANGES = (_without, _without, _repeated, _valueless, _otherwise, _otherwise)
