"""No log line, no count and no error tells what stands in a record: each element holds a mark.

https://hl7.org/fhir/R4/security.html
"""

from __future__ import annotations

import dataclasses
import io
import json
import logging

import pytest

from fhir_server.conformance import definitions
from fhir_server.foundation.journal import Lines as Journal
from fhir_server.rest.app import create_app
from fhir_server.rest.options import Options
from tests.rest.client import Client, Response, on_one_database
from tests.rest.marked import MARK, MARKS, NUMBER, marked, without

pytestmark = on_one_database

TYPES = sorted(definitions.load().resource_types)
ATTEMPTS = 40
# What only a client can say of a request, beside its URL and body.
SAID = {
    "X-Request-Id": MARK,
    "X-Correlation-Id": MARK,
    "User-Agent": MARK,
    "Authorization": f"Bearer {MARK}",
    "Referer": f"http://{MARK}.example/",
    "Idempotency-Key": MARK,
    "X-Forwarded-For": MARK,
}


@pytest.fixture
def journal():
    """What the rest of the program logs, as it would be written, at every level."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(Journal())
    logger = logging.getLogger("fhir_server")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield written
    logger.removeHandler(handler)
    logger.setLevel(before)


async def stored(client: Client, type: str, turn: int) -> Response:
    """As much of the resource as the rules let in; each refusal takes out what it names."""
    resource = marked(definitions.load(), type, turn)
    for _ in range(ATTEMPTS):
        told = await client.put(f"/fhir/{type}/{MARK}", resource, headers=SAID)
        if told.status < 300:
            return told
        issues = [each for each in told.json["issue"] if each["severity"] in ("error", "fatal")]
        places = [each.get("expression", [None])[0] for each in issues]
        taken = [without(resource, place) for place in places]  # each of them, not the first
        if not any(taken):
            return told
    return told


def asked_of(type: str) -> list[tuple[str, str, object]]:
    here = f"/fhir/{type}"
    return [
        ("GET", f"{here}/{MARK}", None),
        ("GET", f"{here}/{MARK}/_history/{MARK}", None),
        ("GET", f"{here}?_id={MARK}&_tag={MARK}&_security={MARK}", None),
        ("GET", f"{here}?_lastUpdated=gt{MARK}", None),
        ("GET", f"{here}?{MARK}={MARK}", None),
        ("GET", f"{here}?_sort={MARK}&_include={MARK}", None),
        ("GET", f"{here}?_filter={MARK}%20eq%20{NUMBER}", None),
        ("GET", f"{here}?_cursor={MARK}", None),
        ("POST", f"{here}/_search", None),
        ("POST", f"{here}/$validate", {"resourceType": type, MARK: MARK}),
        ("POST", f"{here}?{MARK}", {"resourceType": MARK}),
        ("PATCH", f"{here}/{MARK}", [{"op": "test", "path": f"/{MARK}", "value": MARK}]),
        ("DELETE", f"{here}?_id={MARK}{MARK}", None),
        ("GET", f"/fhir/{MARK}/{MARK}", None),
        ("GET", f"{here}/${MARK}", None),
        (MARK.upper(), f"{here}/{MARK}", None),
    ]


def demand_unmarked(*texts: str) -> None:
    for text in texts:
        for mark in MARKS:
            at = text.lower().find(mark.lower())
            assert at < 0, text[max(0, at - 300) : at + 300]


async def test_v5_0_0_16_2_5_neither_log_nor_metrics_tell_of_any_element(
    app, client, lines, journal
):
    kept = 0
    for type in TYPES:
        for turn in range(2):
            kept += (await stored(client, type, turn)).status < 300
        for method, url, body in asked_of(type):
            told = await client.request(method, url, body, headers=SAID)
            assert told.status < 500, (method, url, told.body)
    app.log.flush()
    assert kept > len(TYPES), "too few of them are stored for this to say anything"
    assert len(lines) > len(TYPES) * 18
    metrics = (await client.get("/metrics")).body.decode()
    demand_unmarked(b"\n".join(lines).decode(), journal.getvalue(), metrics)


class Broken:
    """A store in which everything goes wrong, each time quoting what it was given."""

    def __getattr__(self, name):
        async def broken(*given, **named):
            raise RuntimeError(f"{MARK} {given} {named}")

        return broken


async def test_v5_0_0_16_5_1_what_is_unexpected_quotes_no_element(server, lines, journal):
    app = create_app(dataclasses.replace(server, store=Broken()), Options(), write_log=lines)
    client = Client(app)
    for type in TYPES:
        for method, url, body in (
            ("PUT", f"/fhir/{type}/{MARK}", {"resourceType": type, "id": MARK}),
            ("GET", f"/fhir/{type}/{MARK}", None),
            ("GET", f"/fhir/{type}?_id={MARK}", None),
        ):
            told = await client.request(method, url, body)
            assert told.status >= 400
            if told.status == 500:
                demand_unmarked(told.body.decode(), json.dumps(told.headers))
    app.log.flush()
    demand_unmarked(b"\n".join(lines).decode(), journal.getvalue())
