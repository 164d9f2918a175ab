"""Two who share nothing: neither sees a byte of the other's, and nothing the other has or changes
changes an answer, by whatever way it is asked for.

https://hl7.org/fhir/R4/security.html
"""

from __future__ import annotations

import json
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest

from fhir_server.foundation.outcome import FhirError, Invalid
from fhir_server.foundation.resource import Key
from fhir_server.interaction import delete, search, sorting
from fhir_server.interaction.context import Asked, Limits
from fhir_server.interaction.text_following import TextFollowing
from fhir_server.store import paging
from fhir_server.store.contract import rid
from fhir_server.store.contract.reach import only
from fhir_server.store.select import counting
from tests.interaction.bounds import tighten
from tests.interaction.conftest import patient, put, server_on, told, within
from tests.interaction.test_text_following import texts
from tests.search.test_custom import definition

LOINC = "http://loinc.org"
WARD = "http://here.example/ward"
THEIRS = "bravo"  # stands in everything of the other's
MANY = 12


def xhtml(text):
    return {
        "status": "generated",
        "div": f"<div xmlns='http://www.w3.org/1999/xhtml'>{text}</div>",
    }


def person(who, **more):
    extension = [{"url": WARD, "valueCode": "W1"}]
    more = {"gender": "male", "birthDate": "1990", "extension": extension, **more}
    return patient(who, f"{who} Nguyễn", text=xhtml(f"gan {who}"), **more)


def visit(id, who, **more):
    return {
        "resourceType": "Encounter", "id": id, "status": "finished",
        "class": {"code": "AMB", "display": f"at {who}"}, "text": xhtml(f"gan {who}"),
        "subject": {"reference": f"Patient/{who}"}, "period": {"start": "2026-01-05"}, **more,
    }  # fmt: skip


def measured(id, who, value=5, **more):
    return {
        "resourceType": "Observation", "id": id, "status": "final",
        "code": {"coding": [{"system": LOINC, "code": "1-1", "display": "gan"}], "text": f"{who}"},
        "subject": {"reference": f"Patient/{who}"}, "effectiveDateTime": "2026-01-05",
        "valueQuantity": {"value": value, "code": "kg", "system": "http://unitsofmeasure.org"},
        **more,
    }  # fmt: skip


def listed(id, who, *items):
    return {
        "resourceType": "List", "id": id, "status": "current", "mode": "working",
        "subject": {"reference": f"Patient/{who}"}, "title": f"{who}",
        "entry": [{"item": {"reference": item}} for item in items],
    }  # fmt: skip


# What each has refers to what the other has, too: that leads nowhere.
MINE = [
    person("alfa", link=[{"other": {"reference": "Patient/bravo"}, "type": "seealso"}]),
    visit("a1", "alfa"),
    visit("a2", "alfa", partOf={"reference": "Encounter/b1"}),
    visit("a3", "alfa", partOf={"reference": "Encounter/a1"}),
    measured("a1", "alfa", encounter={"reference": "Encounter/b1"}),
    measured("a2", "alfa", 7, performer=[{"reference": "Patient/bravo"}]),
    measured("a3", "alfa", 9, hasMember=[{"reference": "Observation/b1"}]),
    listed("al", "alfa", "Patient/bravo", "Observation/a1", "Encounter/b1"),
]
OTHERS = [
    person("bravo", link=[{"other": {"reference": "Patient/alfa"}, "type": "seealso"}]),
    *(visit(f"b{n}", "bravo", partOf={"reference": "Encounter/a1"}) for n in range(1, MANY)),
    *(
        measured(
            f"b{n}", "bravo", n, encounter={"reference": "Encounter/a1"},
            performer=[{"reference": "Patient/alfa"}],
            hasMember=[{"reference": "Observation/a1"}],
        )
        for n in range(1, MANY)
    ),
    listed("bl", "bravo", "Patient/alfa", "Observation/a1", "Encounter/a1"),
]  # fmt: skip
COMMON = [{**definition("ward", base=["Patient"], type="token"), "expression":
           f"Patient.extension('{WARD}').value"}]  # fmt: skip

