"""date: an interval of time against an interval of time."""

from __future__ import annotations

import pytest

from fhir_server.foundation.outcome import Invalid, NotSupported
from fhir_server.foundation.primitive import interval
from fhir_server.search.index import Indexer
from fhir_server.search.query import parse
from fhir_server.search.site import Site
from fhir_server.store.contract import NO_DATE

from .ask import NOON, found, indexer, parameters, query
from .evaluate import holds
from .prefixes import cases


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


def audited(moment: str) -> dict:
    return {"resourceType": "AuditEvent", "recorded": moment}


def during(start: str | None, end: str | None) -> dict:
    period = {"start": start, "end": end}
    told = {name: value for name, value in period.items() if value}
    return {"resourceType": "ServiceRequest", "occurrencePeriod": told}


def scheduled(**timing: object) -> dict:
    return {"resourceType": "ServiceRequest", "occurrenceTiming": timing}


# of 2024-01-10; as today is 2024-01-14, ap adds a tenth of four days: ten hours before and
# after. What is stored, and the prefixes that find it.
MOMENTS = [
    (at("2024-01-10"), "eq ge le ap"),
    (at("2024-01-10T00:00:00+07:00"), "eq ge le ap"),
    (at("2024-01-10T23:59:59.999+07:00"), "eq ge le ap"),
    (at("2024-01-09T23:59:59.999+07:00"), "ne lt le eb ap"),
    (at("2024-01-09T13:00:00+07:00"), "ne lt le eb"),
    (at("2024-01-11T00:00:00+07:00"), "ne gt ge sa ap"),
    (at("2024-01-11T11:00:00+07:00"), "ne gt ge sa"),
    (at("2024-01-09"), "ne lt le eb ap"),
    (at("2024-01-08"), "ne lt le eb"),
    (at("2024-01-11"), "ne gt ge sa ap"),
    (at("2024-01-12"), "ne gt ge sa"),
    (at("2024-01"), "ne gt lt ge le ap"),
    (at("2024"), "ne gt lt ge le ap"),
    (at("2023-12"), "ne lt le eb"),
    (at("2025"), "ne gt ge sa"),
    ({"resourceType": "Observation"}, ""),
]
PERIODS = [
    (visit("2024-01-10", "2024-01-10"), "eq ge le ap"),
    (visit("2024-01-10T08:00:00+07:00", "2024-01-10T09:00:00+07:00"), "eq ge le ap"),
    (visit("2024-01-09", "2024-01-11"), "ne gt lt ge le ap"),
    (visit("2024-01-09", "2024-01-10"), "ne lt le ap"),
    (visit("2024-01-10", "2024-01-11"), "ne gt ge ap"),
    (visit("2024-01-01", "2024-01-08"), "ne lt le eb"),
    (visit("2024-01-12", "2024-01-20"), "ne gt ge sa"),
    (visit("2024-01-01", None), "ne gt lt ge le ap"),
    (visit("2024-01-10", None), "ne gt ge ap"),
    (visit("2024-01-11", None), "ne gt ge sa ap"),
    (visit("2024-01-12", None), "ne gt ge sa"),
    (visit(None, "2024-01-08"), "ne lt le eb"),
    (visit(None, "2024-01-09"), "ne lt le eb ap"),
    (visit(None, "2024-01-10"), "ne lt le ap"),
    (visit(None, "2024-01-11"), "ne gt lt ge le ap"),
    (visit("2023-01-01", "2025-01-01"), "ne gt lt ge le ap"),
    (visit("2024-01-12", "2024-01-08"), ""),  # ends before it begins: it is at no time
    (visit(None, None), ""),
]
MOVED = [(during(one["period"].get("start"), one["period"].get("end")), prefixes)
         for one, prefixes in PERIODS]  # fmt: skip
