"""test_examples_over_http — HL7's own examples come back as they were sent, in JSON and in XML.

https://hl7.org/fhir/R4/http.html#update
"""

from __future__ import annotations

from typing import Any

import pytest
from lxml import etree

from fhir_server.foundation import wire
from fhir_server.rest.app import create_app
from fhir_server.rest.options import Options
from tests.conftest import Database, Run
from tests.interaction.conftest import server_on
from tests.rest.client import Client
from tests.spec.test_examples_validate import EXAMPLES, FOLDER, VIOLATIONS

pytestmark = pytest.mark.skipif(not EXAMPLES, reason=f"{FOLDER.name} is not beside this repository")

JSON = {"Accept": "application/fhir+json"}  # else a Binary comes as what it is
XML = {"Accept": "application/fhir+xml"}
JSON_SENT = {"Content-Type": "application/fhir+json"}
XML_SENT = {"Content-Type": "application/fhir+xml"}
OURS = ("versionId", "lastUpdated")


def without_ours(body: bytes) -> dict[str, Any]:
    """The resource without what only the server says of it: as text, so that 1.50 is not 1.5."""
    resource = wire.parse(body)
    meta = {name: value for name, value in resource.get("meta", {}).items() if name not in OURS}
    told = {name: value for name, value in resource.items() if name != "meta"}
    return {**told, "meta": meta} if meta else told


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Equal, and each number and text as it was written."""
    return one == other and wire.render(ordered(one)) == wire.render(ordered(other))


def ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: ordered(value[name]) for name in sorted(value)}
    return [ordered(each) for each in value] if isinstance(value, list) else value


async def goes_round(client: Client, sent: bytes, url: str) -> None:
    """JSON in, JSON and XML out, that XML in, JSON out: one resource all the way."""
    as_sent = without_ours(sent)
    put = await client.put(url, sent, headers={"Content-Type": "application/fhir+json"})
    assert put.status == 201, put.body
    read = await client.get(url, headers=JSON)
    assert same(without_ours(read.body), as_sent)
    in_xml = await client.get(url, headers=XML)
    assert in_xml.headers["content-type"].startswith("application/fhir+xml")
    assert etree.fromstring(in_xml.body).tag == f"{{http://hl7.org/fhir}}{as_sent['resourceType']}"
    assert in_xml.version == read.version
    again = await client.put(url, in_xml.body, headers=XML_SENT)
    assert again.status == 200
    # What is the same makes no new version, unless the JSON named its members in another order.
    assert again.version == read.version or list(as_sent) != list(without_ours(again.body))
    assert same(without_ours(again.body), as_sent)
    copy = f"{url[: url.rindex('/')]}/copy"
    marked = in_xml.body.replace(
        f'<id value="{as_sent["id"]}"/>'.encode(), b'<id value="copy"/>', 1
    )
    assert (await client.put(copy, marked, headers=XML_SENT)).status in (200, 201)
    from_xml = without_ours((await client.get(copy, headers=JSON)).body)
    assert same({**from_xml, "id": as_sent["id"]}, as_sent)


def test_every_example_comes_back_as_it_was_sent(database: Database, run: Run[Any]) -> None:
    """One store for all of them; only those that break R4's own rules are refused, by name."""
    store = database.store()
    run(store.open())
    client = Client(create_app(server_on(store), Options(), write_log=lambda _: None))
    refused, wrong = set(), {}
    for example in EXAMPLES:
        sent = example.read_bytes()
        resource = wire.parse(sent)
        url = f"/fhir/{resource['resourceType']}/{resource['id']}"
        if resource["resourceType"] == "AuditEvent":  # the server's own: nobody else writes one
            assert run(client.put(url, sent, headers=JSON_SENT)).status == 405
            continue
        if example.stem in VIOLATIONS:
            told = run(client.put(url, sent, headers={"Content-Type": "application/fhir+json"}))
            assert told.status == 400, told.body
            refused.add(example.stem)
            continue
        try:
            run(goes_round(client, sent, url))
        except AssertionError as error:
            wrong[example.stem] = str(error)[:300]
    run(store.close())
    assert wrong == {}
    assert refused == set(VIOLATIONS)
