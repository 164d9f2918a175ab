"""Values of complex types do not contradict themselves.

https://hl7.org/fhir/R4/datatypes.html
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from fhir_server.conformance.canonicals import of_resource
from fhir_server.conformance.r4_resources import canonicals_of_r4
from fhir_server.terminology.terms import Terms
from fhir_server.validation.datatype import Codes, Rules

DATA = base64.b64encode(b"abc").decode()
HASH = base64.b64encode(hashlib.sha1(b"abc").digest()).decode()
URI = "urn:ietf:rfc:3986"
UUID = "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a"

# type          value                                                    severity, rule
TABLE: list[tuple[str, dict[str, Any], tuple[str, str] | None]] = [
    ("Attachment", {"data": DATA, "size": 3, "hash": HASH}, None),
    ("Attachment", {"url": "http://x.vn/a", "size": 99, "hash": HASH}, None),
    ("Attachment", {"data": DATA, "size": 4}, ("error", "attachment-size")),
    ("Attachment", {"data": DATA, "hash": "AAAA"}, ("error", "attachment-hash")),
    ("Identifier", {"system": URI, "value": UUID}, None),
    ("Identifier", {"system": URI, "value": "http://x.vn/1"}, None),
    ("Identifier", {"system": "http://x.vn", "value": "1"}, None),
    ("Identifier", {"system": URI, "value": "1.2.3"}, ("warning", "identifier-uri")),
    ("Identifier", {"system": URI, "value": "urn:oid:9.x"}, ("warning", "identifier-urn")),
    ("Identifier", {"system": URI, "value": "urn:uuid:1"}, ("warning", "identifier-urn")),
    ("Coding", {"system": "http://loinc.org", "code": "x"}, None),
    ("Coding", {"system": "urn:oid:1.2.3", "code": "x"}, None),
    ("Coding", {"system": "ftp://x.vn", "code": "x"}, None),
    ("Coding", {"code": "x"}, None),
    ("Coding", {"system": "ICD10", "code": "x"}, ("error", "coding-system")),
    ("Coding", {"system": "#c", "code": "x"}, ("error", "coding-system")),
]


@pytest.mark.parametrize(("type", "value", "wrong"), TABLE)
def test_a_value_does_not_contradict_itself(type, value, wrong):
    rules = Rules()
    found = [(issue.severity, issue.rule) for issue in rules.issues(type, value, type)]
    assert found == ([wrong] if wrong else [])
    if wrong:
        assert not rules.holds[type](value)


LOCAL = {
    "resourceType": "CodeSystem", "url": "http://x.vn/c", "version": "1", "content": "complete",
    "concept": [{"code": "a", "concept": [{"code": "b"}]}],
}  # fmt: skip
PART = {**LOCAL, "url": "http://x.vn/part", "content": "fragment"}
NEWER = {**LOCAL, "version": "2", "concept": [{"code": "c"}]}
STATES = "http://hl7.org/fhir/observation-status"

# system             code, version          is there such a code?
CODES = [
    ("http://x.vn/c", "a", None, True),
    ("http://x.vn/c", "b", "1", True),
    ("http://x.vn/c", "c", None, True),
    ("http://x.vn/c", "z", "9", True),  # a version that is not known here
    ("http://x.vn/c", "z", None, False),
    ("http://x.vn/part", "z", None, True),
    ("http://x.vn/other", "z", None, True),
    (STATES, "final", None, True),
    (STATES, "finale", None, False),
    ("http://terminology.hl7.org/CodeSystem/v3-ActCode", "NEWER", None, True),
]


@pytest.mark.parametrize(("system", "code", "version", "there"), CODES)
def test_a_code_is_one_of_its_system_where_that_is_known_in_full(system, code, version, there):
    entries = [entry for one in (LOCAL, PART, NEWER) if (entry := of_resource(one, "test"))]
    rules = Rules(Codes(Terms(canonicals_of_r4().above(entries))))
    value = {"system": system, "code": code} | ({"version": version} if version else {})
    found = [issue.rule for issue in rules.issues("Coding", value, "Coding")]
    assert found == ([] if there else ["coding-code"])
    assert rules.holds["Coding"](value) or not there or version == "9"
