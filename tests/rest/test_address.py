"""Where a request came from: what the proxy says, never what a client says of itself.

https://hl7.org/fhir/R4/security.html
"""

from __future__ import annotations

import pytest

from fhir_server.foundation.outcome import Invalid
from fhir_server.rest.address import address, counted
from fhir_server.rest.options import Options

PROXY = ("10.0.0.1", 443)
FORWARDED, OLDER = b"forwarded", b"x-forwarded-for"

# what the proxy sends on                                       where it came from
TOLD = [
    ({}, "10.0.0.1"),
    ({FORWARDED: b"for=192.0.2.60;proto=http;by=203.0.113.43"}, "192.0.2.60"),
    ({FORWARDED: b'For="[2001:DB8:0::17]:4711"'}, "2001:db8::17"),
    ({FORWARDED: b"for=6.6.6.6, for=192.0.2.60"}, "192.0.2.60"),
    ({FORWARDED: b"proto=https"}, "unknown"),
    ({FORWARDED: b"for=unknown"}, "unknown"),
    ({FORWARDED: b"for=_hidden"}, "_hidden"),
    ({FORWARDED: b'for="<script>"'}, "unknown"),
    ({FORWARDED: b"for=999.1.1.1"}, "unknown"),
    ({OLDER: b"192.0.2.60"}, "192.0.2.60"),
    ({OLDER: b"6.6.6.6, 192.0.2.60"}, "192.0.2.60"),
    ({OLDER: b"192.0.2.60:5123"}, "192.0.2.60"),
    ({OLDER: b"2001:db8::17"}, "2001:db8::17"),
    ({OLDER: b"\xff\xfe"}, "unknown"),
    ({OLDER: b""}, "unknown"),
    ({OLDER: b"192.0.2.60", FORWARDED: b"for=192.0.2.60"}, "192.0.2.60"),
]


@pytest.mark.parametrize(("headers", "wanted"), TOLD)
def test_v5_0_0_15_3_4_a_proxy_in_front_says_where_a_request_came_from(headers, wanted):
    assert address(Options(trust_proxy=True), headers, PROXY) == wanted


@pytest.mark.parametrize(("headers", "wanted"), TOLD)
def test_v5_0_0_4_1_3_without_a_proxy_no_header_says_so(headers, wanted):
    assert address(Options(), headers, PROXY) == "10.0.0.1"


def test_a_client_cannot_write_the_header_the_proxy_leaves_alone():
    with pytest.raises(Invalid, match="different clients"):
        address(Options(trust_proxy=True), {FORWARDED: b"for=1.2.3.4", OLDER: b"192.0.2.60"}, PROXY)


COUNTED = [
    ("192.0.2.60", "192.0.2.60"),
    ("::ffff:192.0.2.60", "192.0.2.60"),
    ("2001:db8:0:1::17", "2001:db8:0:1::/64"),
    ("2001:db8:0:1:ffff::1", "2001:db8:0:1::/64"),
    ("fe80::1%eth0", "fe80::/64"),
    ("127.0.0.1", ""),
    ("::1", ""),
    ("::ffff:127.0.0.1", ""),
    ("unknown", "unknown"),
]


@pytest.mark.parametrize(("told", "wanted"), COUNTED)
def test_addresses_of_one_customer_are_counted_together(told, wanted):
    assert counted(told) == wanted