TIMINGS = [
    (scheduled(event=["2024-01-10"]), "eq ge le ap"),
    (scheduled(event=["2024-01-09", "2024-01-11"]), "ne gt lt ge le ap"),
    (scheduled(event=["2024-01-01", "2024-01-31"]), "ne gt lt ge le ap"),
    (scheduled(event=["2024-01-01"]), "ne lt le eb"),
    (scheduled(repeat={"boundsPeriod": {"start": "2024-01-12"}}), "ne gt ge sa"),
    (scheduled(repeat={"boundsPeriod": {"start": "2024-01-01", "end": "2024-01-31"}}),
     "ne gt lt ge le ap"),
    (scheduled(event=["2024-01-08"], repeat={"boundsPeriod": {"end": "2024-01-09"}}),
     "ne lt le eb ap"),
    (scheduled(repeat={"frequency": 2, "period": 1, "periodUnit": "d"}), ""),
]  # fmt: skip
# of the second 03:00:00 on 2024-01-10; an instant has no width
INSTANTS = [
    (audited("2024-01-10T03:00:00Z"), "eq ge le ap"),
    (audited("2024-01-10T03:00:00.999Z"), "eq ge le ap"),
    (audited("2024-01-10T10:00:00+07:00"), "eq ge le ap"),
    (audited("2024-01-10T02:59:59.999Z"), "ne lt le eb ap"),
    (audited("2024-01-10T03:00:01Z"), "ne gt ge sa ap"),
    (audited("2024-01-08T03:00:00Z"), "ne lt le eb"),
    (audited("2024-01-12T03:00:00Z"), "ne gt ge sa"),
]

TABLE += [
    *cases("date", "2024-01-10", MOMENTS),
    *cases("date", "2024-01-10", PERIODS),
    *cases("occurrence", "2024-01-10", MOVED),
    *cases("occurrence", "2024-01-10", TIMINGS),
    *cases("date", "2024-01-10T03:00:00Z", INSTANTS),
    (audited("2024-01-10T03:00:00Z"), "date=gt2024-01-10T03:00:00.500Z", False),
    (audited("2024-01-10T03:00:00Z"), "date=lt2024-01-10T03:00:00.500Z", True),
    (at("2024-01-10T03:00:00Z"), "date=gt2024-01-10T03:00:00.500Z", True),
    (audited("2024-01-10T03:00:00Z"), "date=2024-01-10T03:00Z", True),
    (audited("2024-01-10T03:00:00Z"), "date=2024-01-10T10:00", True),
    (visit("2024-01-01", None), "date=ge2024-01-10&date=le2024-01-10", True),
    (visit("2024-01-01", "2024-01-09"), "date=ge2024-01-10&date=le2024-01-10", False),
    (visit("2024-01-10", "2024-01-10"), "date=ge2024-01-10&date=lt2024-01-11", True),
    (at("2024-01-11T00:00:00+07:00"), "date=ge2024-01-10&date=lt2024-01-11", False),
]  # fmt: skip


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


# --- days begin and end where the server is ------------------------------------------------------

