"""matching.toml: what it says is understood, and what is wrong in it is told by its line."""

from __future__ import annotations

import pytest

from fhir_server.sync.matching.person import Number, is_likely, judged, person_of
from fhir_server.sync.matching.rules import BUILT_IN, MOST_ROWS, BadFile, built_in, of_text
from tests.sync.matching.people import (
    AS_CARD,
    BHXH,
    CARD_10,
    CARD_15,
    CCCD,
    CMND,
    INSURANCE,
    OLD,
    OTHER_CARD_15,
    PERSONAL,
    identifier,
    patient,
)

RULES = built_in()
FORM = '[[form]]\nnumber = "n"\nsystem = "cccd"\ndigits = 12\n'
WRONG = [
    ("[[form]", 1, "is not TOML"),
    ("[[forms]]\n", 1, "`forms` is unknown"),
    (FORM + "colour = 1\n", 5, "`colour` is unknown here"),
    (FORM.replace("12", "5"), 4, "a number from 6 to 20"),
    (FORM.replace("digits = 12", 'digits = "12"'), 4, "a number from 6 to 20"),
    (FORM.replace("cccd", "no such"), 3, "a URL, or the name of a system"),
    (FORM.replace('number = "n"', "number = 1"), 2, "the name of a number"),
    (FORM + "card = true\n", 5, "one of the two"),
    (FORM.replace("digits = 12\n", ""), 1, "one of the two"),
    (FORM + '[[rule]]\nnumber = "m"\n', 6, "no `[[form]]` is of"),
    (FORM + '[[rule]]\nnumber = "n"\n' * 2, 8, "another `[[rule]]`"),
    (FORM + '[[rule]]\nnumber = "n"\nsame = ["phone"]\n', 7, "some of `birthDate`"),
    (FORM + '[[rule]]\nnumber = "n"\nsame = []\n', 7, "some of `birthDate`"),
    ('[likely]\nsame = ["name", "gender"]\n', 2, "with `birthDate` and `name`"),
    ("[likely]\n", 1, "`same` is missing"),
    ("[[likely]]\n", 1, "as `[likely]`"),
    ("[bounds]\npeople = 1\n", 2, "a number from 2 to 50"),
    ("[bounds]\npeople = true\n", 2, "a number from 2 to 50"),
    (FORM * (MOST_ROWS + 1), 4 * MOST_ROWS + 1, f"more than {MOST_ROWS} tables"),
]


@pytest.mark.parametrize(("text", "line", "said"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_told_by_its_line(text, line, said):
    with pytest.raises(BadFile) as refused:
        of_text(text)
    told = str(refused.value)
    assert said in told and "`matching.toml`" in told
    assert f"line {line}" in told


def test_a_file_that_is_empty_links_nobody():
    rules = of_text("")
    one, other = (person_of(rules, patient(id, CCCD)) for id in ("an", "binh"))
    assert judged(rules, one, other) is None and not is_likely(rules, one, other)


def test_what_is_built_in_is_read():
    assert set(RULES.rules) == {form.number for form in RULES.forms}
    assert RULES.source == str(BUILT_IN)


NUMBERS = [
    (CCCD, {Number("personal number", PERSONAL)}),
    (AS_CARD, {Number("personal number", PERSONAL)}),
    (identifier("cmnd", PERSONAL, use="old"), {Number("personal number", PERSONAL)}),
    (identifier("cccd", "092 180-004.321"), {Number("personal number", PERSONAL)}),
    (CARD_15, {Number("insurance number", INSURANCE)}),
    (identifier("bhyt", f"gd492{INSURANCE}"), {Number("insurance number", INSURANCE)}),
    (CARD_10, {Number("insurance number", INSURANCE)}),
    (BHXH, {Number("insurance number", INSURANCE)}),
    (CMND, {Number("old identity card", OLD)}),
    # another system's, another form, no one's
    (identifier("passport", PERSONAL), set()),
    (identifier("cccd", OLD), set()),
    (identifier("bhyt", f"GD992{INSURANCE}"), set()),
    (identifier("bhyt", f"GD4{INSURANCE}"), set()),
    (identifier("cccd", "000000000000"), set()),
    (identifier("cccd", "٠٩٢١٨٠٠٠٤٣٢١"), set()),
    (identifier("cccd", ""), set()),
    ({"system": "http://fhir.hl7.org.vn/core/sid/cccd"}, set()),
    # taken back, or for the time being
    (identifier("cccd", PERSONAL, use="old"), set()),
    (identifier("cccd", PERSONAL, use="temp"), set()),
    (identifier("cccd", PERSONAL, period={"end": "2025"}), set()),
]


@pytest.mark.parametrize(("told", "numbers"), NUMBERS, ids=range(len(NUMBERS)))
def test_a_number_is_known_in_each_of_its_forms(told, numbers):
    assert person_of(RULES, patient("an", told)).numbers == numbers


# one, the other, what they are
JUDGED = [
    (patient("a", CCCD), patient("b", AS_CARD), (True, ())),
    (patient("a", CCCD), patient("b", CCCD, birth=None, gender=None, name=None), (True, ())),
    (patient("a", CCCD), patient("b", CCCD, birth="1980"), (True, ())),
    (patient("a", CCCD), patient("b", CCCD, gender="unknown"), (True, ())),
    # a child under its mother's number
    (patient("a", CCCD), patient("b", CCCD, birth="2026-01-01"), (False, ("birthDate",))),
    (patient("a", CCCD), patient("b", CCCD, gender="male"), (False, ("gender",))),
    (patient("a", CARD_15), patient("b", OTHER_CARD_15), (True, ())),
    (patient("a", CARD_15), patient("b", BHXH), (True, ())),
    (patient("a", CARD_15), patient("b", CARD_10, birth=None), (False, ("birthDate",))),
    (patient("a", CMND), patient("b", CMND, name="NGUYEN THI ANH"), (True, ())),
    (patient("a", CMND), patient("b", CMND, name="Trần Văn Bé"), (False, ("name",))),
    # one rule is enough
    (
        patient("a", CCCD, CARD_15),
        patient("b", CCCD, BHXH, birth="1980-02"),
        (True, ()),
    ),
    # no number in common, whatever else is
    (patient("a", CCCD), patient("b"), None),
    (patient("a", CMND), patient("b", identifier("cccd", "361234567000")), None),
]


@pytest.mark.parametrize(("one", "other", "found"), JUDGED, ids=range(len(JUDGED)))
def test_the_same_number_is_the_same_person_unless_something_speaks_against_it(one, other, found):
    people = person_of(RULES, one), person_of(RULES, other)
    for verdict in (judged(RULES, *people), judged(RULES, *people[::-1])):
        assert (verdict and (verdict.is_one, verdict.against)) == found


LIKELY = [
    (patient("a", commune="31120"), patient("b", commune="31120", name="Nguyen Thi Anh"), True),
    (patient("a", commune="31120"), patient("b", commune="31117"), False),
    (patient("a", commune="31120"), patient("b"), False),
    (patient("a", commune="31120"), patient("b", commune="31120", gender=None), False),
    (patient("a", commune="31120", birth="1980"), patient("b", commune="31120"), False),
    (patient("a", commune="31120", name="Ánh"), patient("b", commune="31120", name="Ánh"), False),
]


@pytest.mark.parametrize(("one", "other", "found"), LIKELY, ids=range(len(LIKELY)))
def test_likely_pairs_have_everything_else_in_common(one, other, found):
    assert is_likely(RULES, person_of(RULES, one), person_of(RULES, other)) is found
