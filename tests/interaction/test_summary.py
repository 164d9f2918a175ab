"""https://hl7.org/fhir/R4/search.html#summary and #elements, in searches of what is stored."""

from __future__ import annotations

from decimal import Decimal

import pytest

from fhir_server.foundation.outcome import Invalid
from tests.interaction.conftest import put, searched

TEXT = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Tóm tắt</div>'}
CODE = {"text": "x"}
WORLD = [
    {
        "resourceType": "Patient", "id": "p", "text": TEXT, "gender": "male",
        "name": [{"family": "Ngô"}], "contact": [{"name": {"text": "Mẹ"}}],
        "communication": [{"language": {"text": "vi"}}], "birthDate": "1990",
        "multipleBirthInteger": 2,
    },
    {
        "resourceType": "Encounter", "id": "e", "text": TEXT, "status": "finished",
        "class": {"code": "AMB"}, "subject": {"reference": "Patient/p"},
        "reasonCode": [CODE], "serviceProvider": {"display": "Trạm"},
        "hospitalization": {"origin": {"display": "nhà"}},
    },
    {
        "resourceType": "Observation", "id": "o", "text": TEXT, "status": "final", "code": CODE,
        "subject": {"reference": "Patient/p"}, "valueQuantity": {"value": 37, "unit": "C"},
        "note": [{"text": "n"}], "interpretation": [CODE], "issued": "2026-01-05T00:30:00+07:00",
    },
    {
        "resourceType": "ValueSet", "id": "v", "text": TEXT, "status": "active",
        "url": "http://x.example/v", "name": "V", "purpose": "why", "description": "what",
        "compose": {"include": [{"system": "http://x.example/s"}]},
    },
    {
        "resourceType": "Organization", "id": "g", "text": TEXT, "name": "Trạm",
        "alias": ["T"], "telecom": [{"system": "phone", "value": "1"}],
    },
]  # fmt: skip

# of what         what is asked               what is left beside resourceType, id and meta
FORMS = [
    ("Patient", "_summary=true", "name gender birthDate"),
    ("Patient", "_summary=text", "text"),
    ("Patient", "_summary=data",
     "gender name contact communication birthDate multipleBirthInteger"),
    ("Patient", "_summary=false",
     "text gender name contact communication birthDate multipleBirthInteger"),
    ("Encounter", "_summary=true", "status class subject reasonCode"),
    ("Encounter", "_summary=text", "text status class"),
    ("Encounter", "_summary=data",
     "status class subject reasonCode serviceProvider hospitalization"),
    ("Observation", "_summary=true", "status code subject valueQuantity issued"),
    ("Observation", "_summary=text", "text status code"),
    ("Observation", "_summary=data",
     "status code subject valueQuantity note interpretation issued"),
    ("ValueSet", "_summary=true", "url name status"),
    ("ValueSet", "_summary=text", "text status"),
    ("Organization", "_summary=true", "name"),
    ("Organization", "_summary=text", "text"),
    ("Organization", "_summary=data", "name alias telecom"),
    ("Patient", "_elements=birthDate", "birthDate"),
    ("Patient", "_elements=multipleBirth", "multipleBirthInteger"),
    ("Patient", "_elements=Patient.name,gender", "name gender"),
    ("Patient", "_elements=id", ""),
    ("Encounter", "_elements=subject", "status class subject"),
    ("Observation", "_elements=value", "status code valueQuantity"),
    ("Observation", "_elements=note&_summary=true", "status code"),
    ("ValueSet", "_elements=url", "url status"),
]  # fmt: skip


async def test_a_match_has_what_was_asked_and_what_it_must_have(world, here):
    for type, text, expected in FORMS:
        bundle = await searched(world, here, type, text)
        (resource,) = (entry["resource"] for entry in bundle["entry"])
        assert set(resource) - {"resourceType", "id", "meta"} == set(expected.split()), (type, text)
        tags = [tag["code"] for tag in resource["meta"].get("tag", ())]
        assert tags == ([] if text == "_summary=false" else ["SUBSETTED"]), (type, text)
        assert bundle["total"] == 1
        assert any(text in link["url"] for link in bundle["link"] if link["relation"] == "self")


async def test_numbers_keep_their_digits_in_a_summary(world, here):
    seen = {**WORLD[2], "valueQuantity": {"value": Decimal("37.50"), "unit": "C"}}
    await put(world, here, seen)
    bundle = await searched(world, here, "Observation", "_summary=true")
    assert str(bundle["entry"][0]["resource"]["valueQuantity"]["value"]) == "37.50"


async def test_a_count_has_no_entries_and_no_pages(world, here):
    for text in ("_summary=count", "_count=0"):
        bundle = await searched(world, here, "", text)
        assert bundle["total"] == len(WORLD)
        assert "entry" not in bundle
        assert {link["relation"] for link in bundle["link"]} <= {"self", "first"}


async def test_types_are_summarized_each_by_its_own_definition(world, here):
    bundle = await searched(world, here, "", "_summary=text&_type=Patient,Observation")
    found = {e["resource"]["resourceType"]: set(e["resource"]) for e in bundle["entry"]}
    always = {"resourceType", "id", "meta", "text"}
    assert found == {"Patient": always, "Observation": always | {"status", "code"}}


async def test_another_form_is_refused_naming_the_five(world, here):
    with pytest.raises(Invalid, match="`true`, `text`, `data`, `count`, `false`"):
        await searched(world, here, "Patient", "_summary=short")
