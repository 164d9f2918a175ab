"""Whatever is sent: never a 5xx, always an answer in FHIR's own words.

https://hl7.org/fhir/R4/http.html#Status-Codes
FHIR_TEST_EXAMPLES makes it long, and other each time.
"""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import HealthCheck, event, given, settings
from lxml import etree

from fhir_server.rest.app import create_app
from fhir_server.rest.options import Options
from tests.acceptance.requests import SOUND, requests
from tests.interaction.conftest import server_on
from tests.rest.client import Client

LONG = "FHIR_TEST_EXAMPLES" in os.environ
EXAMPLES = int(os.environ.get("FHIR_TEST_EXAMPLES", "1000"))
NS = "{http://hl7.org/fhir}"


@pytest.fixture
def troubles():
    return []


@pytest.fixture
def client(store, run, troubles):
    options = Options(max_body=100_000, body_timeout=5, cors_origins=("*",))
    client = Client(create_app(server_on(store), options, write_log=troubles.append))
    for resource in SOUND[:2]:
        told = run(client.put(f"/fhir/{resource['resourceType']}/1", resource | {"id": "1"}))
        assert told.status == 201
    return client


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=not LONG,
    suppress_health_check=list(HealthCheck),
    database=None,
)
@given(request=requests)
def test_any_request_is_answered_in_the_words_of_fhir(run, client, troubles, request):
    method, path, query, headers, body = request
    url = f"/fhir/{path}".encode("utf-8", "surrogatepass")
    if query:
        url += b"?" + query.encode("utf-8", "surrogatepass")
    told = run(client.request(method, url, body, headers=headers))
    client.app.log.flush()
    errors = [line for line in troubles if b'"level":"error"' in line]
    troubles.clear()
    event(f"{told.status} {method}")
    assert not errors, (request, errors)
    assert 200 <= told.status < 500, told
    if method == "HEAD" or told.status in (204, 304):
        assert told.body == b""
        return
    outcome = told.status >= 400
    type = told.headers.get("content-type", "")
    if "json" in type and "content-encoding" not in told.headers:
        resource = json.loads(told.body)
        assert not outcome or resource["resourceType"] == "OperationOutcome"
        assert not outcome or all(issue["diagnostics"] for issue in resource["issue"])
    elif "fhir+xml" in type and "content-encoding" not in told.headers:
        root = etree.fromstring(told.body)
        assert not outcome or root.tag == f"{NS}OperationOutcome"
    else:
        assert not outcome or "content-encoding" in told.headers, told
