"""Who reads what was written down: the auditor all of it, patients what is told of themselves, and
nobody else anything.

https://hl7.org/fhir/R4/auditevent.html
"""

from __future__ import annotations

import json

import pytest

from fhir_server.foundation.outcome import Unauthorized
from fhir_server.interaction.context import EVERYBODY, Admitted
from fhir_server.rest.app import create_app
from fhir_server.rest.options import Options
from fhir_server.security.agreeing import SILENCE
from fhir_server.security.caller import Caller
from fhir_server.security.decision import decide
from fhir_server.security.policy_file import built_in
from fhir_server.security.scope import parse
from fhir_server.store.contract import KeyIs
from tests.interaction.conftest import patient, server_on
from tests.rest.client import Client, on_one_database
from tests.rest.conftest import Lines

REASON = "Bệnh nhân hôn mê, không có người nhà"
HUE = {"facility": "hue", "user": "Practitioner/d"}
AUDITOR = {"user": "Practitioner/x", "roles": frozenset({"auditor"})}


def role(name, **more):
    return Caller("app", roles=frozenset({name}), **more)


def scoped(text, **more):
    return Caller("app", scopes=parse(text), **more)


# Who they are                                                     the audit     who viewed an
CALLERS = {
    "doctor": (role("doctor", **HUE), "empty", 403),
    "clerk": (role("clerk", **HUE), "empty", 403),
    "doctor elsewhere": (role("doctor", facility="hanoi"), "empty", 404),
    "doctor with an at hand": (role("doctor", patient="an", **HUE), "empty", 403),
    "broken glass": (
        role("doctor", user="Practitioner/d", patient="an", purpose="BTG", reason=REASON),
        "empty",
        403,
    ),
    "an": (role("citizen", user="Patient/an", patient="an"), "empty", 200),
    "an with scopes": (
        scoped("patient/*.rs", roles=frozenset({"citizen"}), user="Patient/an", patient="an"),
        "empty",
        200,
    ),
    "an who asked for a part": (
        scoped("patient/Patient.r?gender=male", roles=frozenset({"citizen"}), patient="an"),
        "empty",
        404,
    ),
    "an who asked for visits": (
        scoped(
            "patient/Encounter.rs", roles=frozenset({"citizen"}), user="Patient/an", patient="an"
        ),
        "empty",
        404,
    ),
    "another citizen": (role("citizen", user="Patient/binh", patient="binh"), "empty", 404),
    "auditor": (Caller("app", basis="Decision 3/QD", **AUDITOR), "whole", 200),
    "auditor by scope": (scoped("user/AuditEvent.rs", basis="Decision 3", **AUDITOR), "whole", 200),
    "auditor who may not search": (
        scoped("user/AuditEvent.r", basis="Decision 3", **AUDITOR),
        "read alone",
        404,
    ),
    "auditor of a part": (
        scoped("user/AuditEvent.rs?date=gt2020", basis="Decision 3", **AUDITOR),
        "part",
        404,
    ),
    "auditor without a basis": (Caller("app", **AUDITOR), "refused", 403),
    "analyst": (role("analyst", basis="Decision 12"), "empty", 403),
    "analyst of an": (role("analyst", basis="Decision 12", patient="an"), "empty", 403),
    "operator": (role("operator"), "empty", 404),
    "nobody": (None, "unknown", 401),
}
SEARCHED = {"part": 403, "refused": 403, "unknown": 401}
READ = {"whole": 200, "read alone": 200, "refused": 403, "unknown": 401}


def some(type, parameters):
    """What a scope's parameters mean: here, anything."""
    return KeyIs(1)


class Doors:
    """Knows some callers by heart."""

    async def admitted(self, credentials):
        told = (credentials.authorization or "").removeprefix("Bearer ")
        if told == "all":
            return EVERYBODY
        caller = CALLERS.get(told, (None,))[0]
        if caller is None:
            raise Unauthorized("Who asks?", headers={"WWW-Authenticate": "Bearer"})
        return Admitted(caller, decide(built_in(), caller, SILENCE, meaning=some))


@pytest.fixture
def client(store):
    return Client(
        create_app(server_on(store, gate=Doors(), audit=True), Options(), write_log=Lines())
    )


@pytest.fixture
def world(client, run):
    """Two patients of one facility, whose records somebody has seen."""
    here = {"managingOrganization": {"reference": "Organization/hue"}}
    for id in ("an", "binh"):
        run(client.put(f"/fhir/Patient/{id}", patient(id, id, **here), headers=by("all")))
    run(client.get("/fhir/Patient?_id=an,binh", headers=by("all")))
    return client