ASKED = [
    "", "Patient?", "Encounter?", "Observation?", "Patient?_id=bravo", "Patient?gender=male",
    "Patient?name=nguyen", "Patient?name:contains=guye", "Patient?name:contains=n b",
    "Patient?name:exact=bravo Nguyễn", "Patient?birthdate=1990", "Patient?birthdate:missing=false",
    "Patient?_lastUpdated=gt2020", "?_lastUpdated=gt2020", "Patient?gender:not=female",
    # links
    "Encounter?subject:Patient.name=nguyen", "Encounter?subject:Patient.gender=male",
    "Encounter?part-of.status=finished", "Encounter?part-of.subject:Patient.name=bravo",
    "Encounter?part-of:missing=true", "Encounter?part-of=Encounter/b1",
    "Observation?encounter.status=finished", "Observation?encounter.subject:Patient.name=bravo",
    "Observation?performer:Patient.name=bravo", "Observation?has-member:Observation.code=1-1",
    "Patient?_has:Observation:performer:code=1-1", "Patient?_has:Observation:patient:code=1-1",
    "Patient?_has:Observation:performer:value-quantity=5", "Patient?link:Patient.name=bravo",
    "Encounter?_has:Observation:encounter:code=1-1",
    "Encounter?_has:Encounter:part-of:status=finished",
    "Encounter?_has:Observation:encounter:_has:Observation:has-member:code=1-1",
    "Observation?_has:Observation:has-member:_id=b1", "Encounter?part-of:below=a1",
    "Encounter?part-of:above=Encounter/b1", "Patient?_list=al", "Patient?_list=bl",
    "Observation?_list=al,bl", "Encounter?_has:List:item:title=bravo",
    # words, sums, filters, what is one's own
    "Patient?_text=gan", "Patient?_text=bravo", "Patient?_content=nguyen", "Encounter?_text=gan",
    "Observation?code:text=gan", "Observation?code:text=bravo",
    "Encounter?subject:Patient._text=gan", "Encounter?part-of._text=bravo",
    "Observation?code-value-quantity=1-1$gt1", "Observation?code-value-quantity=1-1$5",
    "Observation?_filter=performer[name co bravo].gender eq male",
    "Observation?_filter=not (encounter.status eq finished)", "Patient?_filter=name co bravo",
    "Patient?ward=W1", "Patient?ward:missing=true", "Encounter?subject:Patient.ward=W1",
    # what comes with it
    "Encounter?_include=Encounter:*", "Encounter?_include:iterate=Encounter:*",
    "Patient?_revinclude=Encounter:subject&_revinclude=Observation:*",
    "Patient?_include=Patient:link&_revinclude:iterate=Encounter:*",
    "Observation?_include=Observation:encounter&_include:iterate=Encounter:part-of",
    "Observation?_include=Observation:has-member&_revinclude=List:item",
    "Encounter?_revinclude:iterate=Encounter:part-of&_revinclude:iterate=Observation:encounter",
    # orders
    "Patient?_sort=family", "Patient?_sort=-family", "Patient?_sort=birthdate,gender",
    "Encounter?_sort=-_lastUpdated", "Encounter?_sort=status,-date", "Encounter?_sort=part-of",
    "Observation?_sort=value-quantity", "Observation?_sort=-date", "Observation?_sort=code,_id",
    "Observation?_sort=_id", "Patient?_sort=death-date", "Patient?_sort=ward",
    # who stands in the compartment
    "Patient/alfa/Encounter?", "Patient/bravo/Encounter?", "Patient/bravo/*?", "Patient/alfa/*?",
]  # fmt: skip
WAYS = ["", "_count=1&_total=estimate", "_count=2&_total=accurate"]


@pytest.fixture(params=["few", "many"])
def bounds(request, monkeypatch):
    """Bounds that what both have would pass, and what one has does not; or those there are."""
    if request.param == "few":
        return
    tighten(monkeypatch)
    for module in (sorting, paging):
        monkeypatch.setattr(module, "COLLECTED", len(MINE) - 1)
    monkeypatch.setattr(counting, "EXACT", 1)
    monkeypatch.setattr(counting, "FEW", len(MINE) + 1)
    monkeypatch.setattr(counting, "SAMPLES", (4, 8))


@pytest.fixture
def server(store):
    told = {"texts": TextFollowing(texts(), store), "limits": Limits(included=len(MINE))}
    return server_on(store, **told)


@pytest.fixture
def world(server, here, run):
    for resource in (*COMMON, *MINE):
        run(put(server, here, resource))
    return server


def of_one(here, who):
    reach = only(owners=frozenset({rid(Key("Patient", who))}))
    return within(here, reach, who)


def ask_of(question):
    path, _, query = question.partition("?")
    parts = path.split("/")
    pairs = parse_qsl(query, keep_blank_values=True)
    if len(parts) == 3:
        types = () if parts[2] == "*" else (parts[2],)
        return search.Ask(types, pairs, Key(parts[0], parts[1]))
    return search.Ask((path,) if path else (), pairs)


async def nothing():
    """What happens between two pages."""


