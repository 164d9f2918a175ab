"""test_snapshot — what differentials make, beside what HL7 made of them.

https://hl7.org/fhir/R4/profiling.html#snapshot
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.conformance.canonicals import Canonical, Canonicals, of_resource
from fhir_server.conformance.definitions import load
from fhir_server.conformance.r4_resources import canonicals_of_r4
from fhir_server.conformance.snapshot import BrokenProfile, Snapshots, generate
from fhir_server.conformance.xml import from_xml
from fhir_server.foundation.wire import parse

R4 = canonicals_of_r4()
SNAPSHOTS = Snapshots(R4)
HL7 = "http://hl7.org/fhir/StructureDefinition/"
CASES = sorted((Path(__file__).parent / "snapshot_cases").glob("*.json"))
SHARED = Path(__file__).parents[3] / "shared" / "testdata" / "validator-cases" / "files"

# ---- R4's own ------------------------------------------------------------------------------------

# Where what we make differs from what the package carries, and why.
DEVIATIONS: dict[tuple[str, str, str], str] = {
    ("Resource", "Resource.extension", "extra"): "its differential has it, its snapshot not",
    ("MetadataResource", "MetadataResource", "constraint"): "it is no Element: ele-1 is not its",
    **{
        (type, f"{type}.value", "maxLength"): "derives from string, and so has its bound"
        for type in ("code", "id", "markdown")
    },
    **{
        (type, f"{type}.value", bound): "derives from integer, and so has its bound"
        for type in ("positiveInt", "unsignedInt")
        for bound in ("minValueInteger", "maxValueInteger")
    },
    ("clinicaldocument", "Composition.extension:versionNumber", "max"): (
        "the extension's own definition lets it be there once"
    ),
    ("provenance-relevant-history", "Provenance.entity.agent", "contentReference"): (
        "its tool wrote the slice into the reference: #Provenance.agent:Author"
    ),
    ("catalog", "Composition.date", "extra"): "a name where nothing is sliced, taken for a slice",
    ("catalog", "Composition.date:IssueDate", "missing"): "the same",
}
# The same for whole branches.
BRANCHES: dict[tuple[str, str], str] = {
    ("bp", "Observation.component:SystolicBP.value[x]"): (
        "valueQuantity is a slice by type, also within a slice; its tool narrowed value[x] instead"
    ),
    ("bp", "Observation.component:DiastolicBP.value[x]"): "the same",
    ("elementdefinition-de", "ElementDefinition.extension:Question."): (
        "its tool wrote out what stands in the extension's own definition, unasked"
    ),
    ("elementdefinition-de", "ElementDefinition.extension:AllowedUnits."): "the same",
}
# Where the differential says `valueQuantity`, and the tool that made the package closed the choice.
# It speaks of quantities only, HL7 ruled (FHIR-12259), and its tools have followed since.
SHORTCUTS = {
    "Observation.value[x]": [
        *("bmi", "bodyheight", "bodytemp", "bodyweight", "bp", "cholesterol", "hdlcholesterol"),
        *("headcircum", "heartrate", "ldlcholesterol", "oxygensat", "resprate", "triglyceride"),
    ],
    "Observation.effective[x]": ["devicemetricobservation"],
    "GuidanceResponse.module[x]": ["cdshooksguidanceresponse"],
}
BROKEN = {
    "familymemberhistory-genetic": (
        "`FamilyMemberHistory.condition:Condition` is the slice `Condition`, but nothing says how "
        "its element is sliced."
    )
}
PLAIN = ("path", "sliceName", "min", "max", "contentReference", "maxLength")
FLAGS = ("isModifier", "isSummary", "mustSupport")
VALUES = ("fixed", "pattern", "minValue", "maxValue")


def what_matters(element: dict[str, Any], *, type_itself: bool) -> dict[str, Any]:
    found = {name: element[name] for name in PLAIN if name in element}
    found |= {name: True for name in FLAGS if element.get(name)}
    found |= {name: value for name, value in element.items() if name.startswith(VALUES)}
    found["type"] = [
        (type["code"], type.get("profile", []), type.get("targetProfile", []))
        for type in element.get("type", [])
    ]
    found["constraint"] = sorted({c["key"] for c in element.get("constraint", [])})
    if binding := element.get("binding"):
        found["binding"] = (binding["strength"], binding.get("valueSet"))
    # Extensions are sliced by url everywhere; the snapshots of R4's types say so only sometimes.
    if slicing := not (type_itself and "xtension" in element["path"]) and element.get("slicing"):
        found["slicing"] = (slicing.get("discriminator"), slicing["rules"])
    return found


def differences(structure: dict[str, Any], made: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    whole = structure.get("derivation") != "constraint"
    got = {e["id"]: what_matters(e, type_itself=whole) for e in made}
    wanted = {e["id"]: what_matters(e, type_itself=whole) for e in structure["snapshot"]["element"]}
    for id in wanted.keys() | got.keys():
        if id not in got or id not in wanted:
            yield id, "missing" if id in wanted else "extra"
            continue
        for name in wanted[id].keys() | got[id].keys():
            if wanted[id].get(name) != got[id].get(name):
                yield id, name
    if [id for id in got if id in wanted] != [id for id in wanted if id in got]:
        yield "*", "order"


def of_r4() -> list[Canonical]:
    found = sorted(R4.of_type("StructureDefinition"), key=lambda entry: entry.url)
    return [entry for entry in found if {"snapshot", "differential"} <= entry.load().keys()]


def deviates(name: str, id: str, what: str) -> bool:
    """Whether a deviation is listed."""
    if what in ("slicing", "type") and name in SHORTCUTS.get(id, ()):
        return True
    return (name, id, what) in DEVIATIONS or any(
        name == where and id.startswith(branch) for where, branch in BRANCHES
    )


def test_every_definition_of_r4_makes_the_snapshot_it_carries_but_for_the_listed_ones() -> None:
    unlisted, met = [], set()
    compared = of_r4()
    for entry in compared:
        structure, name = entry.load(), entry.url.removeprefix(HL7)
        if name in BROKEN:
            with pytest.raises(BrokenProfile) as refused:
                generate(structure, SNAPSHOTS)
            assert refused.value.why.startswith(BROKEN[name])
            continue
        for id, what in differences(structure, generate(structure, SNAPSHOTS)):
            met |= {(name, id, what)}
            if not deviates(name, id, what):
                unlisted.append((name, id, what))
    assert unlisted == []
    assert met >= DEVIATIONS.keys(), "listed, but no deviation any more"
    assert len(compared) > 640  # 438 profiles and extensions, and the types


# ---- small cases ---------------------------------------------------------------------------------


def snapshots_of(definitions: list[dict[str, Any]]) -> Snapshots:
    entries = [of_resource(definition, "case") for definition in definitions]
    return Snapshots(R4.above([entry for entry in entries if entry]))


def told(element: dict[str, Any], name: str) -> Any:
    """A property as a case names it: whole, within another, or summed up."""
    types = element.get("type", [])
    match name:
        case "types":
            return [type["code"] for type in types]
        case "profiles" | "targets":
            key = "profile" if name == "profiles" else "targetProfile"
            return [url for type in types for url in type.get(key, [])]
        case "constraints":
            return sorted(constraint["key"] for constraint in element.get("constraint", []))
    value: Any = element
    for part in name.split("."):
        value = (value or {}).get(part)
    return value


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_a_differential_makes(file: Path) -> None:
    case = json.loads(file.read_text("utf-8"))
    snapshots = snapshots_of(case["definitions"])
    if "broken" in case:
        with pytest.raises(BrokenProfile) as refused:
            snapshots.elements(case["of"])
        assert refused.value.why == case["broken"]
        assert refused.value.url == case["of"]
        return
    made = {element["id"]: element for element in snapshots.elements(case["of"])}
    for id, wanted in case["has"].items():
        assert id in made
        assert {name: told(made[id], name) for name in wanted} == wanted, id
    assert not made.keys() & set(case.get("lacks", []))
    order = case.get("order", [])
    assert [id for id in made if id in order] == order


def test_the_same_is_refused_again_and_made_but_once() -> None:
    case = json.loads((CASES[0].parent / "broken_circle.json").read_text("utf-8"))
    snapshots = snapshots_of(case["definitions"])
    for url in [definition["url"] for definition in case["definitions"]] * 2:
        with pytest.raises(BrokenProfile, match="needs itself"):
            snapshots.elements(url)
    good = SNAPSHOTS.elements(HL7 + "bp")
    assert SNAPSHOTS.elements(HL7 + "bp") is good


def test_nothing_that_is_shared_is_changed() -> None:
    patient = R4.get(HL7 + "Patient")
    before = copy.deepcopy(patient)
    for file in CASES:
        case = json.loads(file.read_text("utf-8"))
        snapshots = snapshots_of(case["definitions"])
        for definition in case["definitions"]:
            kept = copy.deepcopy(definition)
            try:
                generate(definition, snapshots)
            except BrokenProfile:
                continue
            assert definition == kept
    assert patient == before


# ---- bad input -----------------------------------------------------------------------------------


def profile(url: str, base: str, *elements: dict[str, Any]) -> dict[str, Any]:
    return {
        "resourceType": "StructureDefinition",
        "url": url,
        "type": "Patient",
        "baseDefinition": base,
        "derivation": "constraint",
        "differential": {"element": list(elements)},
    }


def test_a_tower_of_bases_ends() -> None:
    tower = [profile("urn:0", HL7 + "Patient")]
    tower += [profile(f"urn:{n}", f"urn:{n - 1}") for n in range(1, 500)]
    with pytest.raises(BrokenProfile, match="it stands on more than 64 others"):
        snapshots_of(tower).elements("urn:499")


def test_a_snapshot_without_end_is_not_made() -> None:
    many = [{"path": "Patient.contact", "slicing": {"rules": "open"}}]
    many += [{"path": f"Patient.contact.{name}.id", "min": 0} for name in ("name", "address")]
    many += [{"path": "Patient.contact", "sliceName": str(n)} for n in range(2_000)]
    with pytest.raises(BrokenProfile, match="more than 20000 elements"):
        snapshots_of([profile("urn:many", HL7 + "Patient", *many)]).elements("urn:many")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES = ["id", "path", "sliceName", "min", "max", "type", "slicing", "constraint", "base"]
NAMES += ["binding", "contentReference"]
PATHS = (
    "Patient",
    "Patient.name",
    "Patient.extension",
    "Patient.deceasedBoolean",
    "Patient.link.x",
)
ELEMENTS = st.dictionaries(
    st.sampled_from(NAMES), JSON | st.sampled_from(PATHS) | st.just([{"code": "HumanName"}])
) | st.fixed_dictionaries({"path": st.sampled_from(PATHS)}, optional=dict.fromkeys(NAMES[2:], JSON))


@settings(max_examples=200, deadline=None)
@given(st.lists(ELEMENTS | JSON, max_size=5), st.sampled_from(["differential", "snapshot"]), JSON)
def test_whatever_comes_is_a_snapshot_or_a_broken_profile(
    elements: list[Any], part: str, base: Any
) -> None:
    structure = profile("urn:p", HL7 + "Patient") | {part: {"element": elements}}
    for each in (structure, structure | {"baseDefinition": base}, structure | {part: base}):
        try:
            made = snapshots_of([each]).elements("urn:p")
        except BrokenProfile as broken:
            assert broken.why
        else:
            assert made[0]["path"]


# ---- profiles of others --------------------------------------------------------------------------

# The cases' own broken ones, and what is said of them.
REFUSED = {
    "ext-derived-circle.json": "needs itself to be made",
    "obs-mz.json": "no element `Observation.valueBla`",
    "obs-unit-profile.json": "no element `Observation.`",
    "parameters-profiled-resource-profiles-patient2.json": "no element `Patient.dateOfBirth`",
}


def structures(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if value.get("resourceType") == "StructureDefinition":
            yield value
        value = list(value.values())
    for each in value if isinstance(value, list) else ():
        yield from structures(each)


def of_the_cases() -> list[tuple[str, dict[str, Any]]]:
    definitions, found = load(), []
    for file in sorted(SHARED.iterdir()):
        body = file.read_bytes()
        if b"StructureDefinition" not in body or file.suffix not in (".json", ".xml"):
            continue
        try:
            read = from_xml(definitions, body) if file.suffix == ".xml" else parse(body)
        except Exception:
            continue
        found += [(file.name, structure) for structure in structures(read)]
    return found


@pytest.mark.skipif(not SHARED.is_dir(), reason="the validator's cases are not here")
def test_the_profiles_of_the_validators_cases_make_snapshots() -> None:
    found = of_the_cases()
    snapshots = snapshots_of([structure for _, structure in found])
    assert len(found) > 80
    for file, structure in found:
        try:
            made = generate(structure, snapshots)
        except BrokenProfile as broken:
            assert file in REFUSED, broken
            assert REFUSED[file] in broken.why
            continue
        assert file not in REFUSED
        carried = (structure.get("snapshot") or {}).get("element")
        if carried:
            assert list(differences(structure, made)) == []


def test_an_empty_world_knows_nothing() -> None:
    with pytest.raises(BrokenProfile, match="not known"):
        Snapshots(Canonicals([])).structure(HL7 + "Patient")