def by(name):
    return {"Authorization": f"Bearer {name}"}


def resources(answer):
    return [each["resource"] for each in answer.json.get("entry", ())]


@on_one_database
@pytest.mark.parametrize("name", CALLERS)
async def test_v5_0_0_16_4_2_the_audit_is_read_by_who_may_read_all_of_it(world, name):
    _, reaches, _ = CALLERS[name]
    found = resources(await world.get("/fhir/AuditEvent", headers=by("all")))
    there, never = found[-1]["id"], "1-1"
    for query in ("", "?patient=Patient/an", "?date=gt2020", "?_count=1", "?agent=Practitioner/d"):
        answer = await world.get(f"/fhir/AuditEvent{query}", headers=by(name))
        assert answer.status == SEARCHED.get(reaches, 200), (query, answer.body)
        if answer.status == 200 and reaches != "whole":
            assert resources(answer) == []
            assert "next" not in {link["relation"] for link in answer.json["link"]}
    if reaches == "whole":
        answer = await world.get("/fhir/AuditEvent?patient=Patient/an", headers=by(name))
        assert {"search-type", "update"} <= {one["subtype"][0]["code"] for one in resources(answer)}
    for path in (there, f"{there}/_history/1"):
        one = await world.get(f"/fhir/AuditEvent/{path}", headers=by(name))
        assert one.status == READ.get(reaches, 404), one.body
        other = await world.get(f"/fhir/AuditEvent/{path.replace(there, never)}", headers=by(name))
        assert other.status == (404 if one.status == 200 else one.status)
        if one.status == 404:
            assert one.json == json.loads(other.body.replace(never.encode(), there.encode()))


@on_one_database
@pytest.mark.parametrize("name", CALLERS)
async def test_who_viewed_a_record_is_told_to_its_patient_and_to_the_auditor(world, name):
    *_, status = CALLERS[name]
    answer = await world.get("/fhir/Patient/an/$who-viewed", headers=by(name))
    assert answer.status == status, answer.body
    if status == 200:
        told = json.dumps(resources(answer))
        assert "Patient/an" in told
        assert "binh" not in told
    else:
        assert b"entry" not in answer.body
    if status == 404:
        never = await world.get("/fhir/Patient/never/$who-viewed", headers=by(name))
        assert never.json == json.loads(answer.body.replace(b"Patient/an", b"Patient/never"))


@on_one_database
async def test_of_a_patient_who_never_was_an_auditor_is_told_that_nobody_saw_them(world):
    answer = await world.get("/fhir/Patient/never/$who-viewed", headers=by("auditor"))
    assert (answer.status, resources(answer)) == (200, [])


@on_one_database
async def test_who_looks_into_the_audit_is_written_down_as_well(world):
    await world.get("/fhir/AuditEvent?patient=Patient/an", headers=by("auditor"))
    await world.get("/fhir/AuditEvent?patient=Patient/an", headers=by("doctor"))
    found = resources(await world.get("/fhir/AuditEvent?altid=app", headers=by("all")))
    asked = [one for one in found if one["subtype"][0]["code"] == "search-type"]
    assert [one["agent"][-1]["role"][0]["text"] for one in asked if "role" in one["agent"][-1]]
    assert "auditor" in json.dumps(asked)
    assert len(asked) == 2


@on_one_database
async def test_a_link_of_the_auditor_opens_for_nobody_else(world):
    answer = await world.get("/fhir/AuditEvent?_count=1", headers=by("auditor"))
    (onward,) = [link["url"] for link in answer.json["link"] if link["relation"] == "next"]
    path = onward.partition("http://test")[2]
    assert len(resources(await world.get(path, headers=by("auditor")))) == 1
    for name in ("doctor", "an", "auditor of a part"):
        other = await world.get(path, headers=by(name))
        assert other.status in (400, 403) or resources(other) == []


# asked                              status     the elements of what is found
SHAPES = [
    ("?_summary=count", 400, None),
    ("?_summary=nonsense", 400, None),
    ("?_elements=recorded", 200, {"resourceType", "id", "meta", "recorded"}),
    ("?_summary=false&_count=1", 200, None),
]


@on_one_database
@pytest.mark.parametrize(("query", "status", "elements"), SHAPES)
async def test_audit_events_are_told_in_the_shape_asked_for_or_refused(
    world, query, status, elements
):
    answer = await world.get(f"/fhir/AuditEvent{query}", headers=by("auditor"))
    assert answer.status == status, answer.body
    if elements is not None:
        for one in resources(answer):
            assert elements <= set(one) <= elements | {"type", "agent", "source"}
