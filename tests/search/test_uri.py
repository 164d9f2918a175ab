"""uri: a URI, whole and exactly as written."""

from __future__ import annotations

import pytest

from fhir_server.foundation.outcome import Invalid, NotSupported

from .ask import found, indexer, query

VALUE_SET = {"resourceType": "ValueSet", "url": "http://acme.org/fhir/ValueSet/123"}
TAGGED = {"resourceType": "Patient", "meta": {"profile": ["http://a/P|1.0"], "source": "urn:x"}}
FOLDER = {"resourceType": "ValueSet", "url": "http://acme.org/fhir/"}
HOST = {"resourceType": "ValueSet", "url": "http://acme.org"}
OID = {"resourceType": "ValueSet", "url": "urn:oid:1.2.3"}
LONG = {"resourceType": "ValueSet", "url": "http://acme.org/" + "đ" * 3000}
VERSIONED = {"resourceType": "ValueSet", "url": "http://acme.org/vs", "version": "1.0"}

TABLE = [
    (VALUE_SET, "url=http://acme.org/fhir/ValueSet/123", True),
    (VALUE_SET, "url=http://acme.org/fhir/ValueSet/12", False),
    (VALUE_SET, "url=HTTP://acme.org/fhir/ValueSet/123", False),
    (VALUE_SET, "url:missing=false", True),
    (TAGGED, "_profile=http://a/P", True),
    (TAGGED, r"_profile=http://a/P|1.0", True),
    (TAGGED, r"_profile=http://a/P|2.0", False),
    (TAGGED, "_source=urn:x", True),
    (VALUE_SET, "url:below=http://acme.org/fhir/", True),
    (VALUE_SET, "url:below=http://acme.org", True),
    (VALUE_SET, "url:below=http://acme.org/fhir/ValueSet/123", True),
    (VALUE_SET, "url:below=http://acme.org/fhir/ValueSet/1234", False),
    (VALUE_SET, "url:below=http://acme.org/FHIR/", False),
    (VALUE_SET, "url:below=https://acme.org/", False),
    (VALUE_SET, "url:below=http://other.org/,http://acme.org/", True),
    (VALUE_SET, "url:above=http://acme.org/fhir/ValueSet/123/_history/5", True),
    (VALUE_SET, "url:above=http://acme.org/fhir/ValueSet/123", True),
    (VALUE_SET, "url:above=http://acme.org/fhir/ValueSet/123/", True),
    (VALUE_SET, "url:above=http://acme.org/fhir/ValueSet/123?x=/y#z", True),
    (VALUE_SET, "url:above=http://acme.org/fhir/ValueSet/1234", False),
    (VALUE_SET, "url:above=http://acme.org/fhir/ValueSet", False),
    (FOLDER, "url:above=http://acme.org/fhir/ValueSet/123", True),
    (HOST, "url:above=http://acme.org/fhir/ValueSet/123", True),
    (HOST, "url:above=http://acme.org:8080/fhir", False),
    (OID, "url=urn:oid:1.2.3", True),
    (OID, "url=urn:oid:1.2", False),
    (LONG, f"url={LONG['url']}", True),
    (LONG, f"url:below={LONG['url'][:600]}", True),
    (VERSIONED, "url=http://acme.org/vs|1.0", True),
    (VERSIONED, "url=http://acme.org/vs|2.0", False),
    (VERSIONED, "url=http://acme.org/vs", True),
    (VERSIONED, r"url=http://acme.org/vs\|1.0", False),
    (VERSIONED, r"url=http://acme.org/vs|1.0,http://other", True),
    (TAGGED, "_profile:below=http://a/", True),
    (TAGGED, "_profile:below=http://a/P|1", True),
    (TAGGED, "_profile:below=http://a/P|2", False),
    (TAGGED, "_profile:above=http://a/P/x", True),
]


@pytest.mark.parametrize(("resource", "text", "is_found"), TABLE)
def test_a_uri_is_found_only_whole(resource, text, is_found) -> None:
    assert found(resource, text) is is_found


@pytest.mark.parametrize("modifier", ["above", "below"])
@pytest.mark.parametrize(
    "text", ["urn:oid:1.2.3", "acme.org/fhir", "http:", "a b", "http://a b", "|"]
)
def test_only_urls_have_something_above_or_below(modifier, text) -> None:
    with pytest.raises(Invalid, match="It takes a URL"):
        query("ValueSet", f"url:{modifier}={text}")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("url:below=http://acme.org/" + "x" * 600, "at most 600 characters"),
        ("url:above=http://acme.org" + "/x" * 101, "more than 100 steps"),
        ("url:below=" + ",".join(["http://a/"] * 11), "at most 10"),
        ("url=http://acme.org/vs|", "`version` is given ``"),
        ("url=http://acme.org/vs|a|b", None),
    ],
)
def test_what_is_too_much_is_refused_with_the_bound(text, reason) -> None:
    if reason is None:
        assert not found(VERSIONED, text)
        return
    with pytest.raises(Invalid) as refusal:
        query("ValueSet", text)
    assert reason in refusal.value.issues[0].diagnostics


@pytest.mark.parametrize("modifier", ["in", "contains", "identifier", "text"])
def test_other_modifiers_are_refused_and_those_that_work_are_named(modifier) -> None:
    with pytest.raises(NotSupported, match="What works with it: `:above`, `:below`, `:missing`"):
        query("ValueSet", f"url:{modifier}=http://acme.org")


def test_the_text_of_a_uri_fits_into_a_page_of_an_index_however_long_it_is() -> None:
    rows = indexer().rows({"id": "1", **LONG}).uris
    assert {len(row.uri) for row in rows} == {633}
    assert all(len(row.uri.encode()) < 2600 for row in rows)
    other = {**LONG, "url": LONG["url"] + "x"}
    assert rows != indexer().rows({"id": "1", **other}).uris
