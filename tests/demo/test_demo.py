"""What the invented records promise: the same bytes, true shapes, every kind of everything."""

from __future__ import annotations

import hashlib
import json
import re
import tracemalloc
from collections import Counter
from datetime import datetime, timedelta
from functools import cache
from itertools import islice, pairwise
from pathlib import Path

import pytest

from fhir_server.conformance import definitions
from fhir_server.conformance.package import folder_of_definitions, layered
from fhir_server.conformance.r4_resources import canonicals_of_r4
from fhir_server.demo import Way, expected, facility_bundles, files, generate, visits
from fhir_server.demo.facility import facilities
from fhir_server.demo.identifier import check_digit, prescription, uuid7
from fhir_server.demo.lists import communes, diagnoses, drugs, kinds
from fhir_server.demo.names import FOREIGN, KHMER, KINH
from fhir_server.demo.systems import OWN, SID
from fhir_server.foundation import wire
from fhir_server.foundation.outcome import Invalid
from fhir_server.terminology.files import code_list, identifier_systems
from fhir_server.terminology.terms import Terms
from fhir_server.validation.policy import Policy
from fhir_server.validation.validator import Validator

PEOPLE = 2000
# Changes only with the records themselves; say so in the CHANGELOG.
SEED_5_OF_60 = "24e459cd2eef07c94b0f64f6f08b611699b7644c99f411bbad7c5c2a6f9c7691"
ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"


@cache
def world():
    return tuple(generate(PEOPLE, 1))


def of(type):
    return [resource for resource in world() if resource["resourceType"] == type]


def digest(records):
    hashed = hashlib.sha256()
    for resource in records:
        hashed.update(wire.render(resource) + b"\n")
    return hashed.hexdigest()


def identifiers(resource):
    return {told["system"]: told["value"] for told in resource["identifier"]}


def codes(resource, element):
    return [coding["code"] for concept in resource[element] for coding in concept["coding"]]


def extension(resource, ending):
    found = [e for e in resource.get("extension", ()) if e["url"].endswith(ending)]
    return found[0]["valueCodeableConcept"]["coding"][0]["code"] if found else None


# --- the same bytes ------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes():
    assert digest(generate(60, 5)) == digest(generate(60, 5))


def test_the_bytes_of_a_seed_are_the_same_on_every_machine_and_in_every_release_until_told():
    assert digest(generate(60, 5)) == SEED_5_OF_60


def test_another_seed_gives_other_people_in_the_same_facilities():
    one, other = list(generate(60, 5)), list(generate(60, 6))
    assert one[:472] == other[:472]
    assert not {r["id"] for r in one[472:]} & {r["id"] for r in other[472:]}


def test_ids_are_uuids_of_version_7_and_nobody_has_the_same():
    ids = Counter(resource["id"] for resource in world())
    assert ids.most_common(1)[0][1] == 1
    shape = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
    assert all(shape.fullmatch(id) for id in ids)


def test_an_id_tells_the_time_of_its_record():
    at = datetime.fromisoformat("2026-01-05T08:00:00+07:00")
    assert int(uuid7(at, "x").replace("-", "")[:12], 16) == int(at.timestamp() * 1000)


# --- a stream ------------------------------------------------------------------------------------


def test_encounters_come_in_order_of_time():
    starts = [encounter["period"]["start"] for encounter in of("Encounter")]
    assert all(one <= other for one, other in pairwise(starts))


def test_nothing_is_spoken_of_before_it_is_there():
    seen = set()
    for resource in world():
        for value in resource.values():
            if isinstance(value, dict) and "reference" in value:
                assert value["reference"] in seen
        seen.add(f"{resource['resourceType']}/{resource['id']}")


def peak_memory(patients, records):
    tracemalloc.start()
    try:
        for _ in islice(generate(patients, 3), records):
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_people():
    next(generate(1, 3))
    few, many = peak_memory(500, 8000), peak_memory(50_000, 8000)
    assert many < few + 8 * 2**20


def test_what_is_expected_is_about_what_comes():
    assert abs(len(world()) - expected(PEOPLE)) < 0.03 * len(world())


