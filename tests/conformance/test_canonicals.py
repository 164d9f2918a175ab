"""Definitions are found by their canonical URLs, in layers.

https://hl7.org/fhir/R4/references.html#canonical
"""

from __future__ import annotations

import pytest

from fhir_server.conformance.canonicals import Canonical, Canonicals, of_resource

URL = "http://example.org/StructureDefinition/a"


def definition(version, *, source="here", type="StructureDefinition", url=URL):
    resource = {"resourceType": type, "url": url, "version": version, "title": source}
    return Canonical(type, url, version, source, lambda: resource)


BELOW = Canonicals([definition("1.0.0", source="below"), definition("1.2.0", source="below")])
KNOWN = BELOW.above(
    [definition("1.10.0"), definition("1.9.0"), definition("1.0.0"), definition("2.0.0-beta")]
)

# what is asked for      which is found: version, source
FOUND = [
    (URL, ("2.0.0-beta", "here")),
    (f"{URL}|1.9.0", ("1.9.0", "here")),
    (f"{URL}|1.0.0", ("1.0.0", "here")),
    (f"{URL}|1.2.0", ("1.2.0", "below")),
    (f"{URL}|1.2", ("1.2.0", "below")),
    (f"{URL}|1", ("1.10.0", "here")),
    (f"{URL}|1.1", None),
    (f"{URL}|3.0.0", None),
    (f"{URL}#part", ("2.0.0-beta", "here")),
    (f"{URL}|1.9.0#part", ("1.9.0", "here")),
    ("http://example.org/none", None),
    ("", None),
    ("|", None),
]


@pytest.mark.parametrize(("canonical", "found"), FOUND)
def test_a_canonical_finds_its_version_else_the_newest_of_the_upper_layer(canonical, found):
    entry = KNOWN.entry(canonical)
    assert (entry and (entry.version, entry.source)) == found


def test_an_upper_layer_hides_the_same_version_below_and_only_that():
    told = [(entry.version, entry.source) for entry in KNOWN.versions(URL)]
    assert told == [
        ("2.0.0-beta", "here"),
        ("1.10.0", "here"),
        ("1.9.0", "here"),
        ("1.0.0", "here"),
        ("1.2.0", "below"),
    ]


def test_a_naming_system_does_not_hide_the_code_system_of_the_same_url():
    known = Canonicals([definition(None, type="CodeSystem")]).above(
        [definition(None, type="NamingSystem")]
    )
    assert known.entry(URL, "CodeSystem").type == "CodeSystem"
    assert known.entry(URL, "NamingSystem").type == "NamingSystem"
    assert known.entry(URL, "ValueSet") is None


def test_what_is_known_does_not_change_when_more_is_laid_over_it():
    BELOW.above([definition("9.0.0")])
    assert BELOW.entry(URL).version == "1.2.0"


def test_ten_thousand_layers_are_no_recursion():
    known = BELOW
    for number in range(10_000):
        known = known.above([definition("1.0.0", url=f"http://example.org/{number}")])
    assert known.entry(URL).version == "1.2.0"
    assert known.get("http://example.org/0")["version"] == "1.0.0"
    assert len(known.urls()) == 10_001


def naming_system(*ids):
    return {"resourceType": "NamingSystem", "uniqueId": list(ids)}


OID = {"type": "oid", "value": "1.2.3"}
# a resource                                                              its URL and version
NAMED = [
    ({"resourceType": "ValueSet", "url": URL, "version": "1"}, (URL, "1")),
    ({"resourceType": "ValueSet", "url": URL}, (URL, None)),
    ({"resourceType": "CodeSystem", "url": f"{URL}|2.4", "version": "2.9"}, (URL, "2.4")),
    ({"resourceType": "ValueSet", "url": URL, "version": 5}, (URL, None)),
    ({"resourceType": "ValueSet"}, None),
    ({"resourceType": "ValueSet", "url": ""}, None),
    ({"resourceType": "ValueSet", "url": ["x"]}, None),
    ({"url": URL}, None),
    (naming_system(OID, {"type": "uri", "value": URL}), (URL, None)),
    (
        naming_system(
            {"type": "uri", "value": "http://old"},
            {"type": "uri", "value": URL, "preferred": True},
        ),
        (URL, None),
    ),
    (naming_system(OID), None),
    ({"resourceType": "NamingSystem", "uniqueId": "x"}, None),
    (naming_system("x", {"type": "uri", "value": 7}), None),
]


@pytest.mark.parametrize(("resource", "named"), NAMED)
def test_a_resource_is_known_by_its_url_and_a_naming_system_by_its_system(resource, named):
    entry = of_resource(resource, "here")
    assert (entry and (entry.url, entry.version)) == named
    assert entry is None or entry.load() is resource
