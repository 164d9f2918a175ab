"""What stands beside the FHIR API: health, metrics, the front page, and the log."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import json

import pytest
import zstandard

from fhir_server.rest.app import create_app
from fhir_server.rest.log import Log
from fhir_server.rest.options import Options
from fhir_server.rest.routes import ROWS
from fhir_server.store.contract import Health
from tests.rest.client import Client, on_one_database

pytestmark = on_one_database

OWN = "3f0c7784-1b2a-4c3d-8e4f-5a6b7c8d9e0f"  # a client's name for its request
PATIENT = {"resourceType": "Patient", "id": "secret-id", "name": [{"family": "Bí-mật"}]}


async def test_alive_and_ready(client):
    assert (await client.get("/livez")).json == {"status": "alive"}
    assert (await client.head("/readyz")).status == 200
    ready = await client.get("/readyz")
    assert (ready.status, ready.json["ready"]) == (200, True)
    assert ready.headers["cache-control"] == "no-store"


async def test_an_index_of_other_rules_is_not_ready(server, lines):
    class Other:
        """A store whose index was made anew beneath it."""

        async def health(self):
            return Health("Any", "1", "1", "1", index="was made otherwise")

    app = create_app(dataclasses.replace(server, store=Other()), Options(), write_log=lines)
    told = await Client(app).get("/readyz")
    assert (told.status, told.json["ready"], told.json["why"]) == (503, False, "index")
    assert told.json["index"] == "was made otherwise"


async def test_metrics_count_by_interaction_type_and_status(client):
    await client.put("/fhir/Patient/secret-id", PATIENT)
    await client.get("/fhir/Patient/secret-id")
    await client.get("/fhir/Patient/none")
    await client.get("/fhir/Shoe/1")
    told = (await client.get("/metrics")).body.decode()
    assert 'fhir_requests_total{interaction="update",status="201",type="Patient"} 1.0' in told
    assert 'fhir_requests_total{interaction="read",status="200",type="Patient"} 1.0' in told
    assert 'fhir_requests_total{interaction="read",status="404",type="Patient"} 1.0' in told
    assert 'fhir_request_seconds_bucket{interaction="read",le="0.001"}' in told
    assert "Shoe" not in told
    assert "secret-id" not in told


async def test_the_front_page_says_what_this_is_and_what_is_in_it(client):
    assert "Nothing yet" in (await client.get("/")).body.decode()
    await client.put("/fhir/Patient/secret-id", PATIENT)
    page = await client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    told = page.body.decode()
    assert "<code>http://test/fhir</code>" in told
    assert "<td>Patient<td>1" in told
    assert "<script" not in told


async def test_what_the_front_page_says_to_try_works(client):
    told = (await client.get("/")).body.decode()
    links = [part.partition('"')[0] for part in told.split('href="')[1:]]
    assert len(links) >= 6
    for link in links:
        url = link.replace("&amp;", "&").removeprefix("http://test")
        assert (await client.get(url)).status == 200, url


async def test_openapi_tells_every_route(client):
    told = (await client.get("/openapi.json")).json
    assert told["servers"] == [{"url": "http://test/fhir"}]
    assert set(told["paths"]["/{type}/{id}"]) == {"get", "put", "patch", "delete"}
    inside = told["paths"]["/{type}/{id}/{member}"]["get"]["parameters"]
    assert [one["name"] for one in inside if one["in"] == "path"] == ["type", "id", "member"]
    assert {"get", "post"} <= set(told["paths"]["/ValueSet/$expand"])
    assert {"get", "post", "delete"} <= set(told["paths"]["/$reindex-status"])
    shapes = sum(len(each) for path, each in told["paths"].items() if "$" not in path)
    rows = [row for row in ROWS if row.interaction != "operation"]
    assert shapes == len(rows) + 2 * 4, "each page tells its method and its server"


class FailingGate:
    """A gate that fails where it should say who comes in."""

    async def admitted(self, credentials):
        raise RuntimeError("secret")


async def test_v5_0_0_16_5_1_a_page_that_fails_says_so_and_no_more(server, lines):
    app = create_app(dataclasses.replace(server, gate=FailingGate()), Options(), write_log=lines)
    told = await Client(app).get("/metrics")
    assert told.status == 500
    assert told.issue["code"] == "exception"
    app.log.flush()
    assert b"secret" not in told.body + b"".join(lines)
    assert any(b"RuntimeError" in line for line in lines)


async def test_who_misses_the_base_is_told_where_it_is(client):
    told = await client.post("/Patient", {"resourceType": "Patient"})
    assert told.status == 404
    assert "/fhir/metadata" in told.issue["diagnostics"]
    assert told.headers["content-type"].startswith("application/fhir+json")
    assert (await client.post("/livez")).status == 405


async def test_the_log_has_a_line_an_interaction_and_no_health_data(app, client, lines):
    await client.put("/fhir/Patient/secret-id", PATIENT, headers={"X-Request-Id": OWN})
    await client.get("/fhir/Patient?family=B%C3%AD-m%E1%BA%ADt")
    await client.get("/fhir/Patient/secret-id?_format=nonsense")
    await client.get("/fhir/secret-id")
    app.log.flush()
    told = [json.loads(line) for line in lines]
    assert [(t["interaction"], t["type"], t["status"]) for t in told] == [
        ("update", "Patient", 201),
        ("search-type", "Patient", 200),
        ("none", "Patient", 406),
        ("none", None, 404),
    ]
    assert told[0]["request"] == OWN
    assert set(told[0]) == {
        "time", "request", "interaction", "type", "status", "ms", "bytes", "client"
    }  # fmt: skip
    written = b"".join(lines)
    assert b"secret" not in written
    assert "mật".encode() not in written
    assert b"nonsense" not in written


class Broken:
    """A store in which everything goes wrong, each time saying a patient's name."""

    def __getattr__(self, name):
        async def broken(*given, **named):
            raise RuntimeError("Nguyễn Thị Bí-mật")

        return broken