def test_a_resource_is_a_little_more_than_a_kilobyte():
    average = sum(len(wire.render(resource)) for resource in world()) / len(world())
    assert 1050 < average < 1350


# --- valid ---------------------------------------------------------------------------------------


@cache
def validator():
    """With the profiles, the code lists and the policy that come with the program."""
    folders = [folder_of_definitions(ROOT / name) for name in ("terminology", "profiles")]
    canonicals = layered(canonicals_of_r4(), [package for each in folders for package in each])
    return Validator(
        definitions.load(),
        canonicals=canonicals,
        terms=Terms(canonicals),
        policy=Policy.of(ROOT / "profiles" / "policy.toml"),
    )


def test_nothing_is_to_be_said_of_any_resource_by_r4_or_by_the_local_profiles():
    for resource in islice(world(), 0, None, 5):
        assert not validator().check(resource)


def test_who_has_no_proof_of_identity_has_its_reason():
    told = [extension(p, "/identity-reason") for p in of("Patient")]
    assert {"unknown", "newborn"} < set(told)


@pytest.mark.parametrize("way", Way)
def test_nothing_is_to_be_said_of_any_bundle_either(way):
    for bundle in visits(15, 2, way=way, history=True):
        assert validator().check(bundle) == []


def test_a_visit_is_what_the_profile_of_visits_asks_for():
    profile = f"{OWN}/StructureDefinition/vn-visit-bundle"
    for bundle in islice(visits(15, 2), 20):
        assert validator().check(bundle, profiles=[profile]) == []


def test_every_code_is_in_its_list():
    listed = {
        "vn-ext-ethnicity": ("Patient", "ethnic-groups"),
        "vn-ext-treatment-outcome": ("Encounter", "treatment-outcome-ket-qua-dtri"),
        "vn-ext-insurance-visit-type": ("Encounter", "insurance-visit-type-malydo-vncore"),
        "/visit-object": ("Encounter", "visit-object-ma-doituong-kcb"),
        "vn-ext-org-type": ("Organization", "organization-type-vncore"),
        "vn-ext-org-level": ("Organization", "admin-health-level"),
        "/organization-rank": ("Organization", "hospital-rank"),
        "/facility-care-level": ("Organization", "facility-care-level"),
    }
    for ending, (type, name) in listed.items():
        used = {extension(resource, ending) for resource in of(type)} - {None}
        assert used
        assert used <= {row["code"] for row in code_list(name)}


# --- facilities ----------------------------------------------------------------------------------


def test_there_are_151_public_facilities_and_13_clinics():
    types = Counter(facility.type for facility in facilities())
    assert types == {"BV": 20, "TTYT": 28, "TYT": 103, "PK": 13}


def test_each_commune_has_its_health_post():
    assert Counter(commune.name.split()[0] for commune in communes()) == {"Phường": 31, "Xã": 72}
    posts = {facility.name for facility in facilities() if facility.type == "TYT"}
    assert posts == {f"Trạm Y tế {commune.name}" for commune in communes()}


def test_each_facility_has_a_code_and_a_gln_of_its_own():
    assert len({facility.code for facility in facilities()}) == 164
    for facility in facilities():
        assert re.fullmatch("9[234][0-9]{3}", facility.code)
        assert re.fullmatch("893[0-9]{10}", facility.gln)
        assert facility.gln[-1] == check_digit(facility.gln[:-1])


def test_the_check_digit_is_that_of_gs1():
    assert check_digit("629104150021") == "3"  # GS1's own example


def test_a_part_comes_after_its_whole():
    posts = [resource for resource in of("Organization") if "partOf" in resource]
    assert len(posts) == 103


# --- people --------------------------------------------------------------------------------------


def test_family_names_have_their_true_weight():
    named = [p["name"][0].get("family", "") for p in of("Patient") if "family" in p["name"][0]]
    share = {name: count / len(named) for name, count in Counter(named).items()}
    for name, true in (("Nguyễn", 0.38), ("Trần", 0.11), ("Lê", 0.095), ("Phạm", 0.07)):
        assert abs(share[name] - true) < 0.25 * true + 0.01
    assert {"Thạch", "Danh", "Sơn", "Lâm", "Trương"} <= set(share)


