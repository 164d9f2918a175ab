"""Who is not admitted is told nothing; who is, nothing of what others have. Over HTTP, by policy.

https://hl7.org/fhir/R4/security.html#AccessDenied
"""

from __future__ import annotations

import pytest

from fhir_server.foundation.outcome import Unauthorized
from fhir_server.interaction.context import EVERYBODY, Admitted
from fhir_server.rest.app import create_app
from fhir_server.rest.options import Options
from fhir_server.security.agreeing import SILENCE
from fhir_server.security.caller import Caller
from fhir_server.security.decision import decide
from fhir_server.security.policy_file import built_in
from fhir_server.security.tokens.credentials import bearer, refused
from tests.interaction.conftest import patient, server_on
from tests.rest.client import Client
from tests.rest.conftest import Lines

CALLERS = {
    "Bearer hue": Caller("his", user="Practitioner/1", facility="hue", roles=frozenset({"doctor"})),
    "Bearer hanoi": Caller(
        "his", user="Practitioner/2", facility="hanoi", roles=frozenset({"doctor"})
    ),
    "Bearer runs": Caller("ops", roles=frozenset({"operator"})),
}
NAMES = ("hue", "hanoi", "runs", "all")
HUE, HANOI, RUNS, ALL = ({"Authorization": f"Bearer {name}"} for name in NAMES)
HUE_PATIENT = {"managingOrganization": {"reference": "Organization/hue"}}


class Doors:
    """Knows some tokens by heart."""

    async def admitted(self, credentials):
        if credentials.authorization == "Bearer all":
            return EVERYBODY
        caller = CALLERS.get(credentials.authorization)
        if caller is None:
            raise Unauthorized("Who asks?", headers={"WWW-Authenticate": "Bearer"})
        return Admitted(caller, decide(built_in(), caller, SILENCE))


@pytest.fixture
def server(store):
    return server_on(store, gate=Doors())


@pytest.fixture
def client(server):
    return Client(create_app(server, Options(), write_log=Lines()))


@pytest.fixture
def world(client, run):
    body = patient("b", "Secret", **HUE_PATIENT)
    assert run(client.request("PUT", "/fhir/Patient/b", body, headers=ALL)).status == 201
    return client


