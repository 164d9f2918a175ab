"""capabilities — what this server does, told from the tables that do it.

https://hl7.org/fhir/R4/http.html#capabilities
https://hl7.org/fhir/R4/capabilitystatement.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from fhir_server.conformance.subset import shaped
from fhir_server.foundation.outcome import Invalid
from fhir_server.foundation.resource import Resource
from fhir_server.foundation.wire import parse, render
from fhir_server.interaction.context import DEFAULT, Answer, Circumstances, Server
from fhir_server.interaction.patch import UNPATCHED
from fhir_server.search.parameters import Parameter

MODES = ("full", "normative", "terminology")
TYPE_INTERACTIONS = (
    "read",
    "vread",
    "update",
    "patch",
    "delete",
    "history-instance",
    "history-type",
    "create",
    "search-type",
)
SYSTEM_INTERACTIONS = ("transaction", "batch", "search-system", "history-system")
FORMATS = ("application/fhir+json", "application/fhir+xml", "json", "xml")
PATCH_FORMATS = ("application/json-patch+json", "application/fhir+json", "application/fhir+xml")
COMPARTMENT = "http://hl7.org/fhir/CompartmentDefinition/{}"


@dataclass(frozen=True, slots=True)
class Ask:
    mode: str = "full"


async def capabilities(server: Server, ask: Ask, circumstances: Circumstances = DEFAULT) -> Answer:
    """Raises Invalid for a mode R4 does not know."""
    if ask.mode not in MODES:
        known = ", ".join(f"`{mode}`" for mode in MODES)
        raise Invalid(f"`mode={ask.mode[:40]}` is none of {known}.", expression="http.mode")
    body = rendered(server, ask.mode, circumstances.base)
    if not circumstances.shape.is_whole:
        body = render(shaped(server.definitions, parse(body), circumstances.shape))
    etag = hashlib.sha256(body).hexdigest()[:16]
    return Answer(status=200, body=body, headers={"ETag": f'W/"{etag}"'})


@lru_cache(maxsize=8)  # by base: the first takes 0.1 s, because every type's parameters are read
def rendered(server: Server, mode: str, base: str) -> bytes:
    if mode == "terminology":
        return render(terminology_capabilities(server))
    return render(capability_statement(server, base))


def capability_statement(server: Server, base: str) -> Resource:
    """The CapabilityStatement of this very server."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": server.released,
        "kind": "instance",
        "software": {"name": "fhir_server", "version": server.software_version},
        "implementation": {"description": "fhir_server", "url": base},
        "fhirVersion": server.definitions.version,
        "format": list(FORMATS),
        "patchFormat": list(PATCH_FORMATS),
        "rest": [
            {
                "mode": "server",
                "security": {"cors": True},
                "resource": [
                    resource_type(server, type)
                    for type in sorted(server.definitions.resource_types)
                ],
                "interaction": [{"code": code} for code in SYSTEM_INTERACTIONS],
                **operations(server, None),
                "searchParam": search_parameters(server.parameters.everywhere()),
                "compartment": [
                    COMPARTMENT.format(code.lower())
                    for code in sorted(server.definitions.compartments)
                ],
            }
        ],
    }


def resource_type(server: Server, type: str) -> Resource:
    """CapabilityStatement.rest.resource of one type."""
    return {
        "type": type,
        "profile": f"http://hl7.org/fhir/StructureDefinition/{type}",
        "interaction": [
            {"code": code} for code in TYPE_INTERACTIONS if code != "patch" or type not in UNPATCHED
        ],
        "versioning": "versioned",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": True,
        "conditionalRead": "full-support",
        "conditionalUpdate": True,
        "conditionalDelete": "multiple" if server.many_deletes else "single",
        "referencePolicy": ["literal", "logical", "local"],
        "searchParam": search_parameters(server.parameters.of(type)),
        **operations(server, type),
    }


def operations(server: Server, type: str | None) -> Resource:
    """The `operation` of a type, or of the whole system; left out where there is none."""
    levels = {"type", "instance"} if type else {"system"}
    found = {
        offered.definition: {"name": offered.name, "definition": offered.definition}
        for offered in server.operations.offered
        if offered.levels & levels and (not type or offered.types is None or type in offered.types)
    }
    return {"operation": list(found.values())} if found else {}


def search_parameters(known: Mapping[str, Parameter]) -> list[Resource]:
    """The parameters that are indexed and can be asked, each with its definition."""
    return [
        {"name": code, "definition": parameter.url, "type": parameter.type}
        for code, parameter in sorted(known.items())
        if parameter.supported
    ]


def terminology_capabilities(server: Server) -> Resource:
    """R4 terminologycapabilities: no terminology operation is offered yet, and it says so."""
    return {
        "resourceType": "TerminologyCapabilities",
        "status": "active",
        "date": server.released,
        "kind": "instance",
        "software": {"name": "fhir_server", "version": server.software_version},
        "codeSearch": "explicit",
    }
