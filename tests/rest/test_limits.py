"""How much one client may take, however it asks; the others do not notice.

https://hl7.org/fhir/R4/http.html#Status-Codes
"""

from __future__ import annotations

import asyncio

import pytest

from fhir_server.foundation.outcome import TooMany
from fhir_server.rest.app import create_app
from fhir_server.rest.limits import ANYONE, MOST, Limits
from fhir_server.rest.options import Options
from tests.rest.client import Client, on_one_database

HERE, THERE = "192.0.2.60", "192.0.2.61"


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def limits(**options):
    clock = Clock()
    return Limits(Options(**options), clock=clock), clock


def asked(limits, times, *, client=ANYONE, address=HERE):
    """How many of these requests, one after the other, are taken."""
    taken = 0
    for _ in range(times):
        try:
            limits.done(limits.take(client, address))
        except TooMany:
            continue
        taken += 1
    return taken


def test_v5_0_0_2_4_1_a_burst_is_taken_and_then_so_many_a_second():
    some, clock = limits(client_rate=10, client_burst=50)
    assert asked(some, 200) == 50
    clock.now += 1
    assert asked(some, 200) == 10
    clock.now += 3600
    assert asked(some, 200) == 50


def test_who_is_refused_is_told_when_to_come_again_and_may_then():
    some, clock = limits(client_rate=1, client_burst=5)
    asked(some, 5)
    with pytest.raises(TooMany, match="`client_rate`") as refused:
        some.take(ANYONE, HERE)
    assert refused.value.headers == {"Retry-After": "1"}
    clock.now += 1
    assert asked(some, 5) == 1


def test_one_client_takes_nothing_from_another():
    some, _ = limits(client_rate=1, client_burst=5)
    assert asked(some, 100) == 5
    assert asked(some, 100, address=THERE) == 5
    assert asked(some, 100, client="his", address=HERE) == 5
    assert asked(some, 100, client="lab", address=HERE) == 5
    assert asked(some, 100, client="lab", address=THERE) == 0, "wherever it asks from"


def test_no_client_is_counted_as_an_address_by_its_name():
    some, _ = limits(client_rate=1, client_burst=5)
    assert asked(some, 100, client=HERE, address=THERE) == 5
    assert asked(some, 100) == 5


def test_this_machine_itself_is_not_held_back():
    some, _ = limits(client_rate=1, client_burst=1, client_concurrency=1)
    assert asked(some, 100, address="127.0.0.1") == 100
    assert asked(some, 100, address="::1") == 100


@pytest.mark.parametrize("options", [{"client_rate": 0}, {"client_rate": 0, "client_burst": 1}])
def test_a_rate_of_none_is_no_limit(options):
    some, _ = limits(**options)
    assert asked(some, 5000) == 5000
    some.failed(HERE)
    some.look(HERE)


def test_so_many_of_one_client_are_worked_on_at_once():
    some, _ = limits(client_concurrency=2)
    turns = [some.take("his", HERE), some.take("his", THERE)]
    with pytest.raises(TooMany, match="`client_concurrency`") as refused:
        some.take("his", HERE)
    assert refused.value.headers == {"Retry-After": "1"}
    some.done(some.take("lab", HERE))
    some.done(turns.pop())
    some.done(some.take("his", HERE))
    some.done(turns.pop())
    assert not some._under_way


def test_v5_0_0_6_3_1_who_often_fails_to_show_who_it_is_is_not_asked_any_more():
    some, clock = limits(client_rate=1, client_burst=3)
    for _ in range(3):
        some.look(HERE)
        some.failed(HERE)
    with pytest.raises(TooMany):
        some.look(HERE)
    some.look(THERE)
    clock.now += 1
    some.look(HERE)


def test_clients_without_end_are_not_remembered_without_end():
    some, _ = limits()
    for number in range(MOST + 500):
        some.done(some.take(ANYONE, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"))
    assert len(some._ahead) == MOST


# --- over HTTP -----------------------------------------------------------------------------------


@on_one_database
@pytest.mark.parametrize(
    "path", ["/fhir/metadata", "/fhir/Patient/none", "/fhir/nowhere", "/", "/x"]
)
async def test_every_page_counts(client_with, path):
    client = client_with(client_rate=1, client_burst=3, address=HERE)
    for _ in range(3):
        assert (await client.get(path)).status in (200, 404)
    told = await client.get(path)
    assert (told.status, told.issue["code"]) == (429, "throttled")
    assert 1 <= int(told.headers["retry-after"]) <= 3
    for healthy in ("/livez", "/readyz"):
        assert (await client.get(healthy)).status == 200, "who watches the server is not held back"


@on_one_database
async def test_what_is_refused_by_its_head_counts_as_well(client_with):
    """Each is written down before it is answered, so that to send many must not be for nothing."""
    client = client_with(
        client_rate=1, client_burst=3, address=HERE, allowed_hosts=("test",), max_url=100
    )
    for headers, url in (({"Host": "x"}, "/"), ({}, "/" + "x" * 100), ({"Host": "a b"}, "/")):
        assert (await client.get(f"/fhir{url}", headers=headers)).status in (400, 414)
    assert (await client.get("/fhir/metadata")).status == 429


@on_one_database
async def test_what_is_under_way_is_counted_until_it_is_answered(server):
    app = create_app(server, Options(client_concurrency=1))
    client, waits = Client(app, address=HERE), asyncio.Event()

    async def receive():
        await waits.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        raise AssertionError(message)

    scope = {
        "type": "http", "method": "POST", "scheme": "http", "path": "/fhir/Patient",
        "raw_path": b"/fhir/Patient", "query_string": b"", "client": (HERE, 1),
        "headers": [(b"host", b"a"), (b"content-type", b"application/fhir+json")],
    }  # fmt: skip
    slow = asyncio.create_task(app(scope, receive, send))
    await asyncio.sleep(0.01)
    told = await client.get("/fhir/metadata")
    assert (told.status, told.headers["retry-after"]) == (429, "1")
    assert "`client_concurrency`" in told.issue["diagnostics"]
    assert (await Client(app, address=THERE).get("/fhir/metadata")).status == 200
    waits.set()
    await slow
    assert (await client.get("/fhir/metadata")).status == 200


@on_one_database
async def test_a_refusal_counts_as_much_as_an_answer_and_leaves_nothing_behind(client_with):
    client = client_with(client_concurrency=1, address=HERE)
    for _ in range(3):
        assert (await client.post("/fhir/Patient", b"{", headers={})).status == 415
        assert (await client.get("/fhir/Patient?x=1")).status == 400
    assert not client.app.limits._under_way


@on_one_database
async def test_a_long_answer_is_under_way_until_the_client_has_taken_it(server):
    """Who asks and does not read would else have any number of answers kept for him."""
    app = create_app(server, Options(client_concurrency=1))
    taken, begun = asyncio.Event(), []

    async def receive():
        return {"type": "http.request", "body": b""}

    async def send(message):
        if begun:
            await taken.wait()
        if message["type"] == "http.response.body":
            begun.append(len(message["body"]))

    scope = {
        "type": "http", "method": "GET", "scheme": "http", "path": "/fhir/metadata",
        "raw_path": b"/fhir/metadata", "query_string": b"", "client": (HERE, 1),
        "headers": [(b"host", b"a")],
    }  # fmt: skip
    slow = asyncio.create_task(app(scope, receive, send))
    await asyncio.sleep(0.05)
    assert begun[0] > 64 * 1024
    client = Client(app, address=HERE)
    assert (await client.get("/fhir/Patient/none")).status == 429
    taken.set()
    await slow
    assert (await client.get("/fhir/Patient/none")).status == 404
