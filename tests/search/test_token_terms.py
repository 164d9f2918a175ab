"""token: what codes mean — the members of a value set, what is above a code and below it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_server.conformance.canonicals import Canonical, Canonicals, of_resource
from fhir_server.foundation.outcome import Invalid, NotSupported
from fhir_server.search.kinds import token
from fhir_server.store.contract import AnyOf, KeyIs
from fhir_server.terminology.large import Folder
from fhir_server.terminology.release import load, release_of
from fhir_server.terminology.terms import Terms
from tests.terminology.known import TODAY, code_system, in_force, of, system, value_set, where
from tests.terminology.test_release import ICD, NOTHING, SAMPLES, quiet

from .ask import BASE, SITE, found, query

ANIMAL, GROUPED, ACT = (
    "urn:animal",
    "urn:grouped",
    "http://terminology.hl7.org/CodeSystem/v3-ActCode",
)
GENDER = "http://hl7.org/fhir/administrative-gender"
ANIMALS = code_system(
    ANIMAL,
    {
        "code": "mammal",
        "concept": [
            {"code": "cat", "concept": [{"code": "lion"}, {"code": "a|b,c"}]},
            {"code": "dog"},
        ],
    },
    "fish",
    {"code": "pet", "property": []},
    {"code": "lapdog",
     "property": [{"code": "parent", "valueCode": code} for code in ("dog", "pet")]},
    property=[{"code": "parent", "uri": "http://hl7.org/fhir/concept-properties#parent",
               "type": "code"}],
)  # fmt: skip
OF_OLD = code_system(
    "urn:dated",
    {"code": "a", "concept": [{"code": "old"}]},
    version="1",
    extension=in_force(end="2020-01-01"),
)
OF_LATE = code_system(
    "urn:dated",
    {"code": "a", "concept": [{"code": "new"}]},
    version="2",
    extension=in_force("2020-01-02"),
)
CIRCLE = code_system(
    "urn:circle",
    {"code": "a", "property": [{"code": "parent", "valueCode": "b"}]},
    {"code": "b", "property": [{"code": "parent", "valueCode": "a"}]},
    property=ANIMALS["property"],
)
CATS = {**value_set("http://x/ValueSet/cats", where(ANIMAL, "concept is-a cat")), "version": "1"}
KNOWN = (
    ANIMALS,
    OF_OLD,
    OF_LATE,
    CIRCLE,
    code_system(GROUPED, {"code": "a", "concept": [{"code": "b"}]}, hierarchyMeaning="grouped-by"),
    CATS,
    value_set("http://x/none", system(ANIMAL), exclude=[system(ANIMAL)]),
    value_set("http://x/classes", system(ACT, "AMB", "IMP"), system(GENDER, "male")),
    value_set("http://x/imports", of("http://x/unknown")),
    value_set("http://x/unknown-system", system("urn:unknown")),
    value_set("http://x/itself", of("http://x/itself")),
    value_set("http://x/units", system("http://unitsofmeasure.org")),
    code_system("urn:large", *(str(n) for n in range(token.MAX_CODES + 1))),
    value_set("http://x/large", system("urn:large")),
    value_set("http://x/largest", system("urn:large", *map(str, range(token.MAX_CODES)))),
)
STORED = {"resourceType": "ValueSet", "url": "http://x/stored", "id": "vs-1",
          "compose": {"include": [system(ANIMAL, "fish")]}}  # fmt: skip


def world() -> Terms:
    entries = [of_resource(each, "test") for each in KNOWN]
    stored = Canonical("ValueSet", "http://x/stored", None, "stored", lambda: STORED, "vs-1")
    return Terms(Canonicals(entries).above([stored]), today=lambda: TODAY)


TERMS = replace(SITE, terms=world())


def case(*codes: tuple[str, str]) -> dict:
    codings = [{"system": system, "code": code} for system, code in codes]
    return {"resourceType": "Condition", "code": {"coding": codings}}


LION, FISH, DOG = (case((ANIMAL, code)) for code in ("lion", "fish", "dog"))
BOTH = case((ANIMAL, "lion"), (ANIMAL, "fish"))
UNCODED = {"resourceType": "Condition"}
BY_TEXT = {"resourceType": "Condition", "code": {"text": "lion"}}
BARE = {"resourceType": "Condition", "code": {"coding": [{"code": "lion"}]}}
VISIT = {"resourceType": "Encounter", "class": {"system": ACT, "code": "AMB"}}
MALE = {"resourceType": "Patient", "gender": "male"}

# what is stored          what is asked                                     found?
TABLE = [
    (LION, "code:in=http://x/ValueSet/cats", True),
    (LION, "code:in=http://x/ValueSet/cats|1", True),
    (FISH, "code:in=http://x/ValueSet/cats", False),
    (BOTH, "code:in=http://x/ValueSet/cats", True),
    (case(("urn:other", "lion")), "code:in=http://x/ValueSet/cats", False),
    (BARE, "code:in=http://x/ValueSet/cats", False),
    (UNCODED, "code:in=http://x/ValueSet/cats", False),
    (FISH, "code:in=http://x/ValueSet/cats,http://x/stored", True),
    (FISH, "code:in=http://x/stored", True),
    (FISH, "code:in=ValueSet/vs-1", True),
    (FISH, f"code:in={BASE}/ValueSet/vs-1", True),
    (LION, "code:in=ValueSet/vs-1", False),
    (LION, "code:in=http://x/none", False),
    (LION, "code:not-in=http://x/ValueSet/cats", False),
    (BOTH, "code:not-in=http://x/ValueSet/cats", False),
    (FISH, "code:not-in=http://x/ValueSet/cats", True),
    (FISH, "code:not-in=http://x/ValueSet/cats,http://x/stored", False),
    (UNCODED, "code:not-in=http://x/ValueSet/cats", True),
    (BY_TEXT, "code:not-in=http://x/ValueSet/cats", True),
    (LION, "code:not-in=http://x/none", True),
    (VISIT, "class:in=http://x/classes", True),
    (VISIT, "class:not-in=http://x/classes", False),
    (MALE, "gender:in=http://x/classes", True),
    (MALE, "gender:not-in=http://x/classes", False),
    (MALE, "gender:in=http://x/stored", False),
    (LION, f"code:below={ANIMAL}|mammal", True),
    (LION, f"code:below={ANIMAL}|cat", True),
    (LION, f"code:below={ANIMAL}|lion", True),
    (LION, f"code:below={ANIMAL}|dog", False),
    (DOG, f"code:below={ANIMAL}|lion,{ANIMAL}|dog", True),
    (DOG, f"code:below={ANIMAL}|pet", False),
    (case((ANIMAL, "lapdog")), f"code:below={ANIMAL}|pet", True),
    (case((ANIMAL, "lapdog")), f"code:below={ANIMAL}|mammal", True),
    (case((ANIMAL, "a|b,c")), f"code:below={ANIMAL}|cat", True),
    (case((ANIMAL, "a|b,c")), rf"code:below={ANIMAL}|a\|b\,c", True),
    (case(("urn:other", "lion")), f"code:below={ANIMAL}|cat", False),
    (UNCODED, f"code:below={ANIMAL}|mammal", False),
    (LION, f"code:above={ANIMAL}|lion", True),
    (case((ANIMAL, "cat")), f"code:above={ANIMAL}|lion", True),
    (case((ANIMAL, "mammal")), f"code:above={ANIMAL}|lion", True),
    (LION, f"code:above={ANIMAL}|cat", False),
    (case((ANIMAL, "pet")), f"code:above={ANIMAL}|lapdog", True),
    (case(("urn:dated", "old")), "code:below=urn:dated|a", True),
    (case(("urn:dated", "new")), "code:below=urn:dated|a", True),
    (case(("urn:circle", "b")), "code:below=urn:circle|a", True),
    (case(("urn:circle", "b")), "code:above=urn:circle|a", True),
    (MALE, "gender:not=male", False),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "text", "is_found"), TABLE)
def test_a_code_is_found_by_what_it_means(resource, text, is_found) -> None:
    assert found(resource, text, site=TERMS) is is_found


def test_a_common_value_in_a_value_set_is_asked_for_as_such() -> None:
    where = query("Encounter", "class:in=http://x/classes", site=TERMS).where
    assert isinstance(where, AnyOf)
    assert {key.dominant for key in where.conditions if isinstance(key, KeyIs)} > {0}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("code:in=http://x/unknown", "The value set `http://x/unknown` is not known here."),
        ("code:in=ValueSet/none", "The value set `ValueSet/none` is not known here."),
        ("code:in=x|y|z", "is not known here"),
        ("code:in=http://x/imports", "`http://x/unknown` is not known here."),
        ("code:in=http://x/unknown-system", "`urn:unknown` is not known here"),
        ("code:in=http://x/itself", "includes itself"),
        ("code:in=http://x/units", "cannot be listed"),
        ("code:in=http://x/large", "`http://x/large`. It has more than 5,000 codes"),
        ("code:not-in=http://x/large", "more than 5,000"),
        ("code:below=urn:unknown|x", "`urn:unknown` is not known here"),
        (f"code:below={ANIMAL}|unicorn", "`unicorn` is no code of `urn:animal`"),
        (f"code:above={ANIMAL}|unicorn", "`unicorn` is no code of `urn:animal`"),
        (f"code:below={GROUPED}|a", "is none of meaning"),
        ("code:below=lion", "It takes `system|code`"),
        ("code:below=|lion", "It takes `system|code`"),
        (f"code:below={ANIMAL}|", "It takes `system|code`"),
        (f"code:below={ANIMAL}|a|b", "It takes `system|code`"),
        ("code:below=|||", "It takes `system|code`"),
        ("code:above=|", "It takes `system|code`"),
        ("code:in=" + ",".join(["http://x/stored"] * 11), "at most 10"),
        ("code:in=http://x/stored,", "empty value"),
    ],
)
def test_what_cannot_be_told_is_refused_with_the_reason(text, reason) -> None:
    with pytest.raises(Invalid) as refusal:
        query("Condition", text, site=TERMS)
    assert reason in refusal.value.issues[0].diagnostics


def test_as_many_codes_as_the_bound_says_are_asked_for_at_once() -> None:
    where = query("Condition", "code:in=http://x/largest", site=TERMS).where
    assert isinstance(where, AnyOf)
    assert len(where.conditions) == token.MAX_CODES


def test_one_search_asks_only_so_often_what_codes_mean() -> None:
    asked = [f"code:below={ANIMAL}|{code}" for code in ("cat", "dog", "mammal", "fish") * 5]
    assert found(LION, "&".join(asked[:1]), site=TERMS)
    query("Condition", "&".join(f"{one},{ANIMAL}|pet" for one in asked[:4]), site=TERMS)
    with pytest.raises(Invalid, match="what codes mean 20 times"):
        query("Condition", "&".join(f"{one},{ANIMAL}|pet" for one in asked[:11]), site=TERMS)


def test_a_code_whose_system_is_implied_needs_none() -> None:
    gender = code_system(GENDER, {"code": "other", "concept": [{"code": "x"}]})
    known = Terms(Canonicals([of_resource(gender, "test")]), today=lambda: TODAY)
    patient = {"resourceType": "Patient", "gender": "x"}
    assert found(patient, "gender:below=other", site=replace(SITE, terms=known))
    assert not found(patient, "gender:above=other", site=replace(SITE, terms=known))


@pytest.mark.parametrize("text", ["code:in=http://x", "code:below=a|b", "code:above=a|b"])
def test_without_terminology_what_needs_it_is_refused(text) -> None:
    with pytest.raises(NotSupported, match="what codes mean"):
        query("Condition", text)


def test_what_lies_below_a_code_of_a_large_system_is_found(tmp_path) -> None:
    folder = Folder(tmp_path)
    load(release_of(SAMPLES / "icd10.xml", NOTHING), tmp_path, quiet)
    folder._next_look = 0
    known = Terms(Canonicals([]), files=folder, today=lambda: TODAY)
    its = known.systems.versions(ICD)[0]
    parent = next(code for code in its.codes() if its.children(code))
    child = its.children(parent)[0]
    site = replace(SITE, terms=known)
    assert found(case((ICD, child)), f"code:below={ICD}|{parent}", site=site)
    assert found(case((ICD, parent)), f"code:above={ICD}|{child}", site=site)
    assert not found(case((ICD, parent)), f"code:below={ICD}|{child}", site=site)
    folder.close()
