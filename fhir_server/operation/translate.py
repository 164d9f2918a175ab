"""translate — what a code is in another code system, by the concept maps that are known.

https://hl7.org/fhir/R4/conceptmap-operation-translate.html
"""

from __future__ import annotations

from collections.abc import Iterator

from fhir_server.foundation.outcome import Invalid, NotFound
from fhir_server.foundation.resource import Resource
from fhir_server.interaction.context import Answer, Circumstances, Server
from fhir_server.operation.call import Call, Given, Operation
from fhir_server.operation.coded import (
    as_coding,
    boolean,
    canonical,
    codes,
    definition,
    flag,
    string,
)
from fhir_server.operation.parameters import answer, parameters
from fhir_server.terminology.concept_map import NO_MATCH
from fhir_server.terminology.element import objects, text
from fhir_server.terminology.terms import Match, Terms

MAX_MATCHES = 1_000
Dependency = tuple[str, str | None, str]


async def translate(server: Server, call: Call, circumstances: Circumstances) -> Answer:
    """Raises Invalid, and NotFound for a concept map that is not known."""
    given = await definition(server, call, circumstances, "conceptMap")
    terms = server.knowledge.current.terms
    concept_map: str | Resource | None = given
    if given is None and call.all("url"):
        concept_map = canonical(call, "conceptMapVersion", needed="`url`")
        if terms.concept_maps.get(concept_map) is None:
            raise NotFound(
                f"The concept map `{concept_map}` is not known here.", expression="http.url"
            )
    asked = codes(call)
    if concept_map is None and any(each.system is None for each in asked):
        raise Invalid("The code's `system` is needed.", expression="http.system")
    dependencies = tuple(dependencies_of(call))
    found = [
        match
        for each in asked
        for match in terms.translate(
            concept_map,
            each.system,
            each.code,
            source=None if concept_map is not None else call.text_of("source"),
            target=None if concept_map is not None else call.text_of("target"),
            target_system=call.text_of("targetsystem"),
            reverse=flag(call, "reverse") is True,
            dependencies=dependencies,
        )
    ]
    return answer(parameters(list(told(terms, call, found))))


def dependencies_of(call: Call) -> Iterator[Dependency]:
    """`dependency`: an element and the concept it has. Raises Invalid."""
    for each in call.all("dependency"):
        parts = {part.name: part.value for part in each.parts}
        element, concept = text(parts.get("element")), parts.get("concept")
        if element is None or not isinstance(concept, dict):
            raise Invalid(
                "A `dependency` needs its parts `element` and `concept`.",
                expression="http.dependency",
            )
        for coding in objects(concept.get("coding")):
            if code := text(coding.get("code")):
                yield element, text(coding.get("system")), code
        if said := text(concept.get("text")):
            yield element, None, said


def told(terms: Terms, call: Call, found: list[Match]) -> Iterator[Given]:
    result = any(each.equivalence not in NO_MATCH for each in found)
    yield boolean("result", result)
    if len(found) > MAX_MATCHES:
        yield string("message", f"The first {MAX_MATCHES} of {len(found)} matches.")
    elif not result:
        yield string("message", why(terms, call, found))
    for each in found[:MAX_MATCHES]:
        parts = [Given("equivalence", each.equivalence, "code")]
        if each.concept is not None:
            parts.append(Given("concept", as_coding(each.concept), "Coding"))
        parts.extend(product(*one) for one in each.products)
        if each.source:
            parts.append(Given("source", each.source, "uri"))
        yield Given("match", parts=tuple(parts))


def product(property: str, system: str | None, code: str) -> Given:
    coding = {"system": system, "code": code} if system else {"code": code}
    parts = (Given("element", property, "uri"), Given("concept", coding, "Coding"))
    return Given("product", parts=parts)


def why(terms: Terms, call: Call, found: list[Match]) -> str:
    if found:
        return "The concept map says that nothing corresponds to the code."
    maps = terms.concept_maps.about(call.text_of("system"))
    if not call.all("url") and call.level == "type" and call.all("code") and not maps:
        return f"No concept map from `{call.text_of('system')}` is known here."
    return "No concept map that is known maps the code, or not without its `dependency`."


OPERATIONS = (
    Operation(
        name="translate",
        definition="http://hl7.org/fhir/OperationDefinition/ConceptMap-translate",
        levels=frozenset(["type", "instance"]),
        types=frozenset(["ConceptMap"]),
        parameters=frozenset(
            [
                "url",
                "conceptMap",
                "conceptMapVersion",
                "code",
                "system",
                "version",
                "source",
                "coding",
                "codeableConcept",
                "target",
                "targetsystem",
                "dependency",
                "reverse",
            ]
        ),
        perform=translate,
        bodies=frozenset(["ConceptMap"]),
    ),
)