async def test_what_is_unexpected_is_a_500_that_tells_its_number_and_nothing_else(server, lines):
    app = create_app(dataclasses.replace(server, store=Broken()), Options(), write_log=lines)
    client = Client(app)
    told = await client.get("/fhir/Patient/1", headers={"X-Request-Id": OWN})
    assert (told.status, told.issue["code"]) == (500, "exception")
    assert f"`{OWN}`" in told.issue["diagnostics"]
    assert "RuntimeError" not in told.body.decode()
    assert (await client.get("/readyz")).status == 503
    assert "cannot be reached" in (await client.get("/")).body.decode()
    app.log.flush()
    trouble = json.loads(lines[0])
    assert (trouble["error"], trouble["request"]) == ("builtins.RuntimeError", OWN)
    assert any("broken" in frame for frame in trouble["traceback"])
    assert "mật" not in b"".join(lines).decode()


async def test_the_log_writes_many_lines_at_once(database):
    written = []
    log = Log(written.append)
    for _ in range(3):
        log.trouble(request_id=b"1", interaction="read", error=ValueError())
    await asyncio.sleep(0.1)
    assert [lines.count(b"\n") for lines in written] == [3]


async def test_requests_beyond_the_limit_are_told_to_come_again(client_with):
    client = client_with(concurrency=1)
    client.app.dispatcher.held.requests = 1
    told = await client.get("/fhir/metadata")
    assert (told.status, told.issue["code"]) == (429, "throttled")
    assert told.headers["retry-after"] == "1"


ORIGIN = {"Origin": "https://app.example"}
ASKING = ORIGIN | {"Access-Control-Request-Method": "PUT"}


@pytest.mark.parametrize(
    ("origins", "allowed"),
    [
        ((), None),
        (("https://app.example",), "https://app.example"),
        (("*",), "*"),
        (("https://b",), None),
    ],
)
async def test_pages_of_other_origins_are_let_in_by_the_settings(client_with, origins, allowed):
    client = client_with(cors_origins=origins)
    told = await client.get("/fhir/Patient/none", headers=ORIGIN)
    assert told.headers.get("access-control-allow-origin") == allowed
    asked = await client.options("/fhir/Patient/1", headers=ASKING)
    assert asked.status == 204
    assert asked.headers.get("access-control-allow-origin") == allowed
    if allowed:
        assert "ETag" in told.headers["access-control-expose-headers"]
        assert "PATCH" in asked.headers["access-control-allow-methods"]
        assert "If-None-Exist" in asked.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in asked.headers
    assert "Origin" in told.headers["vary"]


async def test_answers_are_compressed_for_who_can_read_them(client):
    plain = await client.get("/fhir/metadata")
    for coding, unpack in (("gzip", gzip.decompress), ("zstd", zstandard.decompress)):
        told = await client.get("/fhir/metadata", headers={"Accept-Encoding": coding})
        assert told.headers["content-encoding"] == coding
        assert told.headers["content-length"] == str(len(told.body))
        assert unpack(told.body) == plain.body
        assert "Accept-Encoding" in told.headers["vary"]
    small = await client.get("/fhir/Patient/none", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in small.headers


async def test_bodies_may_be_compressed(client):
    body = gzip.compress(json.dumps(PATIENT).encode())
    headers = {"Content-Type": "application/fhir+json", "Content-Encoding": "gzip"}
    made = await client.put("/fhir/Patient/secret-id", body, headers=headers)
    assert (made.status, made.json["name"]) == (201, PATIENT["name"])


async def test_the_base_may_stand_elsewhere(client_with):
    for base, metadata in (("/", "/metadata"), ("", "/metadata"), ("/a/b", "/a/b/metadata")):
        client = client_with(base_path=base)
        told = await client.get(metadata)
        assert told.json["resourceType"] == "CapabilityStatement", base
        assert (await client.get("/livez")).json == {"status": "alive"}


async def test_the_store_is_opened_and_closed_with_the_application(server):
    told = []

    class Store:
        async def open(self):
            told.append("open")

        async def close(self):
            told.append("close")

    app = create_app(dataclasses.replace(server, store=Store()))
    waiting = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive():
        return waiting.pop(0)

    async def send(message):
        told.append(message["type"])

    await app({"type": "lifespan"}, receive, send)
    assert told == ["open", "lifespan.startup.complete", "close", "lifespan.shutdown.complete"]


async def test_a_store_that_does_not_open_ends_the_start_with_its_reason(server):
    app = create_app(dataclasses.replace(server, store=Broken()))
    told = []

    async def receive():
        return {"type": "lifespan.startup"}

    async def send(message):
        told.append(message)

    await app({"type": "lifespan"}, receive, send)
    assert told == [{"type": "lifespan.startup.failed", "message": "Nguyễn Thị Bí-mật"}]
