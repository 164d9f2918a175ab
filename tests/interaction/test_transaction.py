"""https://hl7.org/fhir/R4/http.html#trules"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from fhir_server.foundation.outcome import (
    FhirError,
    Gone,
    Invalid,
    NotFound,
    PreconditionFailed,
    TooLarge,
    Unprocessable,
)
from fhir_server.foundation.resource import Key
from fhir_server.interaction import bundle, history, read, search, update
from fhir_server.interaction.context import Limits
from tests.interaction.conftest import patient, server_on, told
from tests.interaction.test_batch import entry, statuses

P, E, THIRD = "urn:uuid:00000000-0000-4000-8000-00000000000" + "1", "urn:oid:1.2.3", "urn:uuid:3"
AMB = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}


def transaction(*entries):
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


def named(full_url, made):
    return {"fullUrl": full_url, **made}


def encounter(subject, **more):
    return {
        "resourceType": "Encounter",
        "status": "finished",
        "class": AMB,
        "subject": {"reference": subject},
        **more,
    }


async def done(server, here, *entries):
    answer = await bundle.bundle(server, bundle.Ask(transaction(*entries)), here)
    return told(answer).get("entry", [])


async def resource(server, here, location):
    type, id, *_ = location.split("/")
    return told(await read.read(server, read.Ask(Key(type, id)), here))


async def everything(server, here):
    return told(await history.history(server, history.Ask(None, None), here))["total"]


async def test_names_in_the_bundle_become_references(server, here):
    answers = await done(
        server,
        here,
        named(E, entry("POST", "Encounter", encounter(P))),
        named(
            P,
            entry("POST", "Patient", patient(managingOrganization={"reference": "Organization/o"})),
        ),
        named(
            f"{here.base}/Organization/o",
            entry(
                "PUT", "Organization/o", {"resourceType": "Organization", "id": "o", "name": "X"}
            ),
        ),
    )
    assert statuses(answers) == [201, 201, 201]
    visit = await resource(server, here, answers[0]["response"]["location"])
    person = answers[1]["response"]["location"].rpartition("/_history/")[0]
    assert visit["subject"]["reference"] == person
    stored = await resource(server, here, person)
    assert stored["managingOrganization"]["reference"] == "Organization/o"


async def test_links_of_every_kind_are_replaced_and_canonicals_are_not(server, here):
    person = patient(
        text={
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{E}">x</a>{E}</div>',
        },
        extension=[
            {"url": "http://x.example/uri", "valueUri": E},
            {"url": "http://x.example/canonical", "valueCanonical": E},
            {"url": "http://x.example/string", "valueString": E},
            {"url": "http://x.example/ref", "valueReference": {"reference": E}},
        ],
        contained=[
            {"resourceType": "Basic", "id": "c", "code": {"text": "x"}, "subject": {"reference": E}}
        ],
        link=[{"other": {"reference": "Patient/second"}, "type": "seealso"}],
        generalPractitioner=[{"reference": "#c2"}],
    )
    person["contained"].append({"resourceType": "Practitioner", "id": "c2"})
    person["extension"].append({"url": "http://x.example/c", "valueReference": {"reference": "#c"}})
    other = patient("second")
    answers = await done(
        server,
        here,
        named(f"{here.base}/Patient/first", entry("POST", "Patient", person)),
        named(E, entry("POST", "Patient", patient())),
        named(f"{here.base}/Patient/second", entry("POST", "Patient", other)),
    )
    stored = await resource(server, here, answers[0]["response"]["location"])
    two, three = (a["response"]["location"].partition("/_history")[0] for a in answers[1:])
    values = [list(e.values())[1] for e in stored["extension"]]
    assert values == [two, E, E, {"reference": two}, {"reference": "#c"}]
    assert f'href="{two}"' in stored["text"]["div"]
    assert f">x</a>{E}<" in stored["text"]["div"]
    assert stored["contained"][0]["subject"]["reference"] == two
    assert stored["link"][0]["other"]["reference"] == three


async def test_circles_are_no_trouble(server, here):
    def linked(other):
        return patient(link=[{"other": {"reference": other}, "type": "seealso"}])

    answers = await done(
        server,
        here,
        named(P, entry("POST", "Patient", linked(THIRD))),
        named(THIRD, entry("POST", "Patient", linked(P))),
    )
    one, two = (a["response"]["location"].partition("/_history")[0] for a in answers)
    assert (await resource(server, here, one))["link"][0]["other"]["reference"] == two
    assert (await resource(server, here, two))["link"][0]["other"]["reference"] == one


async def test_version_specific_references_name_the_new_version(server, here):
    provenance = {
        "resourceType": "Provenance",
        "target": [{"reference": f"{here.base}/Patient/a/_history/1"}],
        "recorded": "2026-11-22T07:00:00Z",
        "agent": [{"who": {"display": "x"}}],
    }
    answers = await done(
        server,
        here,
        entry("POST", "Provenance", provenance),
        named(f"{here.base}/Patient/a", entry("POST", "Patient", patient("a"))),
    )
    stored = await resource(server, here, answers[0]["response"]["location"])
    assert stored["target"][0]["reference"] == answers[1]["response"]["location"]


async def test_version_specific_references_in_a_circle_are_refused(server, here):
    def linked(other):
        return patient(link=[{"other": {"reference": f"{other}/_history/1"}, "type": "seealso"}])

    base = f"{here.base}/Patient/"
    with pytest.raises(Unprocessable, match="circle"):
        await done(
            server,
            here,
            named(base + "a", entry("POST", "Patient", linked(base + "b"))),
            named(base + "b", entry("POST", "Patient", linked(base + "a"))),
        )
    assert await everything(server, here) == 0


async def test_conditional_references(server, here):
    person = patient("a", identifier=[{"system": "u", "value": "1"}])
    await update.update(server, update.Ask("Patient", "a", person), here)
    answers = await done(
        server, here, entry("POST", "Encounter", encounter("Patient?identifier=u|1"))
    )
    stored = await resource(server, here, answers[0]["response"]["location"])
    assert stored["subject"]["reference"] == "Patient/a"
    for reference in ("Patient?identifier=u|2", "Shoe?x=1", "Patient?shoe=1", "Patient?_count=1"):
        with pytest.raises(FhirError) as refusal:
            await done(server, here, entry("POST", "Encounter", encounter(reference)))
        assert 400 <= refusal.value.status < 500
        assert refusal.value.issues[0].expression.startswith("Bundle.entry[0]")


async def test_a_conditional_reference_finds_what_the_same_bundle_creates(server, here):
    """R4 http#trules resolves conditional references last."""
    answers = await done(
        server,
        here,
        entry("POST", "Encounter", encounter("Patient?identifier=u|9")),
        entry("POST", "Patient", patient(identifier=[{"system": "u", "value": "9"}])),
    )
    stored = await resource(server, here, answers[0]["response"]["location"])
    person = answers[1]["response"]["location"].partition("/_history")[0]
    assert stored["subject"]["reference"] == person
    with pytest.raises(PreconditionFailed, match="more than one"):
        await done(
            server,
            here,
            entry("POST", "Encounter", encounter("Patient?identifier=u|9")),
            entry("POST", "Patient", patient(identifier=[{"system": "u", "value": "9"}])),
        )


