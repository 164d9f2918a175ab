"""What makes a definition unfit is told before anything is judged by it.

https://hl7.org/fhir/R4/profiling.html
"""

from __future__ import annotations

import pytest

from fhir_server.conformance.canonicals import Canonicals, of_resource
from fhir_server.conformance.r4_resources import canonicals_of_r4
from fhir_server.conformance.sound import all_unsound, unsound
from fhir_server.validation.messages import issue

CORE = "http://hl7.org/fhir/StructureDefinition/"
HERE = "http://example.org/StructureDefinition/"
SETS = "http://example.org/ValueSet/"


def profile(id="a", *elements, base=f"{CORE}Patient", type="Patient", **more):
    told = [{"id": type, "path": type}, *elements]
    return {
        "resourceType": "StructureDefinition",
        "url": HERE + id,
        "name": "A",
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": type,
        "baseDefinition": base,
        "derivation": "constraint",
        "differential": {"element": told},
        **more,
    }


def without(resource, *names):
    return {name: value for name, value in resource.items() if name not in names}


def sliced(*discriminators, path="Patient.identifier", **slicing):
    many = {"rules": "open", **slicing}
    if discriminators:
        many["discriminator"] = [{"type": type, "path": at} for type, at in discriminators]
    return (
        {"id": path, "path": path, "slicing": many},
        {"id": f"{path}:x", "path": path, "sliceName": "x"},
    )


def constrained(expression):
    rule = {"key": "a-1", "severity": "error", "human": "Be good", "expression": expression}
    return {"id": "Patient.name", "path": "Patient.name", "constraint": [rule]}


def patterned(pattern):
    extension = [{"url": f"{CORE}regex", "valueString": pattern}]
    return {"id": "Patient.id", "path": "Patient.id", "extension": extension}


def value_set(id, *imported, exclude=()):
    compose = {"include": [{"valueSet": [SETS + other]} for other in imported]}
    compose["include"].append({"system": "http://hl7.org/fhir/administrative-gender"})
    if exclude:
        compose["exclude"] = [{"valueSet": [SETS + other]} for other in exclude]
    return {"resourceType": "ValueSet", "url": SETS + id, "status": "active", "compose": compose}


def parameter(expression):
    return {
        "resourceType": "SearchParameter",
        "url": "http://example.org/SearchParameter/a",
        "expression": expression,
    }


def told_of(*resources):
    """The keys of what is wrong with the first, the others being known."""
    first, *others = [of_resource(resource, "test") for resource in resources]
    problems = unsound(canonicals_of_r4().above(others), first)
    for problem in problems:
        told = issue(problem.key, file=problem.file, **problem.said)
        assert told.diagnostics != told.vietnamese
    return [problem.key for problem in problems]


