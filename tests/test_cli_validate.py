"""`fhir-server validate`, run as a person runs it: what it says of files, and how it ends."""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fhir_server.cli.exits import Exit
from tests.test_cli import fhir_server

PATIENT = {"resourceType": "Patient", "name": [{"family": "Nguyễn", "given": ["An"]}]}
BROKEN = {**PATIENT, "gender": "nam", "birthDate": "1985-02-30"}
AT = {"managingOrganization": {"reference": "Organization/ct-01"}}
XML = '<Patient xmlns="http://hl7.org/fhir">\n  <gender value="nam"/>\n</Patient>'


def written(folder: Path, **files: Any) -> Path:
    """Files named `patients_ndjson`: the last `_` is the dot."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        stem, _, ending = name.rpartition("_")
        body = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        if ending == "ndjson":
            body = "\n".join(json.dumps(each, ensure_ascii=False) for each in content)
        (folder / f"{stem}.{ending}").write_text(body, "utf-8")
    return folder


def validate(*words: Any, at: Path) -> subprocess.CompletedProcess[str]:
    return fhir_server("validate", "--profiles", "off", *map(str, words), at=at)


def test_what_is_well_is_counted_and_the_status_is_0(tmp_path: Path) -> None:
    written(tmp_path, a_json=PATIENT, b_ndjson=[PATIENT, PATIENT])
    told = validate(tmp_path, at=tmp_path)
    assert told.returncode == Exit.DONE, told.stderr
    assert told.stdout == "3 resources: 0 with errors, 0 with warnings alone, 3 without either.\n"


def test_an_issue_is_told_with_its_line_its_rule_and_both_languages(tmp_path: Path) -> None:
    written(tmp_path, p_json=json.dumps(BROKEN, indent=2, ensure_ascii=False))
    told = validate("p.json", at=tmp_path)
    assert told.returncode == Exit.FOUND
    first, second, *_ = told.stdout.splitlines()
    assert first.startswith(
        "p.json:11:13: error binding Patient.gender: `gender` is `nam`; it must"
    )
    assert second.startswith("    `gender` là `nam`; phải là một trong")
    assert "p.json:12:16: error value Patient.birthDate:" in told.stdout
    for language, word in (("vi", "phải là"), ("en", "must be")):
        only = validate("p.json", "--language", language, at=tmp_path).stdout.splitlines()
        assert word in only[0]
        assert only[1].startswith("p.json:12:16: error value")


def test_every_form_of_file_is_read_and_folders_are_searched(tmp_path: Path) -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"fullUrl": "urn:x:1", "resource": BROKEN}],
    }
    folder = written(tmp_path / "upload", a_ndjson=[PATIENT, BROKEN], b_json=bundle, c_xml=XML)
    with gzip.open(folder / "d.ndjson.gz", "wt", encoding="utf-8") as packed:
        packed.write(f"{json.dumps(PATIENT)}\n\n{json.dumps(BROKEN)}\n")
    (folder / "notes.txt").write_text("not looked at")
    told = validate("upload", "--language", "en", at=tmp_path)
    assert told.returncode == Exit.FOUND
    places = [line.partition(": error binding ")[::2] for line in told.stdout.splitlines()]
    found = {place: rest.partition(":")[0] for place, rest in places if rest}
    assert {place.rpartition(":")[0]: where for place, where in found.items()} == {
        "upload/a.ndjson:2": "Patient.gender",
        "upload/b.json:1": "Bundle.entry[0].resource.gender",
        "upload/c.xml:2": "Patient.gender",
        "upload/d.ndjson.gz:3": "Patient.gender",
    }
    assert "6 resources: 4 with errors" in told.stdout


def test_tables_tell_of_rules_and_facilities(tmp_path: Path) -> None:
    written(tmp_path, p_ndjson=[{**BROKEN, **AT}, {**PATIENT, **AT}, BROKEN, PATIENT])
    told = validate("p.ndjson", "--quiet", at=tmp_path)
    assert told.stdout.splitlines() == [
        "",
        "severity  rule     issues  resources",
        "error     binding       2          2",
        "error     value         2          2",
        "",
        "",
        "facility            resources  with errors  share  with warnings alone",
        "(not told)                  2            1  50.0%                    0",
        "Organization/ct-01          2            1  50.0%                    0",
        "",
        "4 resources: 2 with errors, 0 with warnings alone, 2 without either.",
    ]
    only = validate("p.ndjson", "--facility", "Organization/ct-01", at=tmp_path)
    assert "2 resources: 1 with errors" in only.stdout


def test_outcomes_are_ndjson_and_the_summary_goes_elsewhere(tmp_path: Path) -> None:
    written(tmp_path, p_ndjson=[PATIENT, BROKEN, BROKEN])
    told = validate("p.ndjson", "--format", "json", "--language", "vi", at=tmp_path)
    outcomes = [json.loads(line) for line in told.stdout.splitlines()]
    assert [each["extension"][0]["valueString"] for each in outcomes] == [
        "p.ndjson:2",
        "p.ndjson:3",
    ]
    issue = outcomes[0]["issue"][0]
    assert "phải là" in issue["diagnostics"]
    assert {e["valueInteger"] for e in issue["extension"]} > {2}
    assert "3 resources: 2 with errors" in told.stderr


def test_what_is_shown_has_a_limit_and_what_is_counted_has_none(tmp_path: Path) -> None:
    written(tmp_path, p_ndjson=[BROKEN] * 20)
    told = validate("p.ndjson", "--limit", "3", "--language", "en", at=tmp_path)
    assert told.stdout.count("error binding") == 3
    assert "20 resources: 20 with errors" in told.stdout
    assert "--limit 3" in told.stderr
    everything = validate("p.ndjson", "--limit", "0", "--language", "en", at=tmp_path)
    assert everything.stdout.count("error binding") == 20


BAD = [
    ("p.json", b"{", "not well-formed JSON"),
    ("p.json", b"", "The body is empty"),
    ("p.json", b"\xff\xfe{}", "looks like UTF-16"),
    ("p.xml", b"<Patient/>", "Patient"),
    ("p.ndjson", b'[1]\n{"resourceType":"Patient"}\n', "not a JSON object"),
    ("p.json.gz", b"{}", "The file is not whole"),
    ("p.ndjson.gz", gzip.compress(b'{"resourceType":"Patient"}\n' * 99)[:-9], "not whole"),
]


@pytest.mark.parametrize(("name", "body", "sentence"), BAD, ids=[f"{b[0]} {b[2]}" for b in BAD])
def test_what_cannot_be_read_is_an_error_and_the_rest_goes_on(
    tmp_path: Path, name: str, body: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(body)
    written(tmp_path, z_json=PATIENT)
    told = validate(name, "z.json", "--language", "en", at=tmp_path)
    assert told.returncode == Exit.FOUND, told.stderr
    assert sentence in told.stdout
    assert "fatal unreadable" in told.stdout
    assert "1 with errors" in told.stdout
    assert "Traceback" not in told.stderr


MISUSE = [
    (("none.json",), "There is no file or folder `none.json`"),
    (("empty",), "no .ndjson, .json or .xml file in `empty`"),
    (("a.json", "--profile", "http://nobody.example/p"), "`http://nobody.example/p` is not known"),
    (("a.json", "--language", "fr"), "--language"),
    (("a.json", "--limit", "-1"), "--limit"),
    ((), "files"),
]


@pytest.mark.parametrize(("words", "sentence"), MISUSE)
def test_what_cannot_be_meant_is_refused_before_anything_is_done(
    tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    written(tmp_path, a_json=PATIENT)
    (tmp_path / "empty").mkdir()
    told = validate(*words, at=tmp_path)
    assert told.returncode == Exit.MISUSED
    assert sentence in told.stderr


def test_a_profile_may_be_asked_for(tmp_path: Path) -> None:
    written(tmp_path, a_json=PATIENT)
    base = "http://hl7.org/fhir/StructureDefinition/"
    assert validate("a.json", "--profile", f"{base}Patient", at=tmp_path).returncode == Exit.DONE
    other = validate("a.json", "--profile", f"{base}Observation", at=tmp_path)
    assert other.returncode == Exit.FOUND
    assert f"[{base}Observation]" in other.stdout
    thorough = validate("a.json", "--thorough", "--language", "vi", at=tmp_path)
    assert thorough.returncode == Exit.DONE
    assert "warning dom-6" in thorough.stdout


def test_the_help_teaches_by_examples(tmp_path: Path) -> None:
    told = fhir_server("validate", "--help", at=tmp_path).stdout
    for word in ("Examples:", "--language", "--format", "--profile", "--facility", "status 0"):
        assert word in told