async def test_references_follow_what_a_conditional_create_found(server, here):
    person = patient(identifier=[{"system": "u", "value": "1"}])
    visit = [
        named(P, entry("POST", "Patient", person, ifNoneExist="identifier=u|1")),
        entry("POST", "Encounter", encounter(P)),
    ]
    first = await done(server, here, *visit)
    second = await done(server, here, *visit)
    assert (statuses(first), statuses(second)) == ([201, 201], [200, 201])
    assert second[0]["response"]["location"] == first[0]["response"]["location"]
    stored = await resource(server, here, second[1]["response"]["location"])
    assert stored["subject"]["reference"] in first[0]["response"]["location"]


async def test_visits_at_once_make_each_patient_once(server, here):
    def visit(number):
        person = patient(identifier=[{"system": "u", "value": str(number)}])
        return [
            named(P, entry("POST", "Patient", person, ifNoneExist=f"identifier=u|{number}")),
            entry("POST", "Encounter", encounter(P)),
        ]

    await asyncio.gather(*(done(server, here, *visit(n % 4)) for n in range(32)))
    for type, expected in (("Patient", 4), ("Encounter", 32)):
        asked = search.Ask((type,), [("_summary", "count")])
        assert told(await search.search(server, asked, here))["total"] == expected


ONE = patient("a", identifier=[{"system": "u", "value": "1"}])
REFUSED = [
    # the second entry spoils the whole
    (entry("POST", "Patient", patient(gender="M")), Invalid),
    (entry("PUT", "Patient/b", patient("c")), Invalid),
    (entry("PUT", "Patient/a", patient("a"), ifMatch='W/"1-x"'), PreconditionFailed),
    (entry("POST", "Patient", patient(), ifNoneExist="family=nguyen"), PreconditionFailed),
    (entry("GET", "Patient/never"), NotFound),
    (entry("GET", "Patient?shoe=1"), FhirError),
    (entry("GET", "Shoe/1"), FhirError),
    (entry("POST", "Shoe", {"resourceType": "Shoe"}), FhirError),
    (entry("PUT", "Patient/new", patient("new")), Invalid),  # twice: see the first entry
    (entry("DELETE", "Patient/new"), Invalid),
    (entry("POST", "Encounter", encounter("Patient?identifier=u|none")), PreconditionFailed),
]


