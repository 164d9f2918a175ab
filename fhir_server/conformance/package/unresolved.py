"""unresolved — what definitions refer to that is not known.

https://hl7.org/fhir/R4/references.html#canonical
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from fhir_server.conformance.canonicals import Canonical, Canonicals
from fhir_server.conformance.problem import Problem
from fhir_server.foundation.resource import Resource

TYPES = "http://hl7.org/fhir/StructureDefinition/"
MAX_VALUE_SET = "http://hl7.org/fhir/StructureDefinition/elementdefinition-maxValueSet"
FHIRPATH_TYPES = "http://hl7.org/fhirpath/"
MAX_TOLD = 200


class Wanted(NamedTuple):
    """A canonical that a definition names, and what is lost where it is not known."""

    type: str
    url: str
    loss: str  # structure | codes | displays | map | version: the variant of the message

    @property
    def bare(self) -> str:
        """The URL without the version asked for."""
        return self.url.partition("|")[0]


def unresolved(
    canonicals: Canonicals, entries: Iterable[Canonical], known_systems: Collection[str] = ()
) -> list[Problem]:
    """One Problem for each canonical that is not known, with one that refers to it.

    known_systems: code systems known otherwise than as a resource, such as BCP 47 and UCUM.
    """
    missing: dict[Wanted, list[str]] = {}
    for entry in entries:
        for wanted in sorted(set(references(entry.load()))):
            if wanted.type == "CodeSystem" and wanted.bare in known_systems:
                continue
            if canonicals.entry(wanted.url, wanted.type) is None:
                other_version = canonicals.entry(wanted.bare, wanted.type) is not None
                told = wanted._replace(loss="version") if other_version else wanted
                missing.setdefault(told, []).append(entry.url)
    problems = [
        Problem(f"unresolved.{w.loss}", by[0], {"type": w.type, "url": w.url, "count": len(by)})
        for w, by in sorted(missing.items())
    ]
    if len(problems) > MAX_TOLD:
        problems[MAX_TOLD:] = [Problem("package-more", "", {"count": len(problems) - MAX_TOLD})]
    return problems


def references(resource: Resource) -> Iterator[Wanted]:
    """The definitions a definition names. It has the shape R4 gives it."""
    match resource["resourceType"]:
        case "StructureDefinition":
            yield from _of_structure(resource)
        case "ValueSet":
            compose = resource.get("compose", {})
            for include in compose.get("include", []) + compose.get("exclude", []):
                yield from _of_include(include)
        case "CodeSystem" if "supplements" in resource:
            yield Wanted("CodeSystem", resource["supplements"], "codes")
        case "ConceptMap":
            yield from _of_map(resource)


def _of_structure(structure: Resource) -> Iterator[Wanted]:
    if base := structure.get("baseDefinition"):
        yield Wanted("StructureDefinition", base, "structure")
    view = structure.get("differential") or structure.get("snapshot") or {}
    for element in view.get("element", []):
        for type in element.get("type", []):
            yield from _of_type(type)
        yield from _of_binding(element.get("binding", {}))


def _of_type(type: dict[str, Any]) -> Iterator[Wanted]:
    code = type.get("code", "")
    if code and not code.startswith(FHIRPATH_TYPES):
        yield Wanted("StructureDefinition", code if ":" in code else TYPES + code, "structure")
    for url in [*type.get("profile", []), *type.get("targetProfile", [])]:
        if url and not url.startswith("#"):
            yield Wanted("StructureDefinition", url, "structure")


def _of_binding(binding: dict[str, Any]) -> Iterator[Wanted]:
    urls = [binding.get("valueSet")]
    for extension in binding.get("extension", []):
        if extension.get("url") == MAX_VALUE_SET:
            urls += [extension.get("valueCanonical"), extension.get("valueUri")]
    for url in urls:
        if url and not url.startswith("#"):
            yield Wanted("ValueSet", url, "codes")


def _of_include(include: dict[str, Any]) -> Iterator[Wanted]:
    if system := include.get("system"):
        version = f"|{include['version']}" if include.get("version") else ""
        # Of a system whose codes are listed here only the displays cannot be checked.
        loss = "displays" if include.get("concept") else "codes"
        yield Wanted("CodeSystem", system + version, loss)
    for url in include.get("valueSet", []):
        if url and not url.startswith("#"):
            yield Wanted("ValueSet", url, "codes")


def _of_map(concept_map: Resource) -> Iterator[Wanted]:
    for name in ("sourceCanonical", "targetCanonical"):
        if url := concept_map.get(name):
            yield Wanted("ValueSet", url, "map")
    for group in concept_map.get("group", []):
        for name in ("source", "target"):
            if url := group.get(name):
                yield Wanted("CodeSystem", url, "map")
