"""https://hl7.org/fhir/R4/http.html#general"""

from __future__ import annotations

import pytest

from fhir_server.foundation.outcome import Invalid
from fhir_server.rest.base_url import base_url
from fhir_server.rest.options import Options

DIRECT = Options()
BEHIND = Options(trust_proxy=True)
SET = Options(public_base_url="https://hospital.example/records/", trust_proxy=True)

#  options  headers                                                       the base URL
SEEN = [
    (DIRECT, {b"host": b"a.example"}, "http://a.example/fhir"),
    (DIRECT, {b"host": b"127.0.0.1:8000"}, "http://127.0.0.1:8000/fhir"),
    (DIRECT, {b"host": b"[::1]:8000"}, "http://[::1]:8000/fhir"),
    (DIRECT, {}, "http://inner:80/fhir"),
    (DIRECT, {b"host": b"a", b"x-forwarded-host": b"evil"}, "http://a/fhir"),
    (BEHIND, {b"host": b"a"}, "http://a/fhir"),
    (BEHIND, {b"host": b"a", b"x-forwarded-proto": b"https"}, "https://a/fhir"),
    (
        BEHIND,
        {b"host": b"a", b"x-forwarded-proto": b"https", b"x-forwarded-host": b"b:1, c"},
        "https://b:1/fhir",
    ),
    (BEHIND, {b"host": b"a", b"x-forwarded-prefix": b"/r4/"}, "http://a/r4/fhir"),
    (
        BEHIND,
        {b"host": b"a", b"forwarded": b'for=1.2.3.4;proto=https;host="b.example", for=x;host=c'},
        "https://b.example/fhir",
    ),
    (SET, {b"host": b"a", b"x-forwarded-host": b"b"}, "https://hospital.example/records"),
]


@pytest.mark.parametrize(("options", "headers", "base"), SEEN)
def test_the_base_is_the_one_the_client_sees(options, headers, base):
    assert base_url(options, headers, scheme="http", server=("inner", 80)) == base


REFUSED = [
    (DIRECT, {b"host": b"a/b"}),
    (DIRECT, {b"host": b"a b"}),
    (DIRECT, {b"host": b"a@b"}),
    (DIRECT, {b"host": b'"><script>'}),
    (DIRECT, {b"host": b"a" * 300}),
    (BEHIND, {b"host": b"a", b"x-forwarded-proto": b"javascript"}),
    (BEHIND, {b"host": b"a", b"x-forwarded-prefix": b"//evil/?"}),
    (BEHIND, {b"host": b"a", b"forwarded": b"host=a/b"}),
]


@pytest.mark.parametrize(("options", "headers"), REFUSED)
def test_a_host_that_is_none_reaches_no_link(options, headers):
    with pytest.raises(Invalid):
        base_url(options, headers, scheme="http", server=None)
