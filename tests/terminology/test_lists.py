"""What lies in terminology/ is what the lists say, each with its time and its origin."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from fhir_server.conformance import definitions
from fhir_server.terminology.files import code_list, folder, identifier_systems
from fhir_server.terminology.site import OWN, SID, site
from fhir_server.validation.structure import Validator
from tools import build_terminology

ROOT = Path(__file__).parents[2]
Json = dict[str, Any]
FILES = build_terminology.committed()


@cache
def read(name: str) -> Json:
    found: Json = json.loads((folder() / f"{name}.json").read_text("utf-8"))
    return found


@cache
def validator() -> Validator:
    return Validator(definitions.load())


def concepts(name: str) -> dict[str, Json]:
    return {each["code"]: each for each in read(f"CodeSystem-{name}")["concept"]}


def properties(concept: Json) -> dict[str, Any]:
    return {
        each["code"]: next(value for name, value in each.items() if name != "code")
        for each in concept.get("property", ())
    }


def mapped(name: str) -> dict[str, list[Json]]:
    [group] = read(f"ConceptMap-{name}")["group"]
    return {each["code"]: each["target"] for each in group["element"]}


def test_the_files_are_what_is_built() -> None:
    assert build_terminology.stale(build_terminology.rendered()) == []


def test_what_is_no_longer_built_is_told() -> None:
    built = build_terminology.rendered()
    gone = built.pop("ValueSet-commune.json")
    assert build_terminology.stale(built) and gone


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_resource_is_valid_r4(path: Path) -> None:
    resource = json.loads(path.read_text("utf-8"))
    assert path.name == f"{resource['resourceType']}-{resource['id']}.json"
    assert [i for i in validator().check(resource) if i.severity in ("error", "fatal")] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_resource_says_where_it_comes_from(path: Path) -> None:
    resource = json.loads(path.read_text("utf-8"))
    if resource["resourceType"] != "NamingSystem":
        assert len(resource["copyright"]) > 5


def test_an_url_and_version_come_once() -> None:
    told = [read(path.stem) for path in FILES]
    names = Counter((r["url"], r["version"]) for r in told if "url" in r)
    assert names.most_common(1)[0][1] == 1


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("province-before-2025-07-01", 63),
        ("province-since-2025-07-01", 34),
        ("commune-before-2025-07-01", 10_035),
        ("commune-since-2025-07-01", 3_321),
        ("ethnic-group", 56),
        ("vn-encounter-type-cs", 16),
        ("visit-object", 27),
        ("vn-treatment-outcome-cs", 7),
        ("vn-discharge-disposition-cs", 5),
        ("transfer-reason", 3),
        ("prescription-type", 4),
        ("gender", 3),
        ("living-area", 3),
    ],
)
def test_a_list_has_all_its_codes(name: str, count: int) -> None:
    assert len(concepts(name)) == count
    assert read(f"CodeSystem-{name}")["count"] == count


def test_a_code_of_before_2025_and_one_of_today_are_of_one_system_in_two_versions() -> None:
    for kind in ("commune", "province"):
        one, other = (read(f"CodeSystem-{kind}-{when}-2025-07-01") for when in ("before", "since"))
        assert one["url"] == other["url"] == f"{OWN}/CodeSystem/{kind}"
        assert one["extension"][0]["valuePeriod"] == {"end": "2025-06-30"}
        assert other["extension"][0]["valuePeriod"] == {"start": "2025-07-01"}
        assert one["version"] < other["version"]


def test_a_code_may_name_another_place_than_before() -> None:
    assert concepts("commune-before-2025-07-01")["00004"]["display"] == "Phường Trúc Bạch"
    assert concepts("commune-since-2025-07-01")["00004"]["display"] == "Phường Ba Đình"


def test_a_province_that_became_a_city_is_known_by_both_names() -> None:
    city = concepts("province-since-2025-07-01")["75"]
    assert city["display"] == "Thành phố Đồng Nai"
    assert city["designation"] == [{"language": "vi", "value": "Tỉnh Đồng Nai"}]


def test_the_six_new_kinds_of_visit_are_in_force_since_august_2026() -> None:
    since = {
        code: properties(each).get("effectiveDate")
        for code, each in concepts("vn-encounter-type-cs").items()
    }
    assert {code for code, day in since.items() if day == "2026-08-01"} == {
        "11", "12", "13", "14", "15", "16",
    }  # fmt: skip


def test_visit_objects_are_in_the_order_of_their_priority() -> None:
    ranks = [properties(each)["priority"] for each in concepts("visit-object").values()]
    assert ranks == list(range(1, 28))


def test_what_was_not_wholly_seen_is_a_fragment() -> None:
    for name in ("vn-organization-type-cs", "vn-treatment-outcome-cs", "insured-group"):
        assert read(f"CodeSystem-{name}")["content"] == "fragment"
    assert read("CodeSystem-visit-object")["content"] == "complete"


def test_every_old_commune_became_something_that_is_there_today() -> None:
    today, became = concepts("commune-since-2025-07-01"), mapped("commune-2025")
    assert set(became) == set(concepts("commune-before-2025-07-01"))
    assert all(target["code"] in today for targets in became.values() for target in targets)


def test_a_divided_commune_has_one_default_and_it_comes_first() -> None:
    divided = [targets for targets in mapped("commune-2025").values() if len(targets) > 1]
    assert len(divided) == 471
    for targets in divided:
        assert [target.get("comment") for target in targets] == [
            "default", *["part"] * (len(targets) - 1),
        ]  # fmt: skip
        assert {target["equivalence"] for target in targets} <= {"inexact", "narrower"}


@pytest.mark.parametrize(
    ("old", "equivalences"),
    [
        ("00001", ["wider"]),  # whole, with others
        ("00007", ["inexact", "inexact"]),  # in two parts, each with others
    ],
)
def test_an_equivalence_tells_of_the_target(old: str, equivalences: list[str]) -> None:
    assert [target["equivalence"] for target in mapped("commune-2025")[old]] == equivalences


def test_a_commune_that_nothing_joined_is_equivalent() -> None:
    became = mapped("commune-2025")
    into = Counter(target["code"] for targets in became.values() for target in targets)
    for targets in became.values():
        alone = len(targets) == 1 and into[targets[0]["code"]] == 1
        assert (targets[0]["equivalence"] == "equivalent") == alone


def test_the_63_provinces_became_34_and_eleven_stayed_alone() -> None:
    targets = [target for each in mapped("province-2025").values() for target in each]
    assert len(targets) == 63
    assert len({target["code"] for target in targets}) == 34
    assert Counter(target["equivalence"] for target in targets) == {"wider": 52, "equivalent": 11}


def test_every_commune_names_a_province_of_its_time() -> None:
    for when in ("before", "since"):
        provinces = concepts(f"province-{when}-2025-07-01")
        for each in concepts(f"commune-{when}-2025-07-01").values():
            assert properties(each)["province"] in provinces


def test_each_kind_of_identifier_has_its_naming_system() -> None:
    for row in identifier_systems():
        told = read(f"NamingSystem-sid-{row['key']}")
        assert told["uniqueId"][0]["value"] == SID[row["key"]]
    assert SID["vneid"] == "http://fhir.hl7.org.vn/core/sid/vneid"
    assert SID["bhxh"] == f"{OWN}/sid/bhxh"  # unverified there, so ours


def test_every_list_with_codes_is_built_or_has_its_reason_not_to_be() -> None:
    without = {"identifier-type-codes"}  # its two of HL7's are HL7's
    named = {path.stem for path in (folder() / "vietnam").glob("*.csv")} - without
    built = {each[0] for each in build_terminology.systems.LISTS}
    units = {"communes-3321", "communes-old-to-new-2025", "provinces-34", "provinces-63-to-34"}
    assert named == built | units
    assert all(code_list(name) for name in named)


# --- a base of one's own -------------------------------------------------------------------------


def test_a_province_changes_the_base_with_one_command(tmp_path: Path) -> None:
    for name in ("fhir_server", "tools", "terminology", "profiles", "docs"):
        kept = shutil.ignore_patterns("__pycache__", "*.zip", "catalogue")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=kept)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "tools/build_terminology.py", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "is no base" in run("--base", "fhir.hue.example/").stderr
    assert run("--base", "https://fhir.hue.example").returncode == 0
    assert run("--check").stdout == "The same bytes.\n"
    told = [p for p in (tmp_path / "profiles").rglob("*.json") if OWN in p.read_text("utf-8")]
    assert told == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("base = ", "is not TOML"),
        ('base = "https://a.example"\njurisdiction = "VN"', "needs `publisher`"),
        ('base = "a.example/"\npublisher = ""\njurisdiction = "VN"', "is a URL without a slash"),
    ],
)
def test_a_site_that_cannot_be_read_says_what_is_wanted(
    text: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "site.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        site(path)
