"""What a browser is told with every answer, whatever it is an answer to.

https://hl7.org/fhir/R4/security.html
"""

from __future__ import annotations

import pytest

from fhir_server.rest.app import create_app
from fhir_server.rest.options import Options
from tests.rest.client import Client, on_one_database
from tests.rest.conftest import Lines

pytestmark = on_one_database

ASKED = [
    ("GET", "/fhir/metadata"),
    ("GET", "/fhir/Patient"),
    ("GET", "/fhir/Patient/none"),
    ("HEAD", "/fhir/Patient/none"),
    ("GET", "/fhir/nowhere/at/all"),
    ("POST", "/fhir/Patient"),
    ("PUT", "/fhir/Patient/1"),
    ("DELETE", "/fhir/Patient/none"),
    ("OPTIONS", "/fhir/Patient"),
    ("TRACE", "/fhir/Patient"),
    ("GET", "/"),
    ("GET", "/livez"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/nowhere"),
    ("POST", "/livez"),
]


@pytest.mark.parametrize(("method", "url"), ASKED)
async def test_v5_0_0_3_4_every_answer_keeps_a_browser_careful(client, method, url):
    told = await client.request(method, url)
    names = [name for name, _ in told.raw_headers]
    assert len(names) == len(set(names)), "each is said once"
    assert told.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in told.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in told.headers["content-security-policy"] or url == "/"
    assert told.headers["referrer-policy"] == "no-referrer"
    assert told.headers["cross-origin-resource-policy"] == "same-origin"
    assert "strict-transport-security" not in told.headers, "it came by http"


@pytest.mark.parametrize(("method", "url"), ASKED)
async def test_v5_0_0_3_4_1_who_came_by_https_comes_by_nothing_else(app, method, url):
    told = await Client(app, scheme="https").request(method, url)
    if url not in ("/livez", "/readyz"):
        assert told.headers["strict-transport-security"] == "max-age=31536000"


async def test_who_does_not_want_that_says_so(server):
    client = Client(create_app(server, Options(hsts=0)), scheme="https")
    assert "strict-transport-security" not in (await client.get("/fhir/metadata")).headers


async def test_an_answer_for_one_caller_is_not_kept_for_another(client):
    assert "Authorization" in (await client.get("/fhir/Patient")).headers["vary"]


async def broken(scope, receive, send):
    raise RuntimeError("Nguyễn Thị Bí-mật")


@pytest.mark.parametrize("url", ["/metrics", "/openapi.json"])
async def test_v5_0_0_16_5_1_a_page_beside_the_api_fails_without_a_word_of_why(server, url):
    lines = Lines()
    app = create_app(server, Options(), write_log=lines)
    app.operations.app = broken
    told = await Client(app).get(url)
    app.log.flush()
    assert (told.status, told.issue["code"]) == (500, "exception")
    assert told.headers["x-request-id"] in told.issue["diagnostics"]
    assert told.headers["x-content-type-options"] == "nosniff"
    assert "mật" not in told.body.decode()
    assert "RuntimeError" in b"".join(lines).decode()
    assert "mật" not in b"".join(lines).decode()


async def test_a_host_that_is_none_is_refused_beside_the_api_too(client):
    told = await client.get("/openapi.json", headers={"Host": "a b"})
    assert (told.status, told.issue["code"]) == (400, "invalid")


# who asks, and as what the server is asked for                      whether it is let in
PAGES = [
    ({}, True),
    ({"Origin": "http://test"}, True),
    ({"Origin": "https://app.example"}, True),
    ({"Origin": "https://test"}, False),
    ({"Origin": "http://test.evil.example"}, False),
    ({"Origin": "http://evil.example"}, False),
    ({"Origin": "null"}, False),
    ({"Origin": ""}, False),
]


@pytest.mark.parametrize(("headers", "let_in"), PAGES)
async def test_v5_0_0_3_5_1_a_page_of_another_origin_changes_nothing(client_with, headers, let_in):
    client = client_with(cors_origins=("https://app.example",))
    for method, url in (
        ("POST", "/fhir/Patient"),
        ("POST", "/fhir/$reindex"),
        ("PUT", "/fhir/Patient/1"),
        ("DELETE", "/fhir/Patient/1"),
    ):
        told = await client.request(method, url, headers=headers)
        assert (told.status != 403) is let_in, (method, url)
        if not let_in:
            assert "`cors_origins`" in told.issue["diagnostics"]
    assert (await client.get("/fhir/Patient", headers=headers)).status == 200