# a definition                                                              what is told
CASES = [
    (profile(), []),
    (profile("a", constrained("given.exists() or family.exists()")), []),
    (profile("a", *sliced(("value", "system"))), []),
    (profile("a", *sliced(("pattern", "type"), ("exists", "value"))), []),
    (profile("a", *sliced(("value", "$this.resolve().code"), path="Patient.link")), []),
    (value_set("a"), []),
    (value_set("a", "b"), []),
    (parameter("Patient.name.given | Practitioner.name.given"), []),
    ({"resourceType": "CodeSystem", "url": "http://example.org/c"}, []),
    # nothing to say, nothing to stand on
    (without(profile(), "differential"), ["unsound-view"]),
    (profile(differential={"element": []}), ["unsound-view"]),
    (without(profile(), "baseDefinition"), ["unsound-base.missing"]),
    (profile(base=HERE + "a"), ["unsound-base.circle", "unsound-differential"]),
    (profile(base=HERE + "a|1.0"), []),  # a version that is not known
    # not what its base is
    (profile(kind="complex-type"), ["unsound-base.differs"]),
    (profile(base=f"{CORE}Observation"), ["unsound-base.differs", "unsound-differential"]),
    # paths
    (profile("a", {"id": "Patient.nose", "path": "Patient.nose"}), ["unsound-differential"]),
    (
        profile("a", {"id": "Observation.code", "path": "Observation.code"}),
        ["unsound-differential"],
    ),
    (profile("a", {"id": "x"}), ["unsound-differential"]),
    (profile(type="Nonsense"), ["unsound-base.differs", "unsound-differential"]),
    # slices
    (profile("a", *sliced()), ["unsound-slicing"]),
    (profile("a", sliced()[0]), []),  # no slices yet: nothing to tell apart
    (profile("a", *sliced(("color", "system"))), ["unsound-discriminator.type"]),
    (profile("a", *sliced(("value", "system("))), ["unsound-discriminator"]),
    (profile("a", *sliced(("value", ""))), ["unsound-discriminator"]),
    # expressions and patterns
    (profile("a", constrained("given.exists(")), ["unsound-invariant"]),
    (profile("a", constrained("(" * 5_000)), ["unsound-invariant"]),
    (profile("a", constrained("name.nonsense()")), ["unsound-invariant"]),
    (profile("a", patterned("[a-z]+")), []),
    (profile("a", patterned("[a-z")), ["unsound-pattern"]),
    (profile("a", patterned("(a+)+b")), ["unsound-pattern"]),
    (profile("a", patterned("x" * 100_000)), ["unsound-pattern"]),
    (parameter("Patient.name.where("), ["unsound-expression"]),
    # value sets
    (value_set("a", "a"), ["unsound-import"]),
    (value_set("a", exclude=["a"]), ["unsound-import"]),
    # what is no definition at all
    (profile(differential={"element": "x"}), ["package-shape.list"]),
    (profile(differential=5), ["package-shape.object"]),
    (profile("a", {"id": "Patient.id", "path": 5}), ["package-shape.text"]),
    (profile("a", {"path": "Patient.id", "slicing": [1]}), ["package-shape.object"]),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "told"), CASES)
def test_what_is_wrong_with_a_definition_is_told(resource, told):
    assert told_of(resource) == told


def test_circles_of_profiles_are_told_with_their_way():
    circle = [profile(str(n), base=HERE + str((n + 1) % 5)) for n in range(5)]
    entries = [of_resource(resource, "test") for resource in circle]
    known = canonicals_of_r4().above(entries)
    [first, *_] = unsound(known, entries[0])
    assert first.key == "unsound-base.circle"
    ways = [HERE + str(n) for n in (0, 1, 2, 3, 4, 0)]
    assert first.said["circle"] == " -> ".join(ways)


def test_a_profile_may_stand_on_an_older_version_of_itself():
    older, newer = profile(version="1.0.0"), profile(version="2.0.0", base=HERE + "a|1.0.0")
    assert told_of(newer, older) == []


def test_circles_of_value_sets_are_told_with_their_way_and_diamonds_are_none():
    a, b, c = value_set("a", "b", "c"), value_set("b", "c"), value_set("c", "a")
    assert told_of(a, b, c) == ["unsound-import"]
    assert told_of(a, b, value_set("c")) == []


def test_a_chain_of_ten_thousand_value_sets_ends():
    sets = [value_set(str(n), str(n + 1)) for n in range(10_000)]
    assert told_of(*sets) == []


def test_a_chain_of_a_thousand_profiles_ends():
    chain = [profile(str(n), base=HERE + str(n + 1)) for n in range(1_000)]
    assert set(told_of(*chain)) <= {"unsound-differential"}


def test_what_r4_itself_says_is_sound_but_for_its_own_known_faults():
    known = canonicals_of_r4()
    entries = [known.entry(url) for url in sorted(known.urls())]
    problems = [p for p in all_unsound(known, entries) if p.key != "unsound-pattern"]
    assert {(p.key, p.file.removeprefix(CORE).removesuffix("|4.0.1")) for p in problems} <= {
        ("unsound-base.differs", "example-composition"),  # of the kind `complex-type`
        ("unsound-base.differs", "example-section-library"),
        ("unsound-differential", "familymemberhistory-genetic"),  # a slice without slicing
    }


def test_what_is_not_known_beneath_is_told_elsewhere():
    assert told_of(profile(base="http://example.org/unknown")) == []
    [entry] = [of_resource(profile(), "test")]
    assert unsound(Canonicals(()), entry) == []
