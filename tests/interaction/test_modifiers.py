"""What codes, references and uris are asked for beyond being equal, of a server on each database.

https://hl7.org/fhir/R4/search.html#modifiers
"""

from __future__ import annotations

import pytest

from fhir_server.foundation.outcome import Invalid
from fhir_server.interaction import delete
from fhir_server.search.kinds.token import MAX_CODES
from fhir_server.store.condition.keys import PROBED
from fhir_server.store.contract.reach import only
from tests.interaction.conftest import BASE, asked, ids, put, within
from tests.terminology.known import code_system, system, value_set, where

ILLNESS, V2 = "urn:illness", "http://terminology.hl7.org/CodeSystem/v2-0203"


def location(id, part_of=None):
    found = {"resourceType": "Location", "id": id}
    return {**found, "partOf": {"reference": f"Location/{part_of}"}} if part_of else found


def procedure(id, place):
    return {
        "resourceType": "Procedure",
        "id": id,
        "status": "completed",
        "subject": {"reference": "Patient/p", "identifier": {"system": "urn:mrn", "value": id}},
        "location": {"reference": place},
    }


def condition(id, code):
    return {
        "resourceType": "Condition",
        "id": id,
        "subject": {"reference": "Patient/p"},
        **({"code": {"coding": [{"system": ILLNESS, "code": code}]}} if code else {}),
    }


WORLD = [
    {"resourceType": "Patient", "id": "p",
     "identifier": [{"system": "urn:x", "value": "7",
                     "type": {"coding": [{"system": V2, "code": "MR"}]}}]},
    location("house"),
    location("ward", "house"),
    location("room", "ward"),
    location("left", "right"),
    location("right", "left"),
    procedure("1", "Location/house"),
    procedure("2", "Location/room"),
    procedure("3", f"{BASE}/Location/left"),
    procedure("4", "http://elsewhere/Location/house"),
    condition("flu", "J10"),
    condition("cold", "J00"),
    condition("burn", "T30"),
    condition("none", None),
    {**code_system(ILLNESS, {"code": "J", "concept": [{"code": "J00"}, {"code": "J10"}]},
                   {"code": "T30"}, *(f"x{n}" for n in range(PROBED + 1))), "id": "cs"},
    {**value_set("urn:vs:lungs", where(ILLNESS, "concept is-a J")), "id": "lungs"},
    {**value_set("http://acme.org/fhir/ValueSet/all", system(ILLNESS)), "id": "all",
     "version": "2.1"},
    {**code_system("urn:large", *map(str, range(MAX_CODES + 1))), "id": "large"},
    {**value_set("urn:vs:large", system("urn:large")), "id": "vs-large"},
    *({"resourceType": "Encounter", "id": id, "status": "planned", "class": {"code": "AMB"},
       "subject": {"reference": subject},
       "participant": [{"individual": {"reference": one}} for one in people]}
      for id, subject, *people in (("met", "Patient/p", "Practitioner/d", "RelatedPerson/r"),
                                   ("kin", "http://elsewhere/Patient/p", "RelatedPerson/r"),
                                   ("herd", "Group/g", "Practitioner/d"))),
    {"resourceType": "QuestionnaireResponse", "id": "q", "status": "completed",
     "questionnaire": "http://acme.org/Questionnaire/x|1.2"},
]  # fmt: skip

