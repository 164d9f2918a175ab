"""lookup — what is known of a code: its display, its other names, its properties.

https://hl7.org/fhir/R4/codesystem-operation-lookup.html
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from fhir_server.foundation.outcome import Invalid, NotFound
from fhir_server.interaction.context import Answer, Circumstances, Server
from fhir_server.operation.call import Call, Given, Operation
from fhir_server.operation.coded import Coded, codes, day, string
from fhir_server.operation.parameters import answer, parameters
from fhir_server.terminology.concept import Concept
from fhir_server.terminology.system import System
from fhir_server.terminology.terms import Terms

MAX_LISTED = 1_000  # children that are told
# What a client may name among the properties that are no property of the system's own
OWN = frozenset(["definition", "designation", "parent", "child", "inactive", "abstract"])
UNASKED = OWN - {"child"}  # what is told where no property is asked for
USE = "http://terminology.hl7.org/CodeSystem/designation-usage"
SNOMED_USE = "http://snomed.info/sct"


async def lookup(server: Server, call: Call, _: Circumstances) -> Answer:
    """Raises Invalid, and NotFound where the system or the code is not known."""
    asked = one_code(call)
    terms = server.knowledge.current.terms
    at = day(call)
    concept = terms.lookup(asked.system or "", asked.code, asked.version, at)
    if concept is None:
        raise NotFound(unknown(terms, asked))
    wanted = frozenset(each.value for each in call.all("property") if isinstance(each.value, str))
    system = terms.systems.version(concept.system, concept.version, at or terms.today())
    told = [string("name", system.name if system is not None else concept.system)]
    if concept.version:
        told.append(string("version", concept.version))
    told.append(
        string("display", concept.in_language(call.text_of("displayLanguage")) or concept.code)
    )
    if not wanted or "designation" in wanted:
        told.extend(designation(*each) for each in concept.designations)
    if system is not None:
        told.extend(properties(system, concept, wanted))
    return answer(parameters(told))


def one_code(call: Call) -> Coded:
    if call.all("codeableConcept"):
        raise Invalid("Give `code` with `system`, or `coding`.", expression="http.codeableConcept")
    [asked] = codes(call)
    if asked.system is None:
        raise Invalid("The code's `system` is needed.", expression="http.system")
    return asked


def unknown(terms: Terms, asked: Coded) -> str:
    """Why a code was not found."""
    named = f"{asked.system}|{asked.version}" if asked.version else asked.system or ""
    day = terms.today()
    if terms.systems.version(asked.system or "", asked.version, day) is None and (
        asked.version or not terms.is_known(asked.system or "")
    ):
        return f"The code system `{named}` is not known here, or not with its concepts."
    return f"The code system `{named}` has no code `{asked.code}`."


def designation(language: str | None, use: str | None, value: str) -> Given:
    parts = []
    if language:
        parts.append(Given("language", language, "code"))
    if use:
        system = SNOMED_USE if use.isdigit() else USE
        parts.append(Given("use", {"system": system, "code": use}, "Coding"))
    return Given("designation", parts=(*parts, string("value", value)))


def properties(system: System, concept: Concept, wanted: frozenset[str]) -> Iterator[Given]:
    """The properties asked for; where none is, all but those that are long."""

    def is_wanted(name: str) -> bool:
        return name in wanted if wanted else name not in OWN or name in UNASKED

    if concept.definition and is_wanted("definition"):
        yield of("definition", concept.definition, "string")
    for name, is_so in (("inactive", concept.inactive), ("abstract", concept.abstract)):
        if is_so and is_wanted(name):
            yield of(name, is_so, "boolean")
    for name, listed in (("parent", system.parents), ("child", system.children)):
        if is_wanted(name):
            for code in listed(concept.code)[:MAX_LISTED]:
                found = system.find(code)
                yield of(name, code, "code", found.display if found else None)
    for name, value in concept.properties:
        if is_wanted(name) and name not in OWN:
            yield of(name, value, type_of(system, name, value), shown(system, name, value))


def of(name: str, value: Any, type: str, description: str | None = None) -> Given:
    parts = [Given("code", name, "code"), Given("value", value, type)]
    if description:
        parts.append(string("description", description))
    return Given("property", parts=tuple(parts))


def type_of(system: System, name: str, value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case Decimal() | float():
            return "decimal"
        case dict():
            return "Coding"
    told = system.kind(name)
    return told if told in ("code", "string", "dateTime") else "string"


def shown(system: System, name: str, value: Any) -> str | None:
    """The display of a code that a property has for its value."""
    if isinstance(value, dict):
        display = value.get("display")
        return display if isinstance(display, str) else None
    found = system.find(value) if system.kind(name) == "code" and isinstance(value, str) else None
    return found.display if found is not None else None


OPERATIONS = (
    Operation(
        name="lookup",
        definition="http://hl7.org/fhir/OperationDefinition/CodeSystem-lookup",
        levels=frozenset(["type"]),
        types=frozenset(["CodeSystem"]),
        parameters=frozenset(
            ["code", "system", "version", "coding", "date", "displayLanguage", "property"]
        ),
        perform=lookup,
    ),
)
