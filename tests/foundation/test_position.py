"""https://hl7.org/fhir/R4/operationoutcome.html"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.position import MAX_TEXT, located, positions

JSON = """{
  "resourceType": "Patient",
  "id": "a",
  "name": [
    {"family": "Nguyễn", "given": ["Văn", "An"]},
    {"family": "Đặng",
     "given": [null, "B"], "_given": [{"id": "x"}]}
  ],
  "deceasedBoolean": false,
  "_birthDate": {"extension": [
    {"url": "http://a.example", "valueCode": "unknown"}]},
  "contact": [{}],
  "contained": [{"resourceType": "Organization", "name": "\\u0041{[\\"]"}]
}"""

XML = """<?xml version="1.0"?>
<Patient xmlns="http://hl7.org/fhir">
  <id value="a"/>
  <text><status value="generated"/><div xmlns="http://www.w3.org/1999/xhtml"><p>a</p></div></text>
  <contained>
    <Organization><name value="A"/></Organization>
  </contained>
  <name><family value="Nguyễn"/><given value="Văn"/><given value="An"/></name>
  <name>
    <family value="Đặng"/>
  </name>
  <deceasedBoolean value="false"/>
</Patient>"""

PLACES = [
    ("Patient", (1, 1), (2, 1)),
    ("Patient.id", (3, 9), (3, 3)),
    ("id", (3, 9), (3, 3)),
    ("Patient.name", (4, 11), (8, 3)),
    ("Patient.name.family", (5, 16), (8, 9)),
    ("Patient.name[0].family", (5, 16), (8, 9)),
    ("Patient.name[0].given[1]", (5, 43), (8, 53)),
    ("Patient.name[1].family", (6, 16), (10, 5)),
    ("Patient.name[1].given[0]", (7, 16), (9, 3)),
    ("Patient.name[1].given[7]", (6, 5), (9, 3)),  # there is none: the name
    ("Patient.name[1].period.start", (6, 5), (9, 3)),
    ("Patient.name[9].family", (1, 1), (2, 1)),
    ("Patient.name[1].extension('http://a').value", (6, 5), (9, 3)),
    ("Patient.deceased", (9, 22), (12, 3)),
    ("Patient.deceasedBoolean", (9, 22), (12, 3)),
    ("Patient.birthDate", (10, 17), (2, 1)),
    ("Patient.birthDate.extension[0].value", (11, 46), (2, 1)),
    ("Patient.contained[0].name", (13, 58), (6, 19)),
    ("Patient.shoe", (1, 1), (2, 1)),
]


@pytest.mark.parametrize(("expression", "in_json", "in_xml"), PLACES)
def test_an_element_is_found_or_the_nearest_around_it(expression, in_json, in_xml):
    assert positions(JSON.encode(), "json", [expression]) == {expression: in_json}
    assert positions(XML.encode(), "xml", [expression]) == {expression: in_xml}


def test_one_pass_finds_them_all():
    expressions = [expression for expression, _, _ in PLACES]
    assert positions(JSON.encode(), "json", expressions) == {e: j for e, j, _ in PLACES}
    assert positions(XML.encode(), "xml", expressions) == {e: x for e, _, x in PLACES}


def test_entries_of_a_bundle_and_parameters():
    patients = [{"resource": {"resourceType": "Patient", "id": str(n)}} for n in range(50)]
    text = json.dumps({"resourceType": "Bundle", "entry": patients}, indent=1).encode()
    found = positions(text, "json", ["Bundle.entry[40].resource.id"])
    line, column = found["Bundle.entry[40].resource.id"]
    assert text.decode().splitlines()[line - 1][column - 1 :] == '"40"'
    resource = {"name": "resource", "resource": {"resourceType": "Patient", "id": "a"}}
    text = json.dumps({"resourceType": "Parameters", "parameter": [resource]}).encode()
    issue = Issue("error", "value", "No.", "Patient.id")
    (told,) = located([issue], text, "json", "Parameters.parameter[0].resource")
    assert text.decode()[told.column - 1 :].startswith('"a"')
    assert told.expression == "Patient.id"


ODD = [
    (b'\xef\xbb\xbf{"a": 1}', "a", (1, 7)),
    (b'{"n\\u0061me": 1}', "name", (1, 15)),
    (b'{"a": 1, "a": 2}', "a", (1, 7)),  # the first
    (b'{"_a": {}, "a": 2}', "a", (1, 17)),  # the value before what stands beside it
    (b'{"valueCode": 1, "value": 2}', "value", (1, 27)),
    (b'{"valueSet": 1, "value": 2}', "value", (1, 26)),
    (b'{"a": {"b": 1}, "a": {"c": 2}}', "a.c", (1, 7)),
    (b'{"a": 1', "a", (1, 7)),
    (b'{"a": [1, ', "a[1]", (1, 1)),
    (b'{"a" 1}', "a", (1, 1)),
    (b'["a"]', "a", (1, 1)),
    (b'"a', "a", (1, 1)),
    (b'{"a\\ud800": 1}', "a", (1, 1)),
    (b'{"a": "\\', "b", (1, 1)),
]


@pytest.mark.parametrize(("text", "expression", "place"), ODD)
def test_odd_text(text, expression, place):
    assert positions(text, "json", [expression]) == {expression: place}


@pytest.mark.parametrize(
    ("text", "kind"),
    [(b"", "json"), (b"", "xml"), (b"<a", "xml"), (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a/>", "xml")],
)
def test_where_nothing_is_found_nothing_is_told(text, kind):
    assert positions(text, kind, ["Patient.id"]) in ({}, {"Patient.id": (1, 1)})


def test_parameters_of_a_request_have_no_line():
    assert positions(b"{}", "json", ["http.mode", ""]) == {}


@given(
    st.binary() | st.text(alphabet='{}[]",:\\ab1 \n').map(str.encode),
    st.text(alphabet="Patient.name[0](')"),
)
def test_whatever_is_given_nothing_is_raised(text, expression):
    for kind in ("json", "xml"):
        positions(text, kind, [expression, "a.b[0].a", "b[1].a[0].b"])


HUGE = [
    b'{"a":' * 100_000,
    b"[" * 1_000_000,
    b'{"b":"' + b'\\"' * 1_000_000,
    b'{"b":[' + b'"' * 1_000_001,
    b"{" + b'"a":{},' * 200_000 + b'"c":1}',
    b'{"a":[' + b"{}," * 300_000 + b"1]}",
    b"<a>" * 100_000,
    b" " * (MAX_TEXT + 1),
]


@pytest.mark.parametrize("text", HUGE, ids=range(len(HUGE)))
def test_huge_text_costs_no_more_than_its_length(text):
    """Time that grew with its square would be hours."""
    for kind in ("json", "xml"):
        positions(text, kind, ["c", "a[5].b", "a." * 1000, "a[9999999].b"])
