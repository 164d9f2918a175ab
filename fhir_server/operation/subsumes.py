"""subsumes — whether one code means all that another means.

https://hl7.org/fhir/R4/codesystem-operation-subsumes.html
"""

from __future__ import annotations

from fhir_server.foundation.outcome import Invalid, NotFound, Unprocessable
from fhir_server.interaction.context import Answer, Circumstances, Server
from fhir_server.operation.call import Call, Given, Operation
from fhir_server.operation.coded import Coded, coding, complex_value, definition, knowing
from fhir_server.operation.lookup import unknown
from fhir_server.operation.parameters import answer, parameters
from fhir_server.terminology.element import text


async def subsumes(server: Server, call: Call, circumstances: Circumstances) -> Answer:
    """Raises Invalid; NotFound for an unknown code; Unprocessable where it cannot be told."""
    resource = await definition(server, call, circumstances, "codeSystem")
    terms = knowing(server.knowledge.current.terms, resource)
    a, b = code(call, "A"), code(call, "B")
    system = call.text_of("system") or a.system or b.system
    version = call.text_of("version") or a.version or b.version
    if resource is not None:
        system, version = text(resource.get("url")), text(resource.get("version"))
    if system is None:
        raise Invalid("The codes' `system` is needed.", expression="http.system")
    if any(each.system not in (None, system) for each in (a, b)):
        raise Unprocessable(
            "How codes of different systems stand to one another cannot be told here.",
            expression="http.codingB",
        )
    found = terms.subsumes(system, a.code, b.code, version)
    if found is None:
        missing = next(
            (each for each in (a, b) if terms.lookup(system, each.code, version) is None), a
        )
        raise NotFound(unknown(terms, Coded(missing.code, system, version)))
    return answer(parameters([Given("outcome", found, "code")]))


def code(call: Call, letter: str) -> Coded:
    """`codeA` or `codingA`. Raises Invalid where there is neither, or both."""
    given, named = call.text_of(f"code{letter}"), f"coding{letter}"
    if (given is None) == (call.one(named) is None):
        raise Invalid(f"Give `code{letter}` or `{named}`.", expression=f"http.code{letter}")
    return Coded(given) if given is not None else coding(complex_value(call, named), named)


OPERATIONS = (
    Operation(
        name="subsumes",
        definition="http://hl7.org/fhir/OperationDefinition/CodeSystem-subsumes",
        levels=frozenset(["type", "instance"]),
        types=frozenset(["CodeSystem"]),
        parameters=frozenset(["codeA", "codeB", "system", "version", "codingA", "codingB"]),
        perform=subsumes,
    ),
)