async def walk(server, here, question, *, meanwhile=nothing):
    """All that is told from page to page, but the moment and the cursors."""
    ask, found = ask_of(question), []
    for _ in range(100):
        try:
            bundle = told(await search.search(server, ask, here))
        except FhirError as refusal:
            return [*found, (type(refusal).__name__, str(refusal))]
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        found.append((sorted(links), bundle.get("total"), bundle.get("entry")))
        if "next" not in links:
            return found
        pairs = parse_qsl(urlsplit(links["next"]).query, keep_blank_values=True)
        ask = replace(ask, pairs=pairs)
        await meanwhile()
    raise AssertionError(question)


async def explained(server, here, question):
    ask = ask_of(question)
    type = ask.types[0] if ask.types else None
    answer = await server.operations.perform(
        server, Asked("explain", "GET", type, pairs=ask.pairs), here
    )
    parameters = told(answer)["parameter"]
    kept = [p for p in parameters if p["name"] not in ("step", "milliseconds")]
    for step in (p["part"] for p in parameters if p["name"] == "step"):
        parts = {part["name"]: part for part in step}
        assert "statement" not in parts
        if parts.get("found", {}).get("valueInteger"):  # others are told if they took long
            kept.append((parts["name"]["valueString"], parts["found"]["valueInteger"]))
    return json.dumps(parameters, default=str), kept


async def everything(server, here):
    """What one is answered, by question."""
    found = {}
    for question in ASKED:
        for way in WAYS:
            whole = f"{question}{'&' if '?' in question else '?'}{way}"
            found[whole] = await walk(server, here, whole)
    return found


@pytest.mark.usefixtures("bounds")
async def test_nothing_of_the_others_is_seen_or_felt(world, here):
    inside = of_one(here, "alfa")
    before = await everything(world, inside)
    for resource in OTHERS:
        await put(world, here, resource)
    with_others = await everything(world, inside)
    for question, answer in with_others.items():
        assert answer == before[question], question
    for resource in OTHERS[1::2]:
        key = Key(resource["resourceType"], resource["id"])
        await delete.delete(world, delete.Ask(*key), here)
    for resource in OTHERS[2::2]:
        await put(world, here, {**resource, "language": "vi"})
    after = await everything(world, inside)
    for question, answer in after.items():
        assert answer == before[question], question
        own = {entry["resource"]["id"] for page in answer if len(page) == 3
               for entry in page[2] or () if "id" in entry["resource"]}  # fmt: skip
        assert own <= {one["id"] for one in MINE}, question


@pytest.mark.usefixtures("bounds")
async def test_what_is_explained_tells_nothing_of_them(world, here):
    inside = of_one(here, "alfa")
    questions = [q for q in ASKED if q.count("/") != 2 and "=b" not in q]
    before = {question: await explained(world, inside, question) for question in questions}
    for resource in OTHERS:
        await put(world, here, resource)
    for question in questions:
        text, kept = await explained(world, inside, question)
        assert kept == before[question][1], question
        assert THEIRS not in text or THEIRS in question, question


@pytest.mark.usefixtures("bounds")
async def test_what_others_write_between_two_pages_changes_neither(world, here):
    inside = of_one(here, "alfa")
    orders = ("date", "-date", "-_lastUpdated", "_lastUpdated", "status,-date", "_id")
    questions = [f"Observation?_count=1&_sort={order}" for order in orders]
    questions += ["Patient?_count=1&_sort=family", "?_count=1", "?_count=1&_content=gan"]
    before = {question: await walk(world, inside, question) for question in questions}
    for question in questions:
        version = 0

        async def others():
            nonlocal version
            version += 1
            for resource in OTHERS:
                told = {"lastUpdated": f"2026-01-0{version}T00:00:00Z", "source": f"urn:{version}"}
                await put(world, here, {**resource, "meta": told})

        assert await walk(world, inside, question, meanwhile=others) == before[question], question


async def test_a_cursor_of_anothers_leads_nowhere(world, here):
    """It is for whom it was given to: a page of another's tells where theirs begins."""
    for resource in OTHERS:
        await put(world, here, resource)
    for order in ("_id", "-_lastUpdated", "date", "status,-date"):
        first = told(
            await search.search(
                world,
                search.Ask(("Encounter",), [("_sort", order), ("_count", "1")]),
                of_one(here, "bravo"),
            )
        )
        (link,) = (link["url"] for link in first["link"] if link["relation"] == "next")
        pairs = parse_qsl(urlsplit(link).query)
        with pytest.raises(Invalid, match="somebody else"):
            await search.search(world, search.Ask(("Encounter",), pairs), of_one(here, "alfa"))