def test_identifiers_have_the_form_their_rule_asks_for():
    rules = {
        SID[row["key"]]: re.compile(row["regex"]) for row in identifier_systems() if row["regex"]
    }
    checked = Counter()
    for resource in world():
        group = resource.get("groupIdentifier")
        for told in [*resource.get("identifier", ()), *([group] if group else ())]:
            if rule := rules.get(told["system"]):
                assert rule.search(told["value"]), told
                checked[told["system"]] += 1
    keys = (
        "cccd",
        "cmnd",
        "bhyt",
        "ma-cskcb",
        "gln13",
        "prescription",
        "ma-lk",
        "birth-cert",
        "temp",
    )
    assert {SID[key] for key in keys} <= set(checked)


def test_a_personal_number_agrees_with_sex_and_year_of_birth():
    for patient in of("Patient"):
        if number := identifiers(patient).get(SID["cccd"]):
            year = int(patient["birthDate"][:4])
            sex = 0 if patient["gender"] == "male" else 1
            assert int(number[3]) == 2 * (year // 100 - 19) + sex
            assert number[4:6] == f"{year % 100:02}"


def test_nobody_has_the_personal_number_of_another():
    numbers = [identifiers(p).get(SID["cccd"]) for p in of("Patient")]
    known = [number for number in numbers if number]
    assert len(known) == len(set(known))


def test_insurance_cards_come_in_all_three_forms():
    lengths = Counter(len(identifiers(p).get(SID["bhyt"], "")) for p in of("Patient"))
    assert min(lengths[10], lengths[12], lengths[15]) > PEOPLE * 0.05


def test_who_is_unknown_newborn_or_foreign_has_no_personal_number():
    for key, least in (("temp", 1), ("birth-cert", 5), ("passport", 1)):
        those = [p for p in of("Patient") if SID[key] in identifiers(p)]
        assert len(those) >= least
        assert not any(SID["cccd"] in identifiers(p) for p in those)


def test_people_are_of_the_groups_that_live_there():
    groups = Counter(extension(p, "vn-ext-ethnicity") for p in of("Patient"))
    assert 0.8 < groups[KINH] / PEOPLE < 0.92
    assert 0.06 < groups[KHMER] / PEOPLE < 0.14
    assert groups[FOREIGN]


def test_some_know_the_year_of_their_birth_alone():
    assert sum(len(p.get("birthDate", "")) == 4 for p in of("Patient")) > PEOPLE * 0.01


def test_both_spellings_of_a_tone_appear():
    given = {p["name"][0]["given"][-1] for p in of("Patient") if "given" in p["name"][0]}
    assert {"Hòa", "Hoà", "Thúy", "Thuý"} <= given


def test_nobody_comes_after_their_death():
    deaths = {p["id"]: p["deceasedDateTime"] for p in of("Patient") if "deceasedDateTime" in p}
    assert len(deaths) > PEOPLE * 0.005
    for encounter in of("Encounter"):
        _, _, who = encounter["subject"]["reference"].partition("/")
        assert encounter["period"]["start"] <= deaths.get(who, "9")


def test_addresses_of_before_july_2025_may_have_a_district_and_later_ones_never():
    old = {old["old_code"] for old in code_list("communes-old-to-new-2025")}
    new = {commune.code for commune in communes()}
    districts = 0
    for patient in of("Patient"):
        for address in patient.get("address", ()):
            if "extension" not in address:
                continue
            code = address["extension"][0]["valueCoding"]["code"]
            assert code in (old if "district" in address else new)
            assert ("district" in address) == (address.get("period") == {"end": "2025-06-30"})
            districts += "district" in address
    assert districts > PEOPLE * 0.1


# --- visits --------------------------------------------------------------------------------------


def test_encounters_of_all_16_kinds_appear_each_once_it_is_in_force():
    used = Counter()
    for encounter in of("Encounter"):
        [kind] = codes(encounter, "type")
        used[kind] += 1
        if kind > "10":
            assert encounter["period"]["start"] >= kinds()[kind].since
    assert set(used) == set(kinds())
    assert 0.055 < used["03"] / sum(used.values()) < 0.085


def test_most_come_between_seven_and_eleven():
    hours = Counter(int(e["period"]["start"][11:13]) for e in of("Encounter"))
    assert sum(hours[hour] for hour in range(7, 11)) > 0.5 * hours.total()
    assert all(e["period"]["start"].endswith(":00+07:00") for e in of("Encounter"))


def test_facilities_are_visited_by_zipfs_law():
    counts = Counter(e["serviceProvider"]["reference"] for e in of("Encounter")).most_common()
    assert 0.12 < counts[0][1] / len(of("Encounter")) < 0.32
    assert len(counts) > 130


def test_lying_in_for_less_than_four_hours_is_a_kind_of_its_own():
    for encounter in of("Encounter"):
        if codes(encounter, "type") == ["03"] and "end" in encounter["period"]:
            start, end = (
                datetime.fromisoformat(encounter["period"][at]) for at in ("start", "end")
            )
            assert end - start >= timedelta(hours=4)


def test_who_is_referred_or_sent_on_has_the_other_facility_named():
    for encounter in of("Encounter"):
        stay = encounter.get("hospitalization", {})
        if extension(encounter, "/visit-object") == "1.3":
            assert stay["origin"]["identifier"]["system"] == SID["ma-cskcb"]
        left = stay.get("dischargeDisposition", {"coding": [{"code": ""}]})["coding"][0]["code"]
        assert ("destination" in stay) == (left in ("2", "5"))


def test_an_encounter_ends_after_it_begins():
    for encounter in of("Encounter"):
        period = encounter["period"]
        assert period["start"] < period.get("end", "9")
        assert ("end" in period) == (encounter["status"] != "in-progress")


def test_a_visit_has_two_to_four_drugs_seldom_more_and_never_above_15():
    lines = Counter(m["encounter"]["reference"] for m in of("MedicationRequest"))
    spread = Counter(lines.values())
    assert max(spread) <= 15
    assert max(spread) > 6
    assert sum(spread[n] for n in (2, 3, 4)) > 0.85 * len(lines)


def test_prescriptions_of_all_four_types_appear_and_each_has_its_own_code():
    owner = {}
    for line in of("MedicationRequest"):
        code = line["groupIdentifier"]["value"]
        assert (
            owner.setdefault(code, line["encounter"]["reference"])
            == (line["encounter"]["reference"])
        )
    assert set("NHCT") == {code[-1] for code in owner}


def test_a_herbal_prescription_has_its_letter_since_march_2026():
    written = {
        (line["groupIdentifier"]["value"][-1], line["authoredOn"] >= "2026-03-01")
        for line in of("MedicationRequest")
    }
    assert ("T", True) in written
    assert ("T", False) not in written


def test_narcotics_are_prescribed_only_where_there_are_beds():
    beds = {facility.code for facility in facilities() if facility.beds}
    for line in of("MedicationRequest"):
        code = line["groupIdentifier"]["value"]
        assert code[-1] != "N" or code[:5] in beds


def test_prescription_codes_tell_no_order_and_never_repeat():
    codes = [prescription("92001", count, "C", 7) for count in range(5000)]
    assert len(set(codes)) == 5000
    assert codes != sorted(codes)


def test_each_drug_treats_a_diagnosis_that_there_is():
    groups = {diagnosis.group for diagnosis in diagnoses()}
    assert set(drugs()) <= groups
    assert groups - set(drugs()) == {"check", "screen"}


# --- bundles -------------------------------------------------------------------------------------


def test_a_visit_names_its_facility_by_identifier_and_its_own_records_by_urn():
    [*first] = islice(visits(30, 4), 5)
    for bundle in first:
        new = {entry["fullUrl"] for entry in bundle["entry"]}
        for entry in bundle["entry"]:
            told = entry["resource"]
            for element in ("serviceProvider", "managingOrganization"):
                if element in told:
                    where = told[element]["reference"]
                    assert where.startswith(f"Organization?identifier={SID['ma-cskcb']}|")
            if told["resourceType"] == "MedicationRequest":
                assert told["encounter"]["reference"] in new


def test_who_comes_again_is_named_by_identifier():
    subjects = {
        entry["resource"]["subject"]["reference"].partition(":")[0].partition("?")[0]
        for bundle in visits(30, 4)
        for entry in bundle["entry"]
        if "subject" in entry["resource"]
    }
    assert subjects == {"urn", "Patient"}


def test_history_amends_and_deletes_about_as_often_as_it_should():
    methods = Counter()
    for bundle in visits(1500, 9, history=True):
        request = bundle["entry"][0]["request"]
        methods[request["method"], request["url"].partition("?")[0].partition("/")[0]] += 1
    encounters = 1500 * 3.7
    assert 0.02 < methods["PUT", "Encounter"] / encounters < 0.04
    assert 0.001 < methods["PUT", "Patient"] / 1500 < 0.03
    assert 5 < methods["DELETE", "MedicationRequest"] < 60


def test_with_history_the_last_version_of_each_is_what_stands():
    last = {}
    for resource in generate(300, 9, history=True):
        last[resource["resourceType"], resource["id"]] = resource
    plain = {(r["resourceType"], r["id"]) for r in generate(300, 9)}
    assert set(last) == plain


def test_facilities_come_as_transactions_of_bounded_size():
    sizes = [len(bundle["entry"]) for bundle in facility_bundles(200)]
    assert sizes == [200, 200, 72]


# --- files ---------------------------------------------------------------------------------------


def test_ndjson_has_a_file_for_each_type_and_a_line_for_each_resource(tmp_path):
    told = []
    counts = files.write(
        tmp_path, patients=20, seed=2, format="ndjson", progress=lambda *at: told.append(at)
    )
    for type, count in counts.items():
        lines = (tmp_path / f"{type}.ndjson").read_bytes().splitlines()
        assert len(lines) == count
        assert json.loads(lines[-1])["resourceType"] == type
    assert told[-1] == (sum(counts.values()),) * 2


def test_bundles_are_transactions_that_name_each_resource_once(tmp_path):
    counts = files.write(tmp_path, patients=20, seed=2, format="bundle")
    urls = []
    for path in sorted(tmp_path.iterdir()):
        bundle = json.loads(path.read_bytes())
        assert bundle["type"] == "transaction"
        assert len(bundle["entry"]) <= 500
        urls += [entry["request"]["url"] for entry in bundle["entry"]]
    assert len(urls) == len(set(urls)) == sum(counts.values())


def test_a_format_that_is_not_known_is_refused(tmp_path):
    with pytest.raises(Invalid, match="`csv` is not a format"):
        files.write(tmp_path, patients=1, format="csv")


# --- the example in docs -------------------------------------------------------------------------


def test_the_example_visit_is_a_patient_an_encounter_and_three_prescription_lines():
    bundle = json.loads((EXAMPLES / "visit.json").read_bytes())
    types = [entry["resource"]["resourceType"] for entry in bundle["entry"]]
    assert types == ["Patient", "Encounter", *["MedicationRequest"] * 3]
    provider = bundle["entry"][1]["resource"]["serviceProvider"]["reference"]
    facility = json.loads((EXAMPLES / "facility.json").read_bytes())
    [entry] = facility["entry"]
    assert provider == f"Organization?{entry['request']['ifNoneExist']}"


@pytest.mark.parametrize("name", ["visit", "facility"])
def test_nothing_is_to_be_said_of_the_examples(name):
    assert not validator().check(wire.parse((EXAMPLES / f"{name}.json").read_bytes()))


def test_our_own_names_are_told_from_vn_cores():
    assert SID["cccd"] == "http://fhir.hl7.org.vn/core/sid/cccd"
    assert {SID[key] for key in ("gln13", "temp", "prescription", "mrn", "bhxh")} == {
        f"{OWN}/sid/{key}" for key in ("gln13", "temp", "prescription", "mrn", "bhxh")
    }
