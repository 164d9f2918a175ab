"""https://hl7.org/fhir/R4/http.html#ops"""

from __future__ import annotations

import pytest

from fhir_server.foundation.outcome import HeadersTooLarge, Invalid
from fhir_server.foundation.resource import Key
from fhir_server.interaction.context import Answer
from fhir_server.rest import headers
from fhir_server.rest.headers import Preferences

TAGS = [
    (b'W/"1-abc"', ("1-abc",)),
    (b'"1-abc"', ("1-abc",)),
    (b"1-abc", ("1-abc",)),
    (b"  *  ", ("*",)),
    (b'W/"1-a", "2-b",3-c', ("1-a", "2-b", "3-c")),
    (b'W/""', ("",)),
]


@pytest.mark.parametrize(("value", "tags"), TAGS)
def test_a_version_is_named_weak_strong_bare_in_a_list_or_by_a_star(value, tags):
    assert headers.entity_tags(value, "If-Match") == tags


@pytest.mark.parametrize("value", [b"", b'W/"1', b"a b", b'"1",,"2"', b"W/1", b'"a"' * 2, b"1;2"])
def test_what_is_no_entity_tag_is_refused_by_the_headers_name(value):
    with pytest.raises(Invalid, match="If-Match") as refusal:
        headers.entity_tags(value, "If-Match")
    assert refusal.value.issues[0].expression == "http.If-Match"


def test_a_list_of_versions_has_an_end():
    with pytest.raises(Invalid):
        headers.entity_tags(b",".join([b'"1"'] * 65), "If-Match")


PREFER = [
    (b"return=minimal", Preferences("minimal", strict=True, applied="return=minimal")),
    (b"RETURN = Representation", Preferences("representation", applied="return=representation")),
    (
        b'return="OperationOutcome"',
        Preferences("OperationOutcome", applied="return=OperationOutcome"),
    ),
    (b"handling=lenient", Preferences(None, strict=False, applied="handling=lenient")),
    (
        b"handling=lenient, return=minimal",
        Preferences("minimal", strict=False, applied="handling=lenient, return=minimal"),
    ),
    (
        b"return=minimal;handling=strict",
        Preferences("minimal", applied="return=minimal, handling=strict"),
    ),
    (b"wait=30, handling=strict", Preferences(applied="handling=strict", wait=30)),
    (b"wait=5, wait=9", Preferences(wait=5)),
    (b"wait=-1", Preferences()),
    (b"wait=1e9", Preferences()),
    (b"wait=12345678901234567890", Preferences()),
    (b"respond-async", Preferences()),
    (b"return=everything, handling=loose", Preferences()),
    (b"return=minimal, return=representation", Preferences("minimal", applied="return=minimal")),
    (b"", Preferences()),
    (b"\xff=;=,==", Preferences()),
]


@pytest.mark.parametrize(("value", "told"), PREFER)
def test_preferences_are_read_and_what_is_unknown_is_passed_over(value, told):
    assert headers.preferences(value) == told


KEY = Key("Patient", "1")
SEEN = Answer(200, b"{}", KEY, "2-b", 1_700_000_000_123)
CONDITIONAL = [
    ({b"if-none-match": b'W/"2-b"'}, True),
    ({b"if-none-match": b'W/"1-a", W/"2-b"'}, True),
    ({b"if-none-match": b"*"}, True),
    ({b"if-none-match": b'W/"1-a"'}, False),
    # RFC 9110 13.1.3: with If-None-Match, If-Modified-Since is not looked at.
    (
        {
            b"if-none-match": b'W/"1-a"',
            b"if-modified-since": b"Tue, 14 Nov 2023 22:13:20 GMT",
        },
        False,
    ),
    ({b"if-modified-since": b"Tue, 14 Nov 2023 22:13:20 GMT"}, True),
    ({b"if-modified-since": b"Tue, 14 Nov 2023 22:13:19 GMT"}, False),
    ({b"if-modified-since": b"Wed, 15 Nov 2023 05:13:20 +0700"}, True),
    ({b"if-modified-since": b"yesterday"}, False),
    ({b"if-modified-since": b"\xff\xfe"}, False),
    ({b"if-modified-since": b"Tue, 14 Nov 99999999999999999999 22:13:20 GMT"}, False),
    ({}, False),
]


@pytest.mark.parametrize(("sent", "not_modified"), CONDITIONAL)
def test_conditional_read(sent, not_modified):
    assert headers.not_modified(sent, SEEN) is not_modified


def test_a_version_is_located_with_its_history():
    assert headers.located("http://a/fhir", KEY, "2-b") == b"http://a/fhir/Patient/1/_history/2-b"
    assert headers.http_date(1_700_000_000_999) == b"Tue, 14 Nov 2023 22:13:20 GMT"
    assert headers.etag("2-b") == b'W/"2-b"'


def test_headers_that_came_twice_are_one_list_and_those_that_may_not_are_refused():
    raw = [(b"accept", b"a/b"), (b"accept", b"c/d"), (b"host", b"x")]
    assert headers.collected(raw, bound=1000)[b"accept"] == b"a/b, c/d"
    with pytest.raises(Invalid, match="content-type"):
        headers.collected([(b"content-type", b"a"), (b"content-type", b"b")], bound=1000)
    with pytest.raises(HeadersTooLarge, match="max_header"):
        headers.collected([(b"x", b"y" * 1000)], bound=1000)


def test_a_header_that_is_no_utf8_is_refused():
    with pytest.raises(Invalid, match="if-none-exist"):
        headers.text({b"if-none-exist": b"name=\xff"}, b"if-none-exist")


UUID = b"3f0c7784-1b2a-4c3d-8e4f-5a6b7c8d9e0f"
IDS = [
    (UUID, UUID),
    (UUID.replace(b"-", b""), UUID.replace(b"-", b"")),
    (UUID + b"0", None),
    (b"092180004321", None),  # the number of a citizen's card
    (b"3f0c-77", None),
    (b"a" * 129, None),
    (b"", None),
    (b"two words", None),
    (b"<script>", None),
    (b"a\r\nSet-Cookie: x", None),
]


@pytest.mark.parametrize(("value", "told"), IDS)
def test_a_request_id_is_kept_if_the_log_may_tell_it(value, told):
    assert headers.told_id({b"x-request-id": value}, b"x-request-id") == told


def once(key=b"k", client="a", method="POST", url=b"/fhir/Patient", body=b"{}"):
    return headers.once({b"idempotency-key": key}, client=client, method=method, url=url, body=body)


def test_an_idempotency_key_is_told_apart_by_who_asks_what_of_which_url():
    keys = {
        once().key,
        once(key=b"l").key,
        once(client="b").key,
        once(method="PUT").key,
        once(url=b"/fhir/Group").key,
    }
    assert len(keys) == 5
    assert once().key == once(key=b'"k"').key == once(body=b"[]").key
    assert once().digest != once(body=b"[]").digest
    assert headers.once({}, client="a", method="POST", url=b"", body=b"") is None


@pytest.mark.parametrize("key", [b"", b"a b", b"k" * 256, b"\xc3\xa9", b"a\tb", b'a"b'])
def test_an_idempotency_key_that_is_none_is_refused(key):
    with pytest.raises(Invalid, match="Idempotency-Key"):
        once(key=key)
