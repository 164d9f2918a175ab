"""https://hl7.org/fhir/R4/search.html#include and #revinclude"""

from __future__ import annotations

import pytest

from fhir_server.foundation.outcome import FhirError
from fhir_server.search.include import followed
from fhir_server.search.wanted import Include

from .ask import parameters, query

# of what            what is asked                                    what is understood
UNDERSTOOD = [
    ("Encounter", "_include=Encounter:subject", Include(False, "Encounter", "subject")),
    ("Encounter", "_include=Encounter:subject:Patient",
     Include(False, "Encounter", "subject", "Patient")),
    ("Encounter", "_include:iterate=Encounter:part-of",
     Include(False, "Encounter", "part-of", None, True)),
    ("Encounter", "_include:iterate=Patient:organization",
     Include(False, "Patient", "organization", None, True)),
    ("Encounter", "_include=Encounter:*", Include(False, "Encounter", "*")),
    ("Encounter", "_include=Encounter:*:Patient", Include(False, "Encounter", "*", "Patient")),
    ("Patient", "_revinclude=Encounter:subject", Include(True, "Encounter", "subject")),
    ("Patient", "_revinclude=Encounter:patient:Patient",
     Include(True, "Encounter", "patient", "Patient")),
    ("Patient", "_revinclude=Provenance:*", Include(True, "Provenance", "*")),
    ("Patient", "_revinclude:iterate=Observation:encounter",
     Include(True, "Observation", "encounter", None, True)),
    ("", "_include=Encounter:subject", Include(False, "Encounter", "subject")),
    ("", "_type=Encounter,Patient&_include=Encounter:subject",
     Include(False, "Encounter", "subject")),
    ("", "_include=Encounter:subject&_type=Encounter", Include(False, "Encounter", "subject")),
    ("Encounter", "_include=Encounter:subject&_summary=data",
     Include(False, "Encounter", "subject")),
]  # fmt: skip


@pytest.mark.parametrize(("type", "text", "expected"), UNDERSTOOD)
def test_what_is_to_be_included_is_understood_and_told(type, text, expected) -> None:
    asked = query(type, text)
    assert asked.includes == (expected,)
    told = [f"{name}={value}" for name, value in asked.used]
    assert told == text.split("&")


# of what            what is asked                           what the refusal says
REFUSED = [
    ("Encounter", "_include=*", "write `_include=Encounter:*`"),
    ("Encounter", "_include=subject", "`[source type]:[search parameter]`"),
    ("Encounter", "_include=Encounter:", "`[source type]:[search parameter]`"),
    ("Encounter", "_include=Encounter:subject:", "`[source type]:[search parameter]`"),
    ("Encounter", "_include=Encounter:subject:Patient:x", "`[source type]:[search parameter]`"),
    ("Encounter", "_include=Encounter:subject,Encounter:location", "give `_include` several times"),
    ("Encounter", "_include=Encountr:subject", "Did you mean `Encounter`?"),
    ("Encounter", "_include=encounter:subject", "Did you mean `Encounter`?"),
    ("Encounter", "_include=Encounter:subjct", "Did you mean `subject`?"),
    ("Encounter", "_include=Encounter:subject.name", "no reference parameter of Encounter"),
    ("Encounter", "_include=Encounter:status", "It has `account`, "),
    ("Encounter", "_include=Encounter:shoe", "`service-provider`, `subject`, `*`"),
    ("Encounter", "_include:iterate=Binary:x", "It has none."),
    ("Encounter", "_include=Encounter:subject:Patiant", "Did you mean `Patient`?"),
    ("Encounter", "_include=Encounter:subject:Location", "It refers to `Group`, `Patient`."),
    ("Encounter", "_include=Encounter:patient:Group", "It refers to `Patient`."),
    ("Encounter", "_include:recurse=Encounter:part-of", "`:recurse` is of earlier versions"),
    ("Encounter", "_include:missing=Encounter:part-of", "What works with it: `:iterate`"),
    ("Encounter", "_include=Patient:organization", "write `_include:iterate`"),
    ("Patient", "_revinclude=Encounter:location", "but to `Location`"),
    ("Patient", "_revinclude=Encounter:subject:Group", "this search finds Patient"),
    ("Patient", "_revinclude=Encounter:subjct", "Did you mean `subject`?"),
    ("", "_type=Patient&_include=Encounter:subject", "this search finds Patient"),
    ("Encounter", "_include=Encounter:subject&_summary=text", "`_summary=text`"),
    ("Encounter", "_summary=text&_include=Encounter:subject", "`_summary=text`"),
    ("Observation", "&".join(f"_include:iterate={each}" for each in (
        *(f"Encounter:{code}" for code in ("account", "appointment", "based-on", "diagnosis",
          "episode-of-care", "location", "part-of", "participant", "patient", "practitioner",
          "reason-reference", "service-provider", "subject", "*")),
        *(f"Patient:{code}" for code in ("general-practitioner", "link", "organization", "*")),
        *(f"Observation:{code}" for code in ("based-on", "device", "encounter")))),
     "more than 20"),
    ("Patient", "_contained=true", "resources within others are not searched"),
    ("Patient", "_contained=both", "resources within others are not searched"),
    ("Patient", "_contained=yes", "`true`, `false`, `both`"),
    ("Patient", "_containedType=all", "`container`, `contained`"),
]  # fmt: skip


@pytest.mark.parametrize(("type", "text", "says"), REFUSED)
def test_what_cannot_be_included_is_refused_naming_what_could(type, text, says) -> None:
    with pytest.raises(FhirError) as refusal:
        query(type, text)
    assert says in refusal.value.issues[0].diagnostics
    assert refusal.value.status == 400


def test_each_wrong_include_is_an_issue_of_its_own() -> None:
    text = "_include=Encounter:x&_include=Encounter:subject&_revinclude=Nothing:y&_include=*"
    with pytest.raises(FhirError) as refusal:
        query("Encounter", text)
    places = [issue.expression for issue in refusal.value.issues]
    assert places == ["http._include", "http._revinclude", "http._include"]
    lenient = query("Encounter", text, strict=False)
    assert lenient.includes == (Include(False, "Encounter", "subject"),)
    assert len(lenient.ignored) == 3


def test_the_same_include_twice_is_one() -> None:
    asked = query("Encounter", "_include=Encounter:subject&_include=Encounter:subject")
    assert len(asked.includes) == 1


def test_resources_within_others_are_not_asked_for_by_default() -> None:
    asked = query("Patient", "_contained=false&_containedType=container&gender=male")
    assert [name for name, _ in asked.used] == ["_contained", "_containedType", "gender"]


def test_a_wildcard_goes_by_every_reference_once() -> None:
    every = followed(parameters(), Include(False, "Observation", "*"))
    codes = {parameter.code for parameter in every}
    assert {"subject", "encounter", "performer", "has-member"} <= codes
    assert "patient" not in codes  # it is `subject`, of Patients alone
    groups = followed(parameters(), Include(False, "Observation", "*", "Group"))
    assert {parameter.code for parameter in groups} == {"subject", "focus"}
