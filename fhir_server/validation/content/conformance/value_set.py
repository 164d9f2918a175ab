"""value_set — whether a ValueSet's composition names what there is.

https://hl7.org/fhir/R4/valueset.html#compositions
https://hl7.org/fhir/R4/valueset-definitions.html#ValueSet.compose.include.system
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhir_server.foundation.fhirpath.texts import matches_full
from fhir_server.foundation.outcome import Invalid, Issue
from fhir_server.foundation.resource import Resource
from fhir_server.terminology.filter import OF_ALL
from fhir_server.terminology.system import System
from fhir_server.validation.content.conformance.canonical import ABSOLUTE
from fhir_server.validation.content.question import Question
from fhir_server.validation.messages import issue

# R4 valueset-filter-operator: those whose value is a code of the system
BY_CODE = frozenset({"is-a", "descendent-of", "is-not-a", "generalizes"})
HIERARCHY = frozenset({"parent", "child"})
TRUTHS = frozenset({"true", "false"})


def value_set(resource: Resource, path: str, question: Question) -> list[Issue]:
    """The issues of a ValueSet's definition; its expansion is whoever made it's affair."""
    compose = resource.get("compose") or {}
    contained = {one.get("id"): one for one in resource.get("contained") or ()}
    found: list[Issue] = []
    for name in ("include", "exclude"):
        for index, part in enumerate(compose.get(name) or ()):
            place = f"{path}.compose.{name}[{index}]"
            found.extend(_names(part, place, contained))
            system = _system(part, question)
            if system is not None:
                found.extend(_concepts(part, place, system))
                found.extend(_filters(part, place, system, question))
    return found


def _names(part: Resource, path: str, contained: dict[object, Resource]) -> Iterator[Issue]:
    """R4: the system is an absolute URI, the value sets are canonicals."""
    system = part.get("system")
    if isinstance(system, str) and not ABSOLUTE(system):
        yield issue("value-set-system", f"{path}.system", system=system)
    for index, url in enumerate(part.get("valueSet") or ()):
        if not isinstance(url, str) or ABSOLUTE(url):
            continue
        place = f"{path}.valueSet[{index}]"
        if not url.startswith("#"):
            yield issue("value-set-import", place, url=url)
        elif contained.get(url[1:], {}).get("resourceType") != "ValueSet":
            yield issue("value-set-import.contained", place, url=url)


def _system(part: Resource, question: Question) -> System | None:
    """The code system meant, where it is known in the version asked for."""
    url, version, terms = part.get("system"), part.get("version"), question.terms
    if terms is None or not isinstance(url, str):
        return None
    known = terms.systems.versions(url)
    if not known:
        return None
    found = terms.systems.version(url, version, question.today or terms.today())
    return found or (known[0] if version is None else None)


def _concepts(part: Resource, path: str, system: System) -> Iterator[Issue]:
    for index, concept in enumerate(part.get("concept") or ()):
        code = concept.get("code")
        if isinstance(code, str) and _lacks(system, code):
            place = f"{path}.concept[{index}].code"
            yield issue("value-set-code", place, code=code, system=system.url)


def _lacks(system: System, code: str) -> bool:
    return system.find(code) is None and system.lacks(code)


def _filters(part: Resource, path: str, system: System, question: Question) -> Iterator[Issue]:
    for index, one in enumerate(part.get("filter") or ()):
        property, op, value = (one.get(name) for name in ("property", "op", "value"))
        if not isinstance(property, str) or not isinstance(value, str):
            continue
        place = f"{path}.filter[{index}]"
        if not _is_property(system, property, question):
            said = {"property": property, "system": system.url}
            yield issue("value-set-filter.property", f"{place}.property", **said)
        elif op in BY_CODE and _lacks(system, value):
            said = {"code": value, "system": system.url}
            yield issue("value-set-filter.code", f"{place}.value", **said)
        elif op == "exists" and value not in TRUTHS:
            yield issue("value-set-filter.exists", f"{place}.value", value=value)
        elif op == "regex" and (why := _no_pattern(value)):
            yield issue("value-set-filter.pattern", f"{place}.value", value=value, why=why)
        elif op == "=":
            yield from _coding(property, value, f"{place}.value", system, question)


def _is_property(system: System, property: str, question: Question) -> bool:
    """R4: a property or a filter defined in the code system; a grammar has filters of its own."""
    declared = _definition(system, question)
    if declared is None or property in OF_ALL | HIERARCHY or system.knows(property):
        return True
    return any(one.get("code") == property for one in declared.get("filter") or ())


def _definition(system: System, question: Question) -> dict[str, Any] | None:
    """The CodeSystem resource, where the system is told by one."""
    known = question.canonicals
    url = f"{system.url}|{system.version}" if system.version else system.url
    found = known.get(url, "CodeSystem") if known else None
    return found if found and found.get("content") == "complete" else None


def _no_pattern(value: str) -> str | None:
    try:
        matches_full("", value)
    except Invalid as error:
        return str(error).removeprefix("FHIRPath: ")
    return None


def _coding(
    property: str, value: str, place: str, system: System, question: Question
) -> Iterator[Issue]:
    """A property of the type Coding is compared with `system#code`; a code of no system, or one
    that its system does not have, is equal to none."""
    declared = (_definition(system, question) or {}).get("property") or ()
    if not any(one.get("code") == property and one.get("type") == "Coding" for one in declared):
        return
    url, sign, code = value.rpartition("#")
    if not sign or not ABSOLUTE(url):
        yield issue("value-set-filter.coding", place, value=value, property=property)
        return
    bare, _, version = url.partition("|")
    other = _system({"system": bare, "version": version or None}, question)
    if other is not None and _lacks(other, code):
        yield issue("value-set-filter.code", place, code=code, system=bare)