# what is asked                                                            who is found
QUESTIONS = [
    ("Procedure", [("location:below", "house")], "1 2"),
    ("Procedure", [("location:below", "Location/ward")], "2"),
    ("Procedure", [("location:below", f"{BASE}/Location/right")], "3"),
    ("Procedure", [("location:below", "ward,left")], "2 3"),
    ("Procedure", [("location:below", "house"), ("location:below", "ward")], "2"),
    ("Procedure", [("location:below", "http://elsewhere/Location/house")], "4"),
    ("Procedure", [("location:below", "nowhere")], ""),
    ("Procedure", [("location:above", "room")], "1 2"),
    ("Procedure", [("location:above", "house")], "1"),
    ("Procedure", [("subject", "Patient/p"), ("location:above", "right")], "3"),
    ("Location", [("partof:below", "house")], "ward room"),
    ("Location", [("partof:above", "house")], "ward"),
    ("Procedure", [("subject:identifier", "urn:mrn|2")], "2"),
    ("Procedure", [("patient:identifier", "3")], "3"),
    ("Procedure", [("subject:identifier", "urn:mrn|")], "1 2 3 4"),
    ("Procedure", [("subject:identifier", "|2")], ""),
    ("Encounter", [("patient:missing", "false")], "met kin"),
    ("Encounter", [("patient:missing", "true")], "herd"),
    ("Encounter", [("practitioner:missing", "true")], "kin"),
    ("Encounter", [("_filter", "practitioner pr true and patient pr true")], "met"),
    ("Encounter", [("practitioner", "d"), ("patient:missing", "true")], "herd"),
    ("Patient", [("identifier:of-type", f"{V2}|MR|7")], "p"),
    ("Patient", [("identifier:of-type", f"{V2}|MR|8")], ""),
    ("Condition", [("code:in", "urn:vs:lungs")], "flu cold"),
    ("Condition", [("code:in", "ValueSet/lungs")], "flu cold"),
    ("Condition", [("code:not-in", "urn:vs:lungs")], "burn none"),
    ("Condition", [("code:in", "http://acme.org/fhir/ValueSet/all|2.1")], "flu cold burn"),
    ("Condition", [("code:not-in", "http://acme.org/fhir/ValueSet/all")], "none"),
    ("Condition", [("subject", "Patient/p"), ("code:in", f"{BASE}/ValueSet/all")],
     "flu cold burn"),
    ("Condition", [("code:below", f"{ILLNESS}|J")], "flu cold"),
    ("Condition", [("code:above", f"{ILLNESS}|J10")], "flu"),
    ("Condition", [("code:not", f"{ILLNESS}|J10")], "cold burn none"),
    ("ValueSet", [("url:below", "http://acme.org/fhir/")], "all"),
    ("ValueSet", [("url:below", "http://acme.org/fhirx")], ""),
    ("ValueSet", [("url:above", "http://acme.org/fhir/ValueSet/all/_history/5")], "all"),
    ("ValueSet", [("url", "http://acme.org/fhir/ValueSet/all|2.1")], "all"),
    ("ValueSet", [("url", "http://acme.org/fhir/ValueSet/all|2")], ""),
    ("QuestionnaireResponse", [("questionnaire:below", "http://acme.org/Questionnaire/x|1")], "q"),
    ("QuestionnaireResponse", [("questionnaire:below", "http://acme.org/Questionnaire/x|12")], ""),
    ("QuestionnaireResponse", [("questionnaire:below", "http://acme.org/Questionnaire/x")], "q"),
]  # fmt: skip


async def test_what_is_asked_for_by_a_modifier_is_found_on_either_database(server, here):
    await put(server, here, *WORLD)
    for type, pairs, expected in QUESTIONS:
        bundle = await asked(server, here, (type,), *pairs)
        assert ids(bundle) == sorted(expected.split()), pairs


async def test_what_a_caller_may_not_reach_leads_to_nothing(server, here):
    await put(server, here, *WORLD)
    some = only(types=frozenset({"Procedure"}))
    caller = within(here, some)
    for modifier, place, expected in (("below", "house", ["1"]), ("above", "room", ["2"])):
        bundle = await asked(server, caller, ("Procedure",), (f"location:{modifier}", place))
        assert ids(bundle) == expected


async def test_a_place_that_is_gone_leads_no_further(server, here):
    await put(server, here, *WORLD)
    await delete.delete(server, delete.Ask("Location", "ward"), here)
    bundle = await asked(server, here, ("Procedure",), ("location:below", "house"))
    assert ids(bundle) == ["1"]


async def test_a_value_set_too_large_is_refused_with_its_name_and_the_bound(server, here):
    await put(server, here, *WORLD)
    with pytest.raises(Invalid, match=r"`urn:vs:large`\. It has more than 5,000 codes"):
        await asked(server, here, ("Condition",), ("code:in", "urn:vs:large"))


async def test_pages_of_a_long_list_of_codes_follow_one_another(server, here):
    await put(server, here, *WORLD, *(condition(f"x{n}", f"x{n}") for n in range(5)))
    question = [("code:in", "http://acme.org/fhir/ValueSet/all"), ("_count", "3")]
    bundle = await asked(server, here, ("Condition",), *question, ("_total", "accurate"))
    assert bundle["total"] == 8
    assert len(ids(bundle)) == 3
