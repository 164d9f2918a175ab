"""uri: a URI, whole and exactly as written."""

from __future__ import annotations

import pytest

from fhir_server.foundation.outcome import NotSupported

from .ask import found, query

VALUE_SET = {"resourceType": "ValueSet", "url": "http://acme.org/fhir/ValueSet/123"}
TAGGED = {"resourceType": "Patient", "meta": {"profile": ["http://a/P|1.0"], "source": "urn:x"}}

TABLE = [
    (VALUE_SET, "url=http://acme.org/fhir/ValueSet/123", True),
    (VALUE_SET, "url=http://acme.org/fhir/ValueSet/12", False),
    (VALUE_SET, "url=HTTP://acme.org/fhir/ValueSet/123", False),
    (VALUE_SET, "url:missing=false", True),
    (TAGGED, "_profile=http://a/P", True),
    (TAGGED, r"_profile=http://a/P|1.0", True),
    (TAGGED, r"_profile=http://a/P|2.0", False),
    (TAGGED, "_source=urn:x", True),
]


@pytest.mark.parametrize(("resource", "text", "is_found"), TABLE)
def test_a_uri_is_found_only_whole(resource, text, is_found) -> None:
    assert found(resource, text) is is_found


@pytest.mark.parametrize("modifier", ["above", "below"])
def test_hierarchies_are_refused_as_not_there_yet(modifier) -> None:
    with pytest.raises(NotSupported, match="not supported yet"):
        query("ValueSet", f"url:{modifier}=http://acme.org")