# zone in minutes, what is stored, when is asked for, and whether it is found
DAYS = [
    (420, "2024-05-05T00:30:00+07:00", "2024-05-05", True),
    (420, "2024-05-05T00:30:00+07:00", "2024-05-04", False),
    (420, "2024-05-05T00:00:00+07:00", "2024-05-05", True),
    (420, "2024-05-05T00:00:00+07:00", "2024-05-04", False),
    (420, "2024-05-05T23:59:59.999+07:00", "2024-05-05", True),
    (420, "2024-05-05T23:59:59.999+07:00", "2024-05-06", False),
    (420, "2024-05-05T23:59:59+07:00", "2024-05-05", True),
    (420, "2024-05-04T17:30:00Z", "2024-05-05", True),
    (420, "2024-05-04T17:30:00Z", "2024-05-04", False),
    (420, "2024-05-04T16:59:59.999Z", "2024-05-04", True),
    (420, "2024-05-04T16:59:59.999Z", "2024-05-05", False),
    (420, "2024-05-04T12:30:00-05:00", "2024-05-05", True),
    (420, "2024-05-04T12:30:00-05:00", "2024-05-04", False),
    (420, "2024-05-05T00:30:00+07:00", "2024-05-04T17:30:00Z", True),
    (420, "2024-05-05T00:30:00+07:00", "2024-05-05T00:30:00", True),
    (420, "2024-05-05T00:30:00+07:00", "2024-05-05T00:30", True),
    (420, "2024-05-05T00:30:00+07:00", "2024-05-05T00:30:00Z", False),
    (420, "2024-05-05T00:30:00+07:00", "2024-05-04T12:30:00-05:00", True),
    (420, "2024-05-05T00:30:00+07:00", "ge2024-05-05", True),
    (420, "2024-05-05T00:30:00+07:00", "le2024-05-04", False),
    (420, "2024-05-05T00:30:00+07:00", "lt2024-05-05", False),
    (420, "2024-05-05T00:30:00+07:00", "gt2024-05-04", True),
    (420, "2024-05-05T00:30:00+07:00", "sa2024-05-04", True),
    (420, "2024-05-05T00:30:00+07:00", "eb2024-05-05", False),
    (420, "2024-05-05T00:30:00+07:00", "2024-05", True),
    (420, "2024-05-01T00:30:00+07:00", "2024-05", True),
    (420, "2024-04-30T17:30:00Z", "2024-05", True),
    (420, "2024-04-30T17:30:00Z", "2024-04", False),
    (420, "2024-05-31T23:59:59.999+07:00", "2024-05", True),
    (420, "2024-05-31T17:00:00Z", "2024-06", True),
    (420, "2024-12-31T23:59:59.999+07:00", "2024", True),
    (420, "2024-12-31T23:59:59.999+07:00", "2024-12-31", True),
    (420, "2024-12-31T17:00:00Z", "2025", True),
    (420, "2024-12-31T17:00:00Z", "2025-01-01", True),
    (420, "2024-12-31T17:00:00Z", "2024", False),
    (420, "2024-02-29T23:30:00+07:00", "2024-02-29", True),
    (420, "2024-02-29T23:30:00+07:00", "2024-02", True),
    (420, "2024-02-29T23:30:00+07:00", "2024-03", False),
    (420, "2024-02-29T17:00:00Z", "2024-03-01", True),
    (420, "2023-02-28T17:00:00Z", "2023-03-01", True),
    (420, "2024-02-29", "2024-02", True),
    (420, "2024-05-05", "2024-05-05", True),
    (420, "2024-05-05", "2024", True),
    (420, "2024-05", "2024-05-05", False),
    (420, "2024-05", "2024-05", True),
    (420, "2024-05", "2024", True),
    (420, "2024", "2024-05", False),
    (420, "2024", "ge2024-05", True),
    (420, "2024", "le2024-05", True),
    (420, "2024", "sa2023-12-31", True),
    (420, "2024", "eb2025-01-01", True),
    (420, "2024", "eb2024-12-31", False),
    (420, "1969-12-31T23:30:00+07:00", "1969", True),
    (420, "0001-01-01", "0001", True),
    (420, "9999-12-31", "9999-12", True),
    (0, "2024-05-04T17:30:00Z", "2024-05-04", True),
    (0, "2024-05-04T17:30:00Z", "2024-05-05", False),
    (0, "2024-05-05T00:30:00+07:00", "2024-05-04", True),
    (0, "2024-05-05T00:30:00Z", "2024-05-05", True),
    (0, "2024-05-05T23:59:59.999Z", "2024-05-05", True),
    (0, "2024-05-06T00:00:00Z", "2024-05-05", False),
    (0, "2024-05-05T00:30:00Z", "2024-05-05T00:30", True),
    (0, "2024-12-31T23:30:00-05:00", "2025", True),
    (-210, "2024-05-05T02:00:00Z", "2024-05-04", True),
    (-210, "2024-05-05T03:29:59.999Z", "2024-05-04", True),
    (-210, "2024-05-05T03:30:00Z", "2024-05-05", True),
    (-210, "2024-05-05T03:30:00Z", "2024-05-04", False),
    (-210, "2024-05-05T00:30:00-03:30", "2024-05-05", True),
    (-210, "2024-05-05T00:30:00-03:30", "2024-05-05T00:30", True),
    (-210, "2024-05-05T10:59:59+07:00", "2024-05-05", True),
    (-210, "2024-05-05T10:29:59+07:00", "2024-05-04", True),
    (-210, "2024-02-29T23:59:59.999-03:30", "2024-02", True),
    (-210, "2025-01-01T03:00:00Z", "2024", True),
]


@pytest.mark.parametrize(("zone", "stored", "asked", "is_found"), DAYS)
def test_a_day_begins_and_ends_in_the_zone_of_the_server(zone, stored, asked, is_found) -> None:
    site = Site(zone, now=NOON)
    rows = Indexer(parameters(), zone_minutes=zone).rows(at(stored))
    where = parse(parameters(), ("Observation",), [("date", asked)], site=site).where
    assert holds(where, rows, rid=1, updated=0) is is_found
