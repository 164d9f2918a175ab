"""https://hl7.org/fhir/R4/search.html#has"""

from __future__ import annotations

import pytest

from fhir_server.foundation.outcome import FhirError, NotSupported
from fhir_server.foundation.resource import Key
from fhir_server.search.scope import MAX_LINKS
from fhir_server.store.contract import ReferredBy, Refers, RidIn, rid
from tests.search.ask import query


def where(type, text):
    return query(type, text).where


# type        a reverse chain                             what is asked of which type
THE_SAME = [
    ("Patient", "_has:Observation:patient:code=1234-5", "Observation", "code=1234-5"),
    ("Patient", "_has:Observation:patient:code=1,2", "Observation", "code=1,2"),
    ("Patient", "_has:Observation:subject:code:not=1", "Observation", "code:not=1"),
    ("Patient", "_has:Encounter:patient:date=ge2024", "Encounter", "date=ge2024"),
    ("Patient", "_has:Encounter:patient:reason-code:missing=false", "Encounter",
     "reason-code:missing=false"),
    ("Patient", "_has:Observation:patient:_has:Provenance:target:agent-role=x", "Observation",
     "_has:Provenance:target:agent-role=x"),
    ("Patient", "_has:Encounter:patient:service-provider.name=x", "Encounter",
     "service-provider.name=x"),
    ("Encounter", "_has:Observation:encounter:code=1", "Observation", "code=1"),
]  # fmt: skip


@pytest.mark.parametrize(("type", "has", "source", "criterion"), THE_SAME)
def test_has_asks_of_what_refers_what_the_criterion_asks(type, has, source, criterion):
    asked = where(type, has)
    assert isinstance(asked, ReferredBy)
    assert asked.types == (source,)
    assert asked.where == where(source, criterion)
    assert asked.owned == (type == "Patient")


def test_has_stands_within_a_chain():
    asked = where("Encounter", "patient._has:Group:member:_id=102")
    assert isinstance(asked, Refers)
    assert asked.where == where("Patient", "_has:Group:member:_id=102")
    asked = where("Encounter", "subject._has:Observation:patient:code=1")
    assert asked.types == ("Patient",)  # `patient` never refers to a Group


REFUSED = [
    ("Patient", "_has=1", "_has:Observation:patient:code=1234-5"),
    ("Patient", "_has:Observation=1", "is written with"),
    ("Patient", "_has:Observation:patient=1", "is written with"),
    ("Patient", "_has:Observation::code=1", "is written with"),
    ("Patient", "_has:Observatio:patient:code=1", "Did you mean `Observation`"),
    ("Patient", "_has:Observation:patien:code=1", "Did you mean `patient`"),
    ("Patient", "_has:Observation:patient:cod=1", "Did you mean `code`"),
    ("Patient", "_has:Observation:code:status=final", "leads to no other resource"),
    ("Organization", "_has:Observation:patient:code=1", "never refers to a Organization"),
    ("", "_has:Observation:patient:code=1", "`_type`"),
    ("", "_type=Patient,Group&_has:Observation:patient:code=1", "never refers to a Group"),
]


@pytest.mark.parametrize(("type", "has", "says"), REFUSED)
def test_what_has_cannot_ask_is_refused_with_what_it_can(type, has, says):
    with pytest.raises(FhirError, match=says):
        where(type, has)


def test_has_is_bounded_with_all_links():
    loop = "_has:Encounter:part-of:"
    where("Encounter", f"{loop * MAX_LINKS}status=finished")
    with pytest.raises(FhirError, match=f"more than {MAX_LINKS} times"):
        where("Encounter", f"{loop * (MAX_LINKS + 1)}status=finished")
    with pytest.raises(FhirError, match=f"more than {MAX_LINKS} times"):
        where("Encounter", f"{loop * MAX_LINKS}part-of.status=finished")


# --- lists and named queries ---------------------------------------------------------------------

LISTS = {"42": ("42",), "42,43": ("42", "43"), "List/42": ("42",)}


@pytest.mark.parametrize("value", LISTS)
def test_a_list_is_named_by_its_id(value):
    asked = where("Patient", f"_list={value}")
    assert asked.types == ("List",)
    assert asked.where == RidIn(tuple(sorted(rid(Key("List", id)) for id in LISTS[value])))


NO_LISTS = ["_list=Patient/1", "_list=a b", "_list=1,", "_list:not=1", "_list=" + "1," * 600 + "1"]


@pytest.mark.parametrize("text", NO_LISTS)
def test_what_names_no_list_is_refused(text):
    with pytest.raises(FhirError, match="_list"):
        where("Patient", text)


def test_functional_lists_and_named_queries_are_refused():
    with pytest.raises(NotSupported, match="functional list"):
        where("AllergyIntolerance", "patient=42&_list=$current-allergies")
    for strict in (True, False):
        with pytest.raises(NotSupported, match="_query"):
            query("Patient", "_query=x", strict=strict)
