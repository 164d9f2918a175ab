"""`access.toml`: the built-in policy, and that a policy half understood is refused by its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_server.security.policy import ALL, EVERY_TYPE, FACTS, TRANSFORMATIONS, UNNAMED
from fhir_server.security.policy_file import BUILT_IN, BadFile, built_in, of_file, of_text

ROLES = "doctor nurse clerk pharmacist analyst citizen operator system"
WRITES = frozenset("cud")
SMALL = """\
[[purpose]]
code = "TREAT"
basis = "rule"
law = "a law"

[[role]]
name = "doctor"
purposes = ["TREAT"]

[[group]]
name = "directory"
types = ["Organization"]

[[rule]]
name = "care"
roles = ["doctor"]
letters = "rs"
types = ["Patient", "directory"]
reach = "care"
"""


def test_a_small_policy_is_understood() -> None:
    policy = of_text(SMALL)
    (rule,) = policy.rules
    assert rule.types == {"Patient", "Organization"}
    assert rule.letters == {"r", "s"}
    assert rule.reach == {"care"}
    assert policy.roles["doctor"].title == "doctor"
    assert policy.directory == {"Organization"}
    assert policy.honoured == {"TREAT"}


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ('code = "TREAT"', 'code = "CARE"', 2, "v3-PurposeOfUse"),
        ('code = "TREAT"', "code = [1]", 2, "v3-PurposeOfUse"),
        ('basis = "rule"', 'basis = "none"', 3, "`rule`, `told` and `consent`"),
        ('law = "a law"', 'law = " "', 4, "the law"),
        ('law = "a law"\n', "", 1, "`law` is missing"),
        ('purposes = ["TREAT"]', 'purposes = ["HRESCH"]', 8, "`HRESCH`"),
        ('purposes = ["TREAT"]', 'purposes = "TREAT"', 8, "a list of purposes"),
        ('purposes = ["TREAT"]', 'purposes = ["TREAT"]\ncan = ["fly"]', 9, "`metrics`"),
        ('purposes = ["TREAT"]', 'purposes = ["TREAT"]\ndeidentify = ["x"]', 9, "`small-cells`"),
        ('name = "directory"', 'name = "Patient"', 11, "small letters"),
        ('types = ["Organization"]', 'types = ["Organisation"]', 12, "`Organisation`"),
        ('types = ["Organization"]', 'types = ["directory"]', 12, "`directory`"),
        ('roles = ["doctor"]', 'roles = ["docter"]', 16, "`docter`"),
        ('letters = "rs"', 'letters = "sr"', 17, "in this order"),
        ('letters = "rs"', 'letters = ""', 17, "in this order"),
        ('letters = "rs"', 'letters = "read"', 17, "in this order"),
        ('types = ["Patient", "directory"]', 'types = ["patients"]', 18, "`patients`"),
        ('types = ["Patient", "directory"]', "types = []", 18, "a list of types"),
        ('reach = "care"', 'reach = "everything"', 19, "one of"),
        ('reach = "care"', 'reach = ["all", "care"]', 19, "one of"),
        ('reach = "care"', "reach = []", 19, "one of"),
        ('reach = "care"', 'reach = "care"\nexcept = ["*"]', 20, "no type is left"),
        ('reach = "care"', 'reach = "care"\npurposes = ["BTG"]', 20, "`BTG`"),
        ('reach = "care"', 'reach = "care"\nonly = "x"', 20, "`only` is unknown"),
        ('reach = "care"', 'reach = "care"\n[[rules]]\nname = "x"', 20, "`rules` is unknown"),
        ('reach = "care"', 'reach = "care"\n[break_glass]\nreason = 0', 21, "500"),
        ('reach = "care"', 'reach = "care"\n[break_glass]\nreason = true', 21, "500"),
        ('reach = "care"', 'reach = "care"\n[[consent]]\nhonoured = ["TREAT"]', 20, "`[consent]`"),
        ('reach = "care"', 'reach = "care"\n[consent]\nhonoured = ["BTG"]', 21, "`BTG`"),
        ('name = "care"', 'name = "care', 15, "not TOML"),
    ],
)
def test_what_is_wrong_is_told_by_its_line(old: str, new: str, line: int, said: str) -> None:
    text = SMALL.replace(old, new, 1)
    assert text != SMALL
    with pytest.raises(BadFile) as refused:
        of_text(text, "mine.toml")
    assert "`mine.toml`" in str(refused.value)
    assert f"line {line}" in str(refused.value)
    assert said in str(refused.value)


def test_a_name_is_told_once() -> None:
    with pytest.raises(BadFile, match=r"line 21: there is another `\[\[rule\]\]`"):
        of_text(SMALL + SMALL[SMALL.index("[[rule]]") :])


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="cannot be read as UTF-8"):
        of_file(tmp_path / "access.toml")
    (tmp_path / "access.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadFile, match="cannot be read as UTF-8"):
        of_file(tmp_path / "access.toml")


def test_an_empty_policy_lets_nobody_in() -> None:
    policy = of_text("")
    assert not policy.rules
    assert not policy.roles


def test_the_built_in_policy_is_read_as_any_other() -> None:
    assert of_text(BUILT_IN.read_text("utf-8")).rules == built_in().rules
    assert set(ROLES.split()) <= set(built_in().roles)


def test_every_star_leaves_the_audit_out() -> None:
    assert EVERY_TYPE == "*"
    for rule in built_in().rules:
        assert rule.name == "audit" or not rule.types & UNNAMED, rule.name


def test_who_reaches_every_patient_is_deidentified_or_the_auditor() -> None:
    policy = built_in()
    for rule in policy.rules:
        if ALL in rule.reach:
            for name in rule.roles:
                assert policy.roles[name].deidentify or rule.types == UNNAMED, (rule.name, name)
                assert not rule.letters & WRITES


def test_nothing_is_written_about_a_patient_who_is_not_in_care() -> None:
    about_patients = {"Encounter", "Condition", "Observation", "ServiceRequest", "Consent"}
    for rule in built_in().rules:
        if rule.letters & WRITES and rule.types & about_patients:
            takes_back = rule.letters & WRITES == {"d"} and rule.reach == {"facility"}
            assert "care" in rule.reach or rule.reach == {"patient"} or takes_back, rule.name


def test_a_glass_is_broken_only_for_one_patient_and_only_to_look() -> None:
    policy = built_in()
    rules = [rule for rule in policy.rules if rule.purposes and "BTG" in rule.purposes]
    assert [(rule.reach, rule.letters) for rule in rules] == [({"patient"}, {"r", "s"})]
    assert "BTG" not in policy.honoured


def test_a_purpose_of_the_state_or_of_research_needs_more_than_a_rule() -> None:
    purposes = built_in().purposes
    assert purposes["HRESCH"].basis == "consent"
    assert {purposes[code].basis for code in ("PUBHLTH", "HCOMPL")} == {"told"}


def test_the_built_in_file_explains_every_word_it_may_hold() -> None:
    text = BUILT_IN.read_text("utf-8")
    for word in FACTS:
        assert f'"{word}"' in text
    for word in TRANSFORMATIONS:
        assert f'"{word}"' in text
