"""canonical — the URL a definition is known by.

https://hl7.org/fhir/R4/resource.html#canonical
"""

from __future__ import annotations

import re

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Resource
from fhir_server.validation.content.question import Question
from fhir_server.validation.messages import issue

ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:\S+").fullmatch

# The types whose `url` R4 calls "an absolute URI that is used to identify" the resource.
TYPES = (
    "ActivityDefinition",
    "CapabilityStatement",
    "ChargeItemDefinition",
    "CodeSystem",
    "CompartmentDefinition",
    "ConceptMap",
    "EffectEvidenceSynthesis",
    "EventDefinition",
    "Evidence",
    "EvidenceVariable",
    "ExampleScenario",
    "GraphDefinition",
    "ImplementationGuide",
    "Library",
    "Measure",
    "MessageDefinition",
    "OperationDefinition",
    "PlanDefinition",
    "Questionnaire",
    "ResearchDefinition",
    "ResearchElementDefinition",
    "RiskEvidenceSynthesis",
    "SearchParameter",
    "StructureDefinition",
    "StructureMap",
    "TerminologyCapabilities",
    "TestScript",
    "ValueSet",
)


def canonical(resource: Resource, path: str, _: Question) -> list[Issue]:
    """A `url` that is not absolute cannot be referred to from anywhere else."""
    url = resource.get("url")
    if isinstance(url, str) and not ABSOLUTE(url):
        return [issue("canonical-url", f"{path}.url", url=url)]
    return []
