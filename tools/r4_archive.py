"""Make fhir_server/conformance/r4/resources.zip: R4's own conformance resources, without prose.

What validation, terminology and snapshots need is kept word for word; narrative, mappings, long
texts and HL7's notes to itself are left out. Resources stand one a line in a few files, neighbours
together, because they share their words; the first file says where each begins.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

Json = dict[str, Any]

TYPES = ("StructureDefinition", "ValueSet", "CodeSystem", "ConceptMap", "SearchParameter")
INDEX = "index.json"
FILE_BYTES = 150_000  # a file ends after this: 1 ms to unpack, and most of the sharing
DATE = (2019, 10, 30, 0, 0, 0)  # of R4 4.0.1
EXTENSION = "http://hl7.org/fhir/StructureDefinition/"

PROSE = frozenset(
    [
        "text",
        "meta",
        "contact",
        "publisher",
        "date",
        "description",
        "_description",
        "purpose",
        "useContext",
        "jurisdiction",
        "mapping",
        "keyword",
        "_baseDefinition",
        "immutable",
    ]
)
# Left out of one type: what is prose there may be a fact elsewhere.
ALSO_LEFT_OUT: dict[str, frozenset[str]] = {
    "CodeSystem": frozenset(["identifier"]),
    "ValueSet": frozenset(["identifier"]),
    "ConceptMap": frozenset(["identifier"]),
    "SearchParameter": frozenset(["xpath", "xpathUsage"]),
}
ELEMENT_PROSE = frozenset(
    [
        "definition",
        "comment",
        "requirements",
        "alias",
        "meaningWhenMissing",
        "mapping",
        "example",
        "isModifierReason",
        "orderMeaning",
    ]
)
CONSTRAINT_PROSE = frozenset(["xpath", "requirements"])
NOTES = frozenset(
    EXTENSION + name
    for name in (
        "codesystem-concept-comments",
        "elementdefinition-bestpractice-explanation",
        "elementdefinition-bindingName",
        "elementdefinition-isCommonBinding",
        "structuredefinition-category",
        "structuredefinition-display-hint",
        "structuredefinition-explicit-type-name",
        "structuredefinition-fmm",
        "structuredefinition-normative-version",
        "structuredefinition-security-category",
        "structuredefinition-standards-status",
        "structuredefinition-summary",
        "structuredefinition-wg",
        "valueset-concept-comments",
        "valueset-special-status",
    )
)


def archive(resources: list[Json]) -> bytes:
    """The archive's bytes. The same resources always give the same."""
    index: dict[str, list[list[Any]]] = {}
    files: list[bytearray] = []
    for type in TYPES:
        chosen = [resource for resource in resources if resource["resourceType"] == type]
        files.append(bytearray())
        for resource in sorted(chosen, key=lambda r: (r["url"], r.get("version", ""))):
            if len(files[-1]) > FILE_BYTES:
                files.append(bytearray())
            line = json.dumps(kept(resource), ensure_ascii=False, separators=(",", ":")).encode()
            # Some CodeSystems of v2 tables have their version in their url: `.../v2-0006|2.1`.
            url, _, version = resource["url"].partition("|")
            place = [len(files) - 1, len(files[-1]), len(line)]
            told = [url, version or resource.get("version"), *place]
            index.setdefault(type, []).append(told)
            files[-1] += line + b"\n"
    listed = json.dumps(index, ensure_ascii=False, separators=(",", ":")).encode()
    return zipped({INDEX: listed} | {f"{n}.ndjson": bytes(file) for n, file in enumerate(files)})


def zipped(files: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as target:
        for name, content in files.items():
            member = zipfile.ZipInfo(name, DATE)
            member.create_system, member.external_attr = 3, 0o644 << 16
            target.writestr(member, content, zipfile.ZIP_DEFLATED, 9)
    return written.getvalue()


def same_content(one: bytes, other: bytes) -> bool:
    """Whether two archives hold the same: another zlib may pack the same content otherwise."""
    return one == other or unzipped(one) == unzipped(other)


def unzipped(content: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as source:
        return [(member.filename, source.read(member)) for member in source.infolist()]


def kept(resource: Json) -> Json:
    left_out = PROSE | ALSO_LEFT_OUT.get(resource["resourceType"], frozenset())
    found = {name: without_notes(v) for name, v in resource.items() if name not in left_out}
    for view in ("snapshot", "differential"):
        if view in found:
            elements = [kept_element(element) for element in found[view]["element"]]
            found[view] = {"element": elements}
    return without_empty(found)


def kept_element(element: Json) -> Json:
    found = {name: value for name, value in element.items() if name not in ELEMENT_PROSE}
    if "constraint" in found:
        found["constraint"] = [
            {name: value for name, value in constraint.items() if name not in CONSTRAINT_PROSE}
            for constraint in found["constraint"]
        ]
    if "binding" in found:
        found["binding"] = {k: v for k, v in found["binding"].items() if k != "description"}
    return without_empty(found)


def without_notes(value: Any) -> Any:
    """A value without the extensions in which HL7 keeps its own books."""
    if isinstance(value, list):
        return [without_notes(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {name: without_notes(item) for name, item in value.items() if name != "extension"}
    extensions = [e for e in value.get("extension", []) if e["url"] not in NOTES]
    return {**found, "extension": extensions} if extensions else found


def without_empty(value: Json) -> Json:
    return {name: item for name, item in value.items() if item not in ({}, [])}
