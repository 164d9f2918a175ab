"""test_fhirpath_suite — HL7's own FHIRPath cases, and the ones we know to fail.

http://hl7.org/fhirpath/N1
https://hl7.org/fhir/R4/fhirpath.html

`fhirpath_known_failures.txt` holds a name a line. It is strict both ways: a case that fails and is
not listed fails here, and so does a listed case that works.
"""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from fhir_server.conformance.definitions import load
from fhir_server.conformance.xml import from_xml
from fhir_server.foundation import wire
from fhir_server.foundation.fhirpath.evaluate import compile
from fhir_server.foundation.fhirpath.items import Item, plain
from fhir_server.foundation.fhirpath.scope import boolean
from fhir_server.foundation.fhirpath.semantics import check
from fhir_server.foundation.outcome import Invalid
from fhir_server.foundation.resource import Resource
from fhir_server.validation import narrative
from fhir_server.validation.structure import Validator

R4 = load()
VALIDATOR = Validator(R4)
FOLDER = Path(__file__).parents[3] / "shared/testdata/fhirpath"
SUITE = FOLDER / "tests-fhir-r4.xml"
KNOWN = Path(__file__).with_name("fhirpath_known_failures.txt")


def cases() -> list[etree._Element]:
    if not SUITE.exists():
        return []
    return list(etree.parse(SUITE).getroot().iter("test", "{*}test"))


def known_failures() -> set[str]:
    lines = KNOWN.read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


@cache
def resource(name: str | None) -> Any:
    if name is None:
        return {}
    for path in (FOLDER / "input" / name, (FOLDER / "input" / name).with_suffix(".json")):
        if path.exists():
            read = path.read_bytes()
            return from_xml(R4, read) if path.suffix == ".xml" else wire.parse(read)
    pytest.fail(f"{name} is missing")


def told(item: Item) -> str:
    value = plain(item)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def same(found: Item, output: etree._Element) -> bool:
    wanted, value = output.text or "", plain(found)
    match output.get("type"):
        case "integer":
            return isinstance(value, int) and value == int(wanted)
        case "decimal":
            return value == Decimal(wanted)
        case "date" | "dateTime" | "time":
            return told(found) == wanted.removeprefix("@").removeprefix("T")
        case _:
            return told(found) == wanted.removeprefix("@").removeprefix("T")


class Base:
    """The profiles of R4 itself: whether a resource is of the type, and a valid one."""

    def conforms_to(self, item: Item, profile: str) -> bool | None:
        name = profile.removeprefix("http://hl7.org/fhir/StructureDefinition/")
        if name not in R4.resource_types:
            return None
        return item.type == name and not VALIDATOR.check(item.value)

    def html_problems(self, div: str) -> bool:
        return bool(list(narrative.problems(div)))

    def member_of(self, value_set: str, item: Item) -> bool | None: ...
    def subsumes(self, system: str, code: str, other: str) -> bool | None: ...
    def in_slice(self, item: Item, structure: str, name: str) -> bool | None: ...
    def element_definition(self, item: Item) -> Resource | None: ...


def holds(case: etree._Element) -> bool:
    asked = case.find("{*}expression")
    assert asked is not None
    about, text = resource(case.get("inputfile")), asked.text or ""
    try:
        if case.get("mode") == "strict" or asked.get("invalid") == "semantic":
            check(text, R4, about["resourceType"])
        found = compile(text, R4).evaluate(about, services=Base())
        if case.get("predicate") == "true":
            found = [Item(boolean(found), "System.Boolean")]
    except Invalid:
        return asked.get("invalid") is not None
    outputs = case.findall("{*}output")
    if asked.get("invalid") is not None or len(found) != len(outputs):
        return False
    return all(map(same, found, outputs))


CASES = cases()


@pytest.mark.skipif(not CASES, reason="HL7's FHIRPath suite is not beside this repository")
def test_every_case_of_the_suite_holds_but_those_known_to_fail() -> None:
    failing = {str(case.get("name")) for case in CASES if not holds(case)}
    assert sorted(failing - known_failures()) == [], "these fail and are not known to"
    assert sorted(known_failures() - failing) == [], "these work: strike them off"
