"""R4's own conformance resources are at hand, whole but for their prose.

https://hl7.org/fhir/R4/conformance-module.html
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from fhir_server.conformance.definitions import load
from fhir_server.conformance.r4_resources import ARCHIVE, canonicals_of_r4
from fhir_server.conformance.shape import wrong_shape

ROOT = Path(__file__).parents[2]
PACKAGE = "FHIR_TEST_R4_PACKAGE"  # hl7.fhir.r4.core as .tgz
CORE = "http://hl7.org/fhir/StructureDefinition/"
BEST_PRACTICE = f"{CORE}elementdefinition-bestpractice"


@pytest.fixture(scope="module")
def known():
    return canonicals_of_r4()


def element(structure, id, view="snapshot"):
    return next(e for e in structure[view]["element"] if e["id"] == id)


def test_all_of_r4_is_there(known):
    counted = Counter(entry.type for url in known.urls() for entry in known.versions(url))
    assert counted == {
        "StructureDefinition": 655,
        "ValueSet": 1316,
        "CodeSystem": 1062,
        "ConceptMap": 80,
        "SearchParameter": 1400,
    }


def test_every_resource_is_the_one_its_entry_names_and_has_its_shape(known):
    for url in known.urls():
        for entry in known.versions(url):
            resource = entry.load()
            assert resource["resourceType"] == entry.type
            assert resource["url"].partition("|")[0] == url
            assert wrong_shape(load(), resource) is None


def test_every_type_of_r4_has_its_definition_with_snapshot_and_differential(known):
    definitions = load()
    for name in definitions.all_types:
        structure = known.get(CORE + name, "StructureDefinition")
        paths = [e["path"] for e in structure["snapshot"]["element"]]
        assert paths == [e.path for e in definitions.type(name).elements]
        assert structure["differential"]["element"]


def test_a_profile_keeps_all_that_is_asked_of_data(known):
    vitals = known.get(f"{CORE}vitalsigns")
    slicing = element(vitals, "Observation.category")["slicing"]
    assert slicing["discriminator"] == [
        {"type": "value", "path": "coding.code"},
        {"type": "value", "path": "coding.system"},
    ]
    assert element(vitals, "Observation.code", "differential")["binding"] == {
        "strength": "extensible",
        "valueSet": "http://hl7.org/fhir/ValueSet/observation-vitalsignresult",
    }
    rules = {c["key"]: c for c in element(vitals, "Observation")["constraint"]}
    assert rules["dom-6"]["extension"][0]["url"] == BEST_PRACTICE
    assert rules["vs-2"]["human"].startswith("If there is no component")
    assert "xpath" not in rules["vs-2"]


def test_prose_is_left_out(known):
    patient = known.get(f"{CORE}Patient")
    left_out = {"text", "contact", "mapping", "description"}
    assert not left_out & patient.keys()
    for found in patient["snapshot"]["element"]:
        assert not {"definition", "comment", "mapping", "requirements"} & found.keys()
        assert found["short"]


def test_concepts_keep_displays_designations_and_properties(known):
    genders = known.get("http://hl7.org/fhir/administrative-gender")
    assert [c["code"] for c in genders["concept"]] == ["male", "female", "other", "unknown"]
    act = known.get("http://terminology.hl7.org/CodeSystem/v3-ActCode")
    assert {"code": "notSelectable", "valueBoolean": True} in act["concept"][0]["property"]
    table = known.get("http://terminology.hl7.org/CodeSystem/v2-0001", "CodeSystem")
    assert {d["language"] for d in table["concept"][1]["designation"]} == {"de", "nl"}


def test_a_version_within_a_url_is_found_as_the_version(known):
    url = "http://terminology.hl7.org/CodeSystem/v2-0360"
    assert {e.version for e in known.versions(url) if e.type == "CodeSystem"} >= {"2.3.1", "2.7"}
    assert known.get(f"{url}|2.7", "CodeSystem")["url"] == f"{url}|2.7"


def test_many_threads_may_read_at_once(known):
    urls, wrong = sorted(known.urls())[::7], []

    def read():
        for url in urls:
            entry = known.entry(url)
            if entry.load()["resourceType"] != entry.type:
                wrong.append(url)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_archive_is_small_and_has_fixed_dates():
    assert ARCHIVE.stat().st_size < 3_000_000
    with zipfile.ZipFile(ARCHIVE) as archive:
        members = archive.infolist()
        assert members[0].filename == "index.json"
        assert {member.date_time for member in members} == {(2019, 10, 30, 0, 0, 0)}
        assert archive.testzip() is None


@pytest.mark.skipif(PACKAGE not in os.environ, reason=f"{PACKAGE} names no package")
def test_the_archive_is_what_the_tool_builds():
    command = [sys.executable, "tools/build_definitions.py", "--check", "--package"]
    command.append(os.environ[PACKAGE])
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "The same bytes.\n")