PATIENT = patient("b", "Other")
BATCH = {"resourceType": "Bundle", "type": "batch", "entry": []}
# method, path below the base, body
ROUTES = [
    ("GET", "Patient/b", None),
    ("HEAD", "Patient/b", None),
    ("GET", "Patient/b/_history", None),
    ("GET", "Patient/b/_history/1-aaaaaaaaaaaaaaaaaaaaaaaaaa", None),
    ("PUT", "Patient/b", PATIENT),
    ("PATCH", "Patient/b", [{"op": "remove", "path": "/name"}]),
    ("DELETE", "Patient/b", None),
    ("DELETE", "Patient?name=secret", None),
    ("POST", "Patient", PATIENT),
    ("GET", "Patient?name=secret", None),
    ("POST", "Patient/_search", b"name=secret"),
    ("GET", "?_type=Patient", None),
    ("GET", "Patient/b/*", None),
    ("GET", "Patient/_history", None),
    ("GET", "_history", None),
    ("POST", "", BATCH),
    ("POST", "Patient/$validate", PATIENT),
    ("GET", "Patient/b/$validate", None),
    ("GET", "Patient/$explain?name=secret", None),
    ("POST", "$reindex", None),
    ("GET", "$reindex-status", None),
    ("GET", "nowhere", None),
    ("GET", "/", None),
    ("POST", "/", BATCH),
    ("GET", "%2e/Patient/b", None),
    ("GET", "metadata/", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_v5_0_0_8_3_1_no_route_is_answered_without_who_asks(world, method, path, body):
    for headers in ({}, {"Authorization": "Bearer no"}, {"X-HTTP-Method-Override": "GET"}):
        for there, nowhere in ((path, path.replace("/b", "/none").replace("secret", "none")),):
            one = await world.request(method, f"/fhir/{there}", body, headers=headers)
            other = await world.request(method, f"/fhir/{nowhere}", body, headers=headers)
            assert one.status == other.status == 401
            assert one.body == other.body
            assert one.headers["www-authenticate"] == "Bearer"
            assert b"ecret" not in one.body


async def test_what_the_server_offers_is_told_to_all(world):
    assert (await world.request("GET", "/fhir/metadata")).status == 200
    assert (await world.request("OPTIONS", "/fhir/Patient")).status == 204
    assert (await world.request("GET", "/livez")).status == 200


# method, path, body; `*` is an id
UNSEEN = [
    ("GET", "Patient/*", None),
    ("GET", "Patient/*/_history", None),
    ("GET", "Patient?_id=*", None),
    ("GET", "Patient?_id=*&_summary=count", None),
    ("GET", "Observation?subject=Patient/*", None),
    ("PUT", "Patient/*", "patient"),
    ("PATCH", "Patient/*", [{"op": "remove", "path": "/name"}]),
    ("GET", "Patient/*/$validate", None),
    ("GET", "Patient/*/Observation", None),
]
CHANGING = ("date", "x-request-id", "last-modified", "etag", "content-length")


@pytest.mark.parametrize(("method", "path", "body"), UNSEEN)
async def test_what_is_anothers_is_answered_as_what_is_not_there(world, method, path, body):
    told = []
    for id in ("b", "f"):
        sent = patient(id) if body == "patient" else body
        kind = "application/json-patch+json" if method == "PATCH" else "application/fhir+json"
        headers = {**HANOI, "Content-Type": kind}
        answer = await world.request(
            method, f"/fhir/{path.replace('*', id)}", sent, headers=headers
        )
        heads = {name for name in answer.headers if name not in CHANGING}
        body_told = answer.json
        body_told.pop("meta", None)
        text = str(body_told).replace(f"Patient/{id}", "Patient/*").replace(f"_id={id}", "_id=*")
        told.append((answer.status, heads, _still(text)))
    assert told[0] == told[1]


def _still(text: str) -> str:
    """Without the clock's word."""
    before, mark, after = text.partition("'timestamp': '")
    return before + after.partition("'")[2] if mark else text


async def test_two_users_of_one_client_have_their_own_idempotency_keys(world):
    headers = {"Idempotency-Key": "one", "Prefer": "return=representation"}
    body = patient(family="Mine")
    hue = await world.request("POST", "/fhir/Patient", body, headers=HUE | headers)
    hanoi = await world.request("POST", "/fhir/Patient", body, headers=HANOI | headers)
    again = await world.request("POST", "/fhir/Patient", body, headers=HUE | headers)
    assert (hue.status, hanoi.status) == (201, 201)
    assert hue.headers["location"] != hanoi.headers["location"]
    assert again.headers["location"] == hue.headers["location"]
    assert "idempotent-replayed" not in hanoi.headers


async def test_a_link_to_the_next_page_is_for_whom_it_was_given_to(world):
    for _ in range(2):
        await world.request("POST", "/fhir/Patient", patient(family="Mine"), headers=HUE)
    page = await world.request("GET", "/fhir/Patient?_count=1&_sort=family", headers=HUE)
    (link,) = (one["url"] for one in page.json["link"] if one["relation"] == "next")
    path = link.partition("://test")[2]
    assert (await world.request("GET", path, headers=HUE)).status == 200
    other = await world.request("GET", path, headers=HANOI)
    assert (other.status, other.issue["code"]) == (400, "invalid")


async def test_how_much_there_is_is_told_to_who_runs_the_server(world):
    for headers, counted in (({}, False), (HUE, False), (RUNS, True), (ALL, True)):
        page = await world.request("GET", "/", headers=headers)
        assert page.status == 200
        assert (b"What is in it" in page.body) == counted
    statuses = [
        (await world.request("GET", "/metrics", headers=headers)).status
        for headers in ({}, HUE, RUNS, ALL)
    ]
    assert statuses == [401, 403, 200, 200]
    asked = [
        (await world.request("POST", "/fhir/$reindex", headers=headers)).status
        for headers in ({}, HUE, RUNS, ALL)
    ]
    assert asked == [401, 403, 202, 202]


@pytest.mark.parametrize(
    ("token", "english", "vietnamese"),
    [
        (None, "Who asks must be told", "Máy chủ cần biết ai đang hỏi"),
        ("a.b", "may be over", "có thể đã hết hạn"),
        ("no-role", "has no role", "chưa có vai trò"),
        ("no-basis", "needs a basis", "cần căn cứ"),
    ],
)
async def test_who_is_refused_is_told_why_in_either_language(store, token, english, vietnamese):
    client = Client(create_app(server_on(store, gate=Speaking()), Options(), write_log=Lines()))
    who = {"Authorization": f"Bearer {token}"} if token else {}
    for language, said in (("en", english), ("vi", vietnamese)):
        told = await client.get("/fhir/Patient/b", headers=who | {"Accept-Language": language})
        assert told.status in (401, 403)
        assert said in told.json["issue"][0]["diagnostics"]


class Speaking:
    """Refuses as a server does that asks who calls."""

    async def admitted(self, credentials):
        token = bearer(credentials)
        if token == "a.b":
            raise refused()
        roles = {"no-basis": {"analyst"}}.get(token, set())
        caller = Caller("his", roles=frozenset(roles))
        return Admitted(caller, decide(built_in(), caller, SILENCE))