@pytest.mark.parametrize(("spoiler", "refusal"), REFUSED)
async def test_one_refusal_refuses_all(server, here, spoiler, refusal):
    for person in (ONE, patient("b2")):
        await update.update(server, update.Ask("Patient", person["id"], person), here)
    before = await everything(server, here)
    with pytest.raises((refusal, FhirError)) as raised:
        await done(server, here, entry("PUT", "Patient/new", patient("new")), spoiler)
    assert 400 <= raised.value.status < 500
    assert "Bundle.entry[1]" in raised.value.issues[0].expression
    assert await everything(server, here) == before


async def test_two_entries_that_mean_one_resource_are_both_named(server, here):
    await update.update(server, update.Ask("Patient", "a", ONE), here)
    for twice in (
        entry("PUT", "Patient?identifier=u|1", patient(family="X")),
        entry("DELETE", "Patient?identifier=u|1"),
        entry("POST", "Patient", patient(), ifNoneExist="identifier=u|1"),
    ):
        with pytest.raises(Invalid, match=r"entry\[0\].*entry\[1\]"):
            await done(server, here, entry("PUT", "Patient/a", patient("a", "Y")), twice)
    same = entry("POST", "Patient", patient(), ifNoneExist="identifier=u|2")
    with pytest.raises(Invalid, match=r"entry\[0\].*entry\[1\]"):
        await done(server, here, same, same)


async def test_order_of_entries_does_not_matter(server, here):
    await update.update(server, update.Ask("Patient", "old", patient("old")), here)
    answers = await done(
        server,
        here,
        entry("GET", "Patient/new"),
        entry("GET", "Patient?family=nguyen"),
        entry("PUT", "Patient/new", patient("new")),
        entry("DELETE", "Patient/old"),
        entry("HEAD", "Patient/new"),
    )
    assert statuses(answers) == [200, 200, 201, 204, 200]
    assert answers[0]["resource"]["id"] == "new"
    assert [e["resource"]["id"] for e in answers[1]["resource"]["entry"]] == ["new"]
    assert "resource" not in answers[4]
    with pytest.raises((Gone, NotFound)):
        await done(server, here, entry("GET", "Patient/new"), entry("DELETE", "Patient/new"))


async def test_patch_in_a_transaction(server, here):
    await update.update(server, update.Ask("Patient", "a", ONE), here)
    change = {
        "resourceType": "Parameters",
        "parameter": [
            {
                "name": "operation",
                "part": [
                    {"name": "type", "valueCode": "add"},
                    {"name": "path", "valueString": "Patient"},
                    {"name": "name", "valueString": "birthDate"},
                    {"name": "value", "valueDate": "1990-01-01"},
                ],
            }
        ],
    }
    answers = await done(server, here, entry("PATCH", "Patient/a", change))
    assert statuses(answers) == [200]
    assert (await resource(server, here, "Patient/a"))["birthDate"] == "1990-01-01"
    with pytest.raises(FhirError):
        await done(server, here, entry("PATCH", "Patient/none", change))


async def test_prefer_representation_brings_the_resources(server, here):
    plain = await done(server, here, entry("PUT", "Patient/a", patient("a")))
    assert "resource" not in plain[0]
    whole = await done(
        server, replace(here, representation=True), entry("PUT", "Patient/b", patient("b"))
    )
    assert whole[0]["resource"]["id"] == "b"
    assert whole[0]["fullUrl"].endswith("/Patient/b")


async def test_five_thousand_entries(server, here):
    entries = [entry("PUT", f"Patient/p{n}", patient(f"p{n}")) for n in range(5000)]
    answers = await done(server, here, *entries)
    assert statuses(answers) == [201] * 5000
    asked = search.Ask(("Patient",), [("_summary", "count")])
    assert told(await search.search(server, asked, here))["total"] == 5000


async def test_the_bound_of_entries_is_named(store, here):
    small = server_on(store, limits=Limits(bundle_entries=2))
    entries = [entry("PUT", f"Patient/p{n}", patient(f"p{n}")) for n in range(3)]
    with pytest.raises(TooLarge, match="bundle_entries"):
        await done(small, here, *entries)


async def test_an_empty_transaction_is_no_error(server, here):
    answer = await bundle.bundle(
        server, bundle.Ask({"resourceType": "Bundle", "type": "transaction"}), here
    )
    assert told(answer) == {"resourceType": "Bundle", "type": "transaction-response"}
