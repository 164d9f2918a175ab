"""https://hl7.org/fhir/R4/http.html#mime-type"""

from __future__ import annotations

import pytest

from fhir_server.foundation.outcome import NotAcceptable, UnsupportedMedia
from fhir_server.rest import formats
from fhir_server.rest.formats import FORM, JSON, JSON_PATCH, RAW, XML

UTF8 = b"; charset=utf-8"
# Accept                                    _format                  what is answered
WANTED = [
    (None, None, JSON, b"application/fhir+json"),
    (b"", None, JSON, b"application/fhir+json"),
    (b"*/*", None, JSON, b"application/fhir+json"),
    (b"application/*", None, JSON, b"application/fhir+json"),
    (b"application/fhir+json", None, JSON, b"application/fhir+json"),
    (b"application/json", None, JSON, b"application/json"),
    (b"text/json", None, JSON, b"text/json"),
    (b"application/fhir+xml", None, XML, b"application/fhir+xml"),
    (b"application/xml", None, XML, b"application/xml"),
    (b"text/xml", None, XML, b"text/xml"),
    (b"Application/FHIR+XML", None, XML, b"application/fhir+xml"),
    (b"application/fhir+json;q=0.5, application/fhir+xml", None, XML, b"application/fhir+xml"),
    (b"text/html, application/fhir+xml;q=0.1", None, XML, b"application/fhir+xml"),
    (b"application/fhir+xml;q=0, */*;q=0.1", None, JSON, b"application/fhir+json"),
    (b"application/fhir+xml, application/fhir+json", None, XML, b"application/fhir+xml"),
    (
        b"application/fhir+json; fhirVersion=4.0",
        None,
        JSON,
        b"application/fhir+json; fhirVersion=4.0",
    ),
    (
        b"application/fhir+json; fhirVersion=5.0, application/fhir+xml",
        None,
        XML,
        b"application/fhir+xml",
    ),
    (b"application/fhir+json", "xml", XML, b"application/fhir+xml"),
    (b"image/png", "json", JSON, b"application/fhir+json"),
    (None, "application/fhir+xml", XML, b"application/fhir+xml"),
    (None, "application/fhir xml", XML, b"application/fhir+xml"),  # `+` of a URL is a blank
    (None, "text/xml", XML, b"text/xml"),
]


@pytest.mark.parametrize(("accept", "format", "kind", "mime"), WANTED)
def test_the_format_is_the_one_asked_for(accept, format, kind, mime):
    found = formats.wanted(accept, format)
    assert found.kind == kind
    assert found.content_type == mime + UTF8


NOT_SPOKEN = [
    (b"image/png", None),
    (b"text/turtle, text/html", None),
    (b"application/fhir+json; fhirVersion=3.0", None),
    (b"application/fhir+json; charset=utf-16", None),
    (b"application/fhir+json;q=0", None),
    (b"application/fhir+json;q=nan", None),
    (b",,;;", None),
    (b"*/*", "ttl"),
    (b"*/*", "html"),
    (b"*/*", ""),
    (b"*/*", "application/fhir+json; fhirVersion=1.0"),
]


@pytest.mark.parametrize(("accept", "format"), NOT_SPOKEN)
def test_a_format_that_is_not_spoken_is_not_acceptable(accept, format):
    if accept == b",,;;":  # empty ranges mean nothing, so anything
        assert formats.wanted(accept, format).kind == JSON
        return
    with pytest.raises(NotAcceptable):
        formats.wanted(accept, format)


SENT = [
    (b"application/fhir+json", (JSON, XML), JSON),
    (b"application/json; charset=UTF-8", (JSON, XML), JSON),
    (b'application/fhir+json; charset="utf-8"; fhirVersion=4.0', (JSON, XML), JSON),
    (b"text/xml", (JSON, XML), XML),
    (b"application/json-patch+json", (JSON_PATCH, JSON), JSON_PATCH),
    (b"application/x-www-form-urlencoded", (FORM,), FORM),
    (b"image/png", (JSON, XML, RAW), RAW),
    (b"text/plain; charset=utf-16", (JSON, XML, RAW), RAW),
    (b"application/x-www-form-urlencoded", (JSON, XML, RAW), RAW),
]


@pytest.mark.parametrize(("content_type", "accepted", "kind"), SENT)
def test_a_body_is_what_its_content_type_says(content_type, accepted, kind):
    assert formats.sent(content_type, accepted) == kind


REFUSED = [
    (None, (JSON, XML), "missing"),
    (b"multipart/form-data; boundary=x", (JSON, XML), "application/fhir.json"),
    (b"application/x-www-form-urlencoded", (JSON, XML), "application/fhir.json"),
    (b"application/json-patch+json", (JSON, XML), "application/fhir.xml"),
    (b"application/xml-patch+xml", (JSON_PATCH, JSON, XML), "json-patch"),
    (b"application/fhir+json; charset=iso-8859-1", (JSON,), "UTF-8"),
    (b"application/fhir+json; fhirVersion=3.0", (JSON,), "fhirVersion=4.0"),
    (b"text/plain", (FORM,), "x-www-form-urlencoded"),
    (b"\xff\xfe", (JSON,), "Send one of"),
]


@pytest.mark.parametrize(("content_type", "accepted", "told"), REFUSED)
def test_what_is_not_taken_is_refused_and_what_is_taken_is_named(content_type, accepted, told):
    with pytest.raises(UnsupportedMedia, match=told):
        formats.sent(content_type, accepted)


def test_a_refused_patch_says_what_patches_there_are():
    with pytest.raises(UnsupportedMedia) as refusal:
        formats.sent(b"text/plain", (JSON_PATCH, JSON, XML))
    assert "application/json-patch+json" in refusal.value.headers["Accept-Patch"]


@pytest.mark.parametrize(
    ("accept_charset", "refused"),
    [(b"utf-8", False), (b"*", False), (b"iso-8859-1, utf-8;q=0.5", False), (b"iso-8859-1", True)],
)
def test_utf8_is_all_there_is(accept_charset, refused):
    assert formats.charset_refused(accept_charset) is refused
