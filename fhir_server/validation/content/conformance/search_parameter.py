"""search_parameter — whether a SearchParameter can be searched by.

https://hl7.org/fhir/R4/searchparameter.html
https://hl7.org/fhir/R4/search.html#composite

Its own expression is looked at as that of any definition (sound.py).
"""

from __future__ import annotations

from fhir_server.foundation.fhirpath.evaluate import compile
from fhir_server.foundation.outcome import Invalid, Issue
from fhir_server.foundation.resource import Resource
from fhir_server.validation.content.question import Question
from fhir_server.validation.messages import issue


def search_parameter(resource: Resource, path: str, question: Question) -> list[Issue]:
    """The issues of a SearchParameter."""
    found: list[Issue] = []
    components = resource.get("component") or []
    if resource.get("type") == "composite":
        if len(components) < 2:
            # R4 search#composite: it joins the values of two parameters or more
            found.append(issue("search-parameter-components.few", path, count=len(components)))
    elif components:
        told = {"type": resource.get("type")}
        found.append(issue("search-parameter-components.none", f"{path}.component", **told))
    if "target" in resource and resource.get("type") != "reference":
        told = {"type": resource.get("type")}
        found.append(issue("search-parameter-target", f"{path}.target", **told))
    for index, component in enumerate(components):
        found.extend(_expression(component, f"{path}.component[{index}]", question))
    return found


def _expression(element: Resource, path: str, question: Question) -> list[Issue]:
    expression = element.get("expression")
    if not isinstance(expression, str):
        return []
    try:
        compile(expression, question.definitions)
    except Invalid as error:
        why = str(error).removeprefix("FHIRPath: ")
        said = {"value": expression, "why": why}
        return [issue("search-parameter-expression", f"{path}.expression", **said)]
    return []
