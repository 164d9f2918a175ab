"""capabilities — what this server does, told from the tables that do it.

https://hl7.org/fhir/R4/http.html#capabilities
https://hl7.org/fhir/R4/capabilitystatement.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from fhir_server.conformance.r4_resources import SOURCE
from fhir_server.conformance.subset import shaped
from fhir_server.foundation.outcome import Invalid
from fhir_server.foundation.resource import Resource
from fhir_server.foundation.wire import parse, render
from fhir_server.interaction import auditing
from fhir_server.interaction.context import Answer, Circumstances, Server
from fhir_server.interaction.patch import UNPATCHED
from fhir_server.search.include import EVERY, references
from fhir_server.search.parameters import Parameter, Parameters
from fhir_server.validation.knowledge import Known

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
WORDS = {
    "documentation": "Words, whole or as they begin (`xuong*`), joined by `and`, `or` and "
    "parentheses. The index of words follows what is written a moment later; a search waits for "
    "it, and is told 503 where it is far behind. It never decides a conditional interaction."
}
FEED = {
    "documentation": "With an empty `_cursor`, here and of a type, every version from the first on,"
    " oldest first; `next` always leads on, and `Prefer: wait=30` waits for what is new."
}
COMPARTMENT = "http://hl7.org/fhir/CompartmentDefinition/{}"


@dataclass(frozen=True, slots=True)
class Ask:
    mode: str = "full"


async def capabilities(server: Server, ask: Ask, circumstances: Circumstances) -> Answer:
    """Raises Invalid for a mode R4 does not know."""
    if ask.mode not in MODES:
        modes = ", ".join(f"`{mode}`" for mode in MODES)
        raise Invalid(f"`mode={ask.mode[:40]}` is none of {modes}.", expression="http.mode")
    known, parameters = server.knowledge.current, server.parameters
    body = rendered(server, known, parameters, ask.mode, circumstances.base)
    if not circumstances.shape.is_whole:
        body = render(shaped(server.definitions, parse(body), circumstances.shape))
    etag = hashlib.sha256(body).hexdigest()[:16]
    return Answer(status=200, body=body, headers={"ETag": f'W/"{etag}"'})


# By what is known and by base: the first takes 0.1 s, because every type's parameters are read.
@lru_cache(maxsize=8)
def rendered(
    server: Server,
    known: Known,
    parameters: Parameters,  # noqa: ARG001 - the Server's at that moment: another has another text
    mode: str,
    base: str,
) -> bytes:
    if mode == "terminology":
        return render(terminology_capabilities(server, known, base))
    return render(capability_statement(server, known, base))


def capability_statement(server: Server, known: Known, base: str) -> Resource:
    """The CapabilityStatement of this very server."""
    profiles = supported_profiles(server, known)
    referring = reverse_includes(server.parameters)
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
                    resource_type(server, type, profiles.get(type, []), referring.get(type, []))
                    for type in sorted(server.definitions.resource_types)
                ],
                "interaction": [
                    {"code": code, **(FEED if code == "history-system" else {})}
                    for code in SYSTEM_INTERACTIONS
                ],
                **operations(server, None),
                "searchParam": [
                    *search_parameters(server.parameters.everywhere()),
                    *by_words(server, "Resource"),
                ],
                "compartment": [
                    COMPARTMENT.format(code.lower())
                    for code in sorted(server.definitions.compartments)
                ],
            }
        ],
    }


def resource_type(server: Server, type: str, profiles: list[str], referring: list[str]) -> Resource:
    """CapabilityStatement.rest.resource of one type."""
    if type == auditing.TYPE:
        return {**auditing.capability(), **operations(server, type)}
    return {
        "type": type,
        "profile": f"http://hl7.org/fhir/StructureDefinition/{type}",
        **({"supportedProfile": profiles} if profiles else {}),
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
        **includes(server.parameters, type),
        **({"searchRevInclude": referring} if referring else {}),
        "searchParam": [
            *search_parameters(server.parameters.of(type)),
            *by_words(server, *server.definitions.ancestors(type)),
        ],
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


def by_words(server: Server, *types: str) -> list[Resource]:
    """The parameters of these types that ask for words, where an index of words is kept."""
    if server.texts is None:
        return []
    return [
        {"name": fact["code"], "definition": fact["url"], "type": fact["type"], **WORDS}
        for fact in server.definitions.search_parameters
        if fact["code"] in ("_content", "_text") and fact["base"][0] in types
    ]


def includes(parameters: Parameters, type: str) -> Resource:
    """`searchInclude`; left out where a type refers to nothing."""
    codes = sorted(references(parameters, type))
    return {"searchInclude": [f"{type}:{code}" for code in (EVERY, *codes)]} if codes else {}


def reverse_includes(parameters: Parameters) -> dict[str, list[str]]:
    """`searchRevInclude` by type. What refers to any type by a definition's `url` alone is told of
    those that have one: else 50 lines of each type would say what cannot be."""
    types = sorted(parameters.definitions.resource_types)
    with_url = {type for type in types if "url" in parameters.of(type)}
    found: dict[str, list[str]] = {}
    for source in (type for type in types if type != auditing.TYPE):
        for code, parameter in sorted(references(parameters, source).items()):
            for target in parameter.targets or types:
                if target in with_url or "Reference" in parameter.types:
                    found.setdefault(target, []).append(f"{source}:{code}")
    return found


def supported_profiles(server: Server, known: Known) -> dict[str, list[str]]:
    """The profiles on each type that resources are checked against where they claim them."""
    found: dict[str, list[str]] = {}
    types = server.definitions.resource_types
    for entry in known.canonicals.of_type("StructureDefinition"):
        if entry.source == SOURCE:  # R4's own profiles are for all servers alike
            continue
        structure = entry.load()
        type = structure.get("type")
        if structure.get("derivation") == "constraint" and type in types:
            found.setdefault(str(type), []).append(entry.url)
    return {type: sorted(urls) for type, urls in found.items()}


def terminology_capabilities(server: Server, known: Known, base: str) -> Resource:
    """R4 terminologycapabilities: the code systems that are known, in their versions."""
    versions: dict[str, set[str]] = {}
    for url in known.canonicals.urls():
        for entry in known.canonicals.versions(url):
            if entry.type == "CodeSystem":
                versions.setdefault(url, set()).add(entry.version or "")
    systems = [code_system(url, versions[url]) for url in sorted(versions)]
    return {
        "resourceType": "TerminologyCapabilities",
        "status": "active",
        "date": server.released,
        "kind": "instance",
        "software": {"name": "fhir_server", "version": server.software_version},
        "implementation": {"description": "fhir_server", "url": base},
        **({"codeSystem": systems} if systems else {}),
        "expansion": {"hierarchical": False, "paging": True},
        "codeSearch": "explicit",
        "validateCode": {"translations": False},
        "translation": {"needsMap": False},
    }


def code_system(url: str, versions: set[str]) -> Resource:
    named = [{"code": version} for version in sorted(versions) if version]
    return {"uri": url, **({"version": named} if named else {})}
