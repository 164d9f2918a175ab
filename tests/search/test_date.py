"""date: an interval of time against an interval of time."""

from __future__ import annotations

import pytest

from fhir_server.foundation.outcome import Invalid, NotSupported
from fhir_server.foundation.primitive import interval
from fhir_server.store.contract import NO_DATE

from .ask import found, indexer, query


def visit(start: str | None, end: str | None) -> dict:
    period = {"start": start, "end": end}
    return {
        "resourceType": "Encounter",
        "period": {name: value for name, value in period.items() if value},
    }


def at(moment: str) -> dict:
    return {"resourceType": "Observation", "effectiveDateTime": moment}


TWO_RECORDS = {  # an element that repeats, which no type's main date is made of
    "resourceType": "MedicationRequest",
    "dosageInstruction": [{"timing": {"event": ["2024-01-01", "2024-03-01"]}}],
}
ALLERGY = {
    "resourceType": "AllergyIntolerance",
    "reaction": [{"onset": "2020-05-05"}, {"onset": "2022-05-05"}],
}
DISPENSED = {
    "resourceType": "CommunicationRequest",
    "occurrenceDateTime": "2024-01-14",
}
REACTION = {"resourceType": "Immunization", "reaction": [{"date": "2024-01-14"}]}
FROM_JANUARY = visit("2013-01-21", None)
UNTIL_JANUARY = visit(None, "2013-01-21")
FROM_MARCH = visit("2013-03-15", None)
DAY = visit("2013-03-14", "2013-03-14")

# R4 search#date's own examples, then ours.   what is asked                    found?
TABLE = [
    (at("2013-01-14T00:00:00+07:00"), "date=eq2013-01-14", True),
    (at("2013-01-14T10:00:00+07:00"), "date=eq2013-01-14", True),
    (at("2013-01-15T00:00:00+07:00"), "date=eq2013-01-14", False),
    (at("2013-01-15T00:00:00+07:00"), "date=ne2013-01-14", True),
    (at("2013-01-14T00:00:00+07:00"), "date=ne2013-01-14", False),
    (at("2013-01-14T10:00:00+07:00"), "date=ne2013-01-14", False),
    (at("2013-01-14"), "date=lt2013-01-14T10:00", True),
    (at("2013-01-14"), "date=gt2013-01-14T10:00", True),
    (FROM_JANUARY, "date=ge2013-03-14", True),
    (FROM_JANUARY, "date=le2013-03-14", True),
    (FROM_MARCH, "date=sa2013-03-14", True),
    (FROM_JANUARY, "date=sa2013-03-14", False),
    (UNTIL_JANUARY, "date=sa2013-03-14", False),
    (FROM_MARCH, "date=eb2013-03-14", False),
    (FROM_JANUARY, "date=eb2013-03-14", False),
    (UNTIL_JANUARY, "date=eb2013-03-14", True),
    (DAY, "date=ap2013-03-14", True),
    (at("2015-06-15"), "date=ap2023-12-14", False),
    (at("2013-03-14"), "date=2013", True),
    (at("2013-03-14"), "date=2013-03", True),
    (at("2013-03"), "date=2013-03-14", False),
    (at("2013-03"), "date=ap2013-03-14", True),
    (at("2013-03-14"), "date=ge2013-03-14", True),
    (at("2013-03-14"), "date=gt2013-03-14", False),
    (at("2013-03-14"), "date=le2013-03-14", True),
    (at("2013-03-14"), "date=lt2013-03-14", False),
    (at("2013-03-14"), "date=ge2013-03-15", False),
    (at("2013-03-14"), "date=le2013-03-13", False),
    (at("2013-03-14"), "date=ge2013-01-01&date=le2013-12-31", True),
    (at("2013-03-14"), "date=lt2013,gt2014", False),
    (at("2013-03-13T20:00:00Z"), "date=2013-03-14", True),
    (at("2013-03-13T20:00:00Z"), "date=2013-03-13T20:00:00Z", True),
    (at("2013-03-13T20:00:00.123Z"), "date=2013-03-14T03:00:00.123+07:00", True),
    (at("2013-03-13T20:00:00.123Z"), "date=2013-03-14T03:00", True),
    (FROM_JANUARY, "date=ne2013", True),
    (FROM_JANUARY, "date=2013", False),
    (at("2013-03-14"), "date:missing=true", False),
    ({"resourceType": "Observation"}, "date:missing=true", True),
    ({"resourceType": "Observation"}, "date=lt2030", False),
    ({"resourceType": "Observation"}, "date=ge1900", False),
    ({"resourceType": "Observation"}, "date=ne2013", False),
    ({"resourceType": "Observation", "effectivePeriod": {}}, "date:missing=true", False),
    (TWO_RECORDS, "date=sa2023-12&date=eb2024-04", True),
    (TWO_RECORDS, "date=gt2024-02", True),
    (ALLERGY, "onset=2020", True),
    (ALLERGY, "onset=2022-05-05", True),
    (ALLERGY, "onset=2021", False),
    (REACTION, "reaction-date=2024-01-14", True),
    (DISPENSED, "occurrence=2024-01", True),
    ({"resourceType": "Patient", "birthDate": "1980"}, "birthdate=1980-05", False),
    ({"resourceType": "Patient", "birthDate": "1980-05-01"}, "birthdate=1980-05", True),
    ({"resourceType": "Patient", "deceasedBoolean": True}, "death-date=lt2100", False),
    ({"resourceType": "Procedure", "performedString": "last year"}, "date=lt2100", False),
]


