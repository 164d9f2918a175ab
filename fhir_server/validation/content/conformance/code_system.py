"""code_system — whether a CodeSystem agrees with itself: its codes, properties and its count.

https://hl7.org/fhir/R4/codesystem.html
https://hl7.org/fhir/R4/codesystem.html#supplements
https://hl7.org/fhir/R4/codesystem-concept-properties.html

That codes are unique is told by csd-1.
"""

from __future__ import annotations

from collections.abc import Iterator

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Resource
from fhir_server.validation.content.question import Question
from fhir_server.validation.content.questionnaire.kinds import value_of
from fhir_server.validation.messages import issue

STANDARD = "http://hl7.org/fhir/concept-properties#"
# R4 codesystem-concept-properties: the type each of them has
STANDARD_TYPES = {
    "inactive": "boolean",
    "deprecated": "dateTime",
    "notSelectable": "boolean",
    "parent": "code",
    "child": "code",
}
MAX_DEPTH = 100


def code_system(resource: Resource, path: str, question: Question) -> list[Issue]:
    """The issues of a CodeSystem."""
    concepts = list(_concepts(resource, path, 0))
    found = list(_content(resource, path, len(concepts)))
    types: list[Resource] = resource.get("property") or []
    found.extend(_declared(types, path))
    declared = {one.get("code"): one.get("type") for one in types}
    codes = {concept.get("code") for concept, _ in concepts}
    whole = codes if resource.get("content") == "complete" else None
    for concept, place in concepts:
        if "property" in concept:
            found.extend(_properties(concept, place, declared, whole))
    if resource.get("supplements"):
        found.extend(_supplemented(resource, concepts, question))
    return found


def _concepts(holder: Resource, path: str, depth: int) -> Iterator[tuple[Resource, str]]:
    if depth > MAX_DEPTH:
        return
    for index, concept in enumerate(holder.get("concept") or ()):
        place = f"{path}.concept[{index}]"
        yield concept, place
        yield from _concepts(concept, place, depth + 1)


def _content(resource: Resource, path: str, number: int) -> Iterator[Issue]:
    """R4 CodeSystem.content, CodeSystem.count and CodeSystem.supplements."""
    content, count = resource.get("content"), resource.get("count")
    if "supplements" in resource and content != "supplement":
        yield issue("code-system-supplement.content", f"{path}.content", content=content)
    elif content == "supplement" and "supplements" not in resource:
        yield issue("code-system-supplement.unnamed", path)
    if content == "not-present" and number:
        yield issue("code-system-content", f"{path}.content", count=number)
    if not isinstance(count, int) or content in ("supplement", "not-present"):
        return
    if number > count:
        yield issue("code-system-count.more", f"{path}.count", count=count, found=number)
    elif number < count and content == "complete" and resource.get("compositional") is not True:
        yield issue("code-system-count.less", f"{path}.count", count=count, found=number)


def _declared(properties: list[Resource], path: str) -> Iterator[Issue]:
    seen: set[object] = set()
    for index, one in enumerate(properties):
        place, code, uri = f"{path}.property[{index}]", one.get("code"), one.get("uri")
        if code in seen:
            yield issue("code-system-property.twice", f"{place}.code", property=code)
        seen.add(code)
        if not isinstance(uri, str) or not uri.startswith(STANDARD):
            continue
        wanted = STANDARD_TYPES.get(uri.removeprefix(STANDARD))
        if wanted and one.get("type") != wanted:
            said = {"uri": uri, "wanted": wanted, "found": one.get("type")}
            yield issue("code-system-property.standard", f"{place}.type", **said)


def _properties(
    concept: Resource, path: str, declared: dict[object, object], codes: set[object] | None
) -> Iterator[Issue]:
    for index, one in enumerate(concept["property"]):
        place, code, found = f"{path}.property[{index}]", one.get("code"), value_of(one)
        if code not in declared:
            yield issue("code-system-property.unknown", f"{place}.code", property=code)
            continue
        type = declared[code]
        if found is None or not isinstance(type, str):
            continue
        if found[0] != type[:1].upper() + type[1:]:
            said = {"property": code, "type": type, "found": f"value{found[0]}"}
            yield issue("code-system-property.type", place, **said)
        elif type == "code" and codes is not None and found[1] not in codes:
            yield issue("code-system-property.code", place, property=code, code=found[1])


def _supplemented(
    resource: Resource, concepts: list[tuple[Resource, str]], question: Question
) -> Iterator[Issue]:
    """R4: a supplement adds to the concepts of another code system, and has none of its own."""
    url, terms = resource["supplements"], question.terms
    if terms is None:
        return
    bare, _, version = url.partition("|")
    versions = [
        one for one in terms.systems.versions(bare) if not version or one.version == version
    ]
    if not versions:
        return
    for concept, place in concepts:
        code = concept.get("code")
        if isinstance(code, str) and all(
            one.find(code) is None and one.lacks(code) for one in versions
        ):
            yield issue("code-system-supplement.code", f"{place}.code", code=code, url=url)
