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


# how the client reaches the server       what the proxy says                  the base it sees
SEEN = [
    ({}, {"Host": "a:8000"}, "http://a:8000/fhir"),
    (
        {"trust_proxy": True},
        {"Forwarded": 'for=1.2.3.4;proto=https;host="records.example"'},
        "https://records.example/fhir",
    ),
    (
        {"trust_proxy": True},
        {
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "b:8443",
            "X-Forwarded-Prefix": "/r4",
        },
        "https://b:8443/r4/fhir",
    ),
    (
        {"public_base_url": "https://hospital.example/records"},
        {"X-Forwarded-Host": "evil"},
        "https://hospital.example/records",
    ),
]


@pytest.mark.parametrize(("options", "headers", "base"), SEEN)
async def test_every_link_of_a_search_is_the_client_s_and_can_be_followed(
    client_with, options, headers, base
):
    client = client_with(**options)
    for n in range(5):
        born = {"resourceType": "Patient", "id": f"p{n}", "birthDate": f"199{n}"}
        await client.put(f"/fhir/Patient/p{n}", born)

    async def page(url):
        assert url.startswith(base), url
        answer = await client.get("/fhir" + url.removeprefix(base), headers=headers)
        assert answer.status == 200, answer.body
        bundle = answer.json
        assert all(entry["fullUrl"].startswith(f"{base}/Patient/") for entry in bundle["entry"])
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        return [entry["resource"]["id"] for entry in bundle["entry"]], links

    first, links = await page(f"{base}/Patient?_sort=-birthdate&_count=2&gender:missing=true")
    second, onward = await page(links["next"])
    assert (first, second) == (["p4", "p3"], ["p2", "p1"])
    assert set(onward) == {"self", "first", "previous", "next"}
    assert (await page(onward["next"]))[0] == ["p0"]
    assert (await page(onward["previous"]))[0] == first
    assert (await page(onward["self"]))[0] == second
    assert (await page(onward["first"]))[0] == first