@pytest.mark.parametrize(("resource", "text", "is_found"), TABLE)
def test_a_date_is_the_interval_its_precision_says(resource, text, is_found) -> None:
    assert found(resource, text) is is_found


# asked of 2024-01-14T00:00+07:00        found?
UPDATED = [
    ("2024-01-14", True),
    ("2024-01-13", False),
    ("ne2024-01-13", True),
    ("ne2024-01-14", False),
    ("ge2024-01-14", True),
    ("gt2024-01-14", False),
    ("gt2024-01-13", True),
    ("lt2024-01-15", True),
    ("le2024-01-14", True),
    ("sa2024-01-13", True),
    ("eb2024-01-15", True),
    ("ap2024-01-14", True),
    ("2024-01-13T17:00:00Z", True),
    ("gt2024-01-13T17:00:00Z", False),
]


@pytest.mark.parametrize(("asked", "is_found"), UPDATED)
def test_last_updated_is_a_moment(asked, is_found) -> None:
    moment = interval("2024-01-13T17:00:00.000Z")[0]
    resource = {"resourceType": "Patient"}
    assert found(resource, f"_lastUpdated={asked}", updated=moment) is is_found


def test_the_main_date_lies_beside_the_resource_and_not_in_the_index() -> None:
    rows = indexer().rows(visit("2024-01-02", "2024-01-03"))
    assert rows.main == (interval("2024-01-02")[0], interval("2024-01-03")[1])
    assert rows.dates == frozenset()
    assert indexer().rows({"resourceType": "Encounter"}).main == NO_DATE


def test_a_visit_before_1970_has_its_main_date() -> None:
    assert found(visit("1969-12-31", "1969-12-31"), "date=1969")


@pytest.mark.parametrize(
    "when",
    ["2013-13", "2013-02-30", "xx2013", "13", "2013-1-1", "2013-01-14T10", "eq", "tomorrow"],
)
def test_what_is_no_date_is_refused(when) -> None:
    with pytest.raises(Invalid):
        query("Observation", f"date={when}")


def test_a_plus_lost_on_the_way_is_explained() -> None:
    with pytest.raises(Invalid, match="%2B"):
        query("Observation", "date=2013-01-14T10:00:00 07:00")


def test_a_main_date_is_asked_of_several_types_only_where_it_is_main_for_all() -> None:
    assert query("Encounter,Observation", "date=2024").types == ("Encounter", "Observation")
    # MedicationRequest.date is when to take it; its main date is authoredon
    with pytest.raises(NotSupported, match="each type on its own"):
        query("Encounter,MedicationRequest", "date=2024")
