"""A QuestionnaireResponse answers what its Questionnaire asks.

https://hl7.org/fhir/R4/questionnaireresponse.html
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.validation.content_world import issues, told
from tests.validation.test_content_questionnaire import form, item, when

CORE = "http://hl7.org/fhir/StructureDefinition/"
SDC = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-"
URL = "http://x.vn/Questionnaire/f"
UCUM = "http://unitsofmeasure.org"


def response(*items: dict[str, Any], status: str = "completed", **more: Any) -> dict[str, Any]:
    head = {"resourceType": "QuestionnaireResponse", "questionnaire": URL, "status": status}
    return {**head, "item": list(items), **more}


def given(link_id: str, *values: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An item of the response: answered, if there are values."""
    return {"linkId": link_id} | ({"answer": list(values)} if values else {}) | more


def extended(url: str, **value: Any) -> dict[str, Any]:
    return {"extension": [{"url": url, **value}]}


def coded(code: str, **more: Any) -> dict[str, Any]:
    return {"valueCoding": {"system": "http://x.vn/c", "code": code, **more}}


def km(value: int, code: str = "km") -> dict[str, Any]:
    return {"valueQuantity": {"value": Decimal(value), "system": UCUM, "code": code}}


YES, NO = {"valueBoolean": True}, {"valueBoolean": False}
A = {"valueString": "a"}
ASKED = [item("yes", "boolean"), item("why", "string", required=True, enableWhen=when("yes"))]
GROUP = item("g", "group", repeats=True, item=ASKED)
NESTED = item("q", "boolean", item=[item("in", "string", required=True)])
LEAST = {"url": CORE + "questionnaire-minOccurs", "valueInteger": 2}
MOST = {"url": CORE + "questionnaire-maxOccurs", "valueInteger": 2}

# the form's items              the response's items                         rule, place, or fine
STRUCTURE = [
    ([item("a", "string")], [given("a", A)], None),
    ([item("a", "string")], [], None),
    ([item("a", "display")], [given("a")], None),
    ([item("a", "string")], [given("b", A)], ("response-item", "item[0].linkId")),
    ([item("a", "string"), item("g", "group", item=[item("b", "string")])], [given("b", A)],
     ("response-item", "item[0].linkId")),
    ([item("a", "string"), item("b", "string")], [given("b", A), given("a", A)],
     ("response-item", "item[1]")),
    ([item("g", "group", item=[item("a", "string")])], [given("g", A)],
     ("response-item", "item[0].answer")),
    ([NESTED], [given("q", {**YES, "item": [given("in", A)]})], None),
    ([item("q", "boolean", item=[item("in", "string")])], [given("q", YES, item=[given("in", A)])],
     ("response-item", "item[0].item")),
    ([item("a", "string")], [given("a", A), given("a", A)], ("response-item", "item[1]")),
    ([item("a", "string")], [given("a", A, A)], ("response-answers", "item[0].answer")),
    ([item("a", "string", repeats=True)], [given("a", A, A)], None),
    ([item("a", "string", required=True)], [], ("response-required", "")),
    ([item("a", "string", required=True)], [given("a")], ("response-required", "item[0]")),
    ([item("g", "group", required=True, item=[item("a", "string")])], [given("g")],
     ("response-required", "item[0]")),
    ([item("g", "group", item=[item("a", "string", required=True)])], [], None),
    ([item("g", "group", item=[item("a", "string", required=True)])], [given("g")],
     ("response-required", "item[0]")),
    ([item("a", "string", extension=[LEAST], repeats=True)], [given("a", A)],
     ("response-answers", "item[0]")),
    ([item("a", "string", extension=[MOST], repeats=True)], [given("a", A, A, A)],
     ("response-answers", "item[0]")),
    ([item("a", "string", extension=[LEAST, MOST], repeats=True)], [given("a", A, A)], None),
    # enableWhen
    (ASKED, [given("yes", YES), given("why", A)], None),
    (ASKED, [given("yes", NO)], None),
    (ASKED, [], None),
    (ASKED, [given("yes", YES)], ("response-required", "")),
    (ASKED, [given("yes", NO), given("why", A)], ("response-disabled", "item[1]")),
    ([GROUP], [given("g", item=[given("yes", YES), given("why", A)]),
               given("g", item=[given("yes", NO)])], None),
    ([GROUP], [given("g", item=[given("yes", YES), given("why", A)]),
               given("g", item=[given("yes", NO), given("why", A)])],
     ("response-disabled", "item[1].item[1]")),
    ([GROUP], [given("g", item=[given("yes", NO)]), given("g", item=[given("yes", YES)])],
     ("response-required", "item[1]")),
    ([item("n", "integer"), item("a", "string", required=True, enableWhen=when(
        "n", ">=", answerInteger=18))], [given("n", {"valueInteger": 17})], None),
    ([item("n", "integer"), item("a", "string", required=True, enableWhen=when(
        "n", ">=", answerInteger=18))], [given("n", {"valueInteger": 18})],
     ("response-required", "")),
    ([item("n", "integer"), item("a", "string", required=True, enableWhen=when(
        "n", "!=", answerInteger=1))], [], ("response-required", "")),
    ([item("n", "integer"), item("a", "string", required=True, enableWhen=when(
        "n", "exists", answerBoolean=False))], [given("n", {"valueInteger": 1})], None),
]  # fmt: skip


@pytest.mark.parametrize(("items", "answers", "wrong"), STRUCTURE)
def test_the_items_of_a_response_are_those_of_its_questionnaire(items, answers, wrong):
    found = told(response(*answers), form(*items))
    if wrong is None:
        assert found == []
    else:
        rule, where = wrong
        place = ".".join(filter(None, ["QuestionnaireResponse", where]))
        assert found == [("error", rule, place)]


def test_all_conditions_must_hold_where_the_form_says_all():
    both = [*when("yes"), *when("n", answerInteger=1)]
    asked = [item("yes", "boolean"), item("n", "integer")]
    for behavior, rules in [("all", []), ("any", ["response-required"])]:
        last = item("a", "string", required=True, enableWhen=both, enableBehavior=behavior)
        found = told(response(given("yes", YES)), form(*asked, last))
        assert [rule for _, rule, _ in found] == rules


def test_a_condition_may_be_written_in_fhirpath():
    expression = "%resource.item.where(linkId='yes').answer.value = true"
    written = {"language": "text/fhirpath", "expression": expression}
    last = item("a", "string", **extended(SDC + "enableWhenExpression", valueExpression=written))
    asked = form(item("yes", "boolean"), last)
    assert told(response(given("yes", YES), given("a", A)), asked) == []
    [(_, rule, _)] = told(response(given("yes", NO), given("a", A)), asked)
    assert rule == "response-disabled"


def test_a_condition_that_cannot_be_asked_neither_enables_nor_disables():
    written = {"language": "text/fhirpath", "expression": "%launch.id = 'x'"}
    more = extended(SDC + "enableWhenExpression", valueExpression=written)
    asked = form(item("a", "string", required=True, **more))
    assert told(response(), asked) == []
    assert told(response(given("a", A)), asked) == []


CHOICE = item("a", "choice", repeats=True, answerOption=[coded("1"), coded("2")])
NONE_ELSE = {**extended(CORE + "questionnaire-optionExclusive", valueBoolean=True), **coded("0")}
ALONE = item("a", "choice", repeats=True, answerOption=[coded("1"), NONE_ELSE])
FROM_1 = {"url": CORE + "minValue", "valueInteger": 1}
TO_9 = {"url": CORE + "maxValue", "valueInteger": 9}
BOUNDED = item("a", "integer", extension=[FROM_1, TO_9])
DATED = item("a", "date", **extended(CORE + "maxValue", valueDate="2024-06"))
FAR = item("a", "quantity", **extended(SDC + "maxQuantity", valueQuantity=km(5)["valueQuantity"]))
UNITS = item("a", "quantity", **extended(
    CORE + "questionnaire-unitOption", valueCoding={"system": UCUM, "code": "km"}))  # fmt: skip
OF_PATIENT = item("a", "reference", **extended(
    CORE + "questionnaire-referenceResource", valueCode="Patient"))  # fmt: skip
SMALL = {"url": CORE + "maxSize", "valueDecimal": Decimal(3)}
PICTURE = {"url": CORE + "mimeType", "valueCode": "image/png"}
PHOTO = item("a", "attachment", extension=[SMALL, PICTURE])
GENDER = item("a", "choice", answerValueSet="http://hl7.org/fhir/ValueSet/administrative-gender")
SEX = "http://hl7.org/fhir/administrative-gender"

# the question          the answer                                          rightly so?
ANSWERS = [
    (item("a", "boolean"), YES, True),
    (item("a", "boolean"), A, False),
    (item("a", "text"), A, True),
    (item("a", "url"), {"valueUri": "http://x.vn"}, True),
    (item("a", "url"), A, False),
    (item("a", "dateTime"), {"valueDate": "2024"}, False),
    (item("a", "open-choice"), A, True),
    (item("a", "open-choice", answerOption=[coded("1")]), A, True),
    (item("a", "open-choice", answerOption=[coded("1")]), coded("3"), False),
    (CHOICE, coded("1"), True),
    (CHOICE, coded("1", display="One"), True),
    (CHOICE, coded("3"), False),
    (CHOICE, A, False),
    (item("a", "choice", answerOption=[{"valueDate": "2024"}]), {"valueDate": "2024"}, True),
    (item("a", "time", answerOption=[{"valueTime": "10:00:00"}]), {"valueTime": "09:00:00"}, False),
    (GENDER, {"valueCoding": {"system": SEX, "code": "male"}}, True),
    (GENDER, {"valueCoding": {"system": SEX, "code": "male", "display": "Male"}}, True),
    (GENDER, {"valueCoding": {"system": SEX, "code": "male", "display": "Female"}}, False),
    (GENDER, {"valueCoding": {"system": SEX, "code": "men"}}, False),
    (GENDER, {"valueCoding": {"display": "Male"}}, False),
    (item("a", "string", maxLength=1), A, True),
    (item("a", "string", maxLength=1), {"valueString": "ab"}, False),
    (item("a", "string", **extended(CORE + "minLength", valueInteger=2)), A, False),
    (item("a", "string", **extended(CORE + "regex", valueString="[0-9]+")), A, False),
    (item("a", "string", **extended(CORE + "regex", valueString="[a-z]+")), A, True),
    (item("a", "string", **extended(CORE + "regex", valueString="(a+)+$")), A, True),
    (BOUNDED, {"valueInteger": 9}, True),
    (BOUNDED, {"valueInteger": 10}, False),
    (BOUNDED, {"valueInteger": 0}, False),
    (DATED, {"valueDate": "2024-06-30"}, True),
    (DATED, {"valueDate": "2024-07-01"}, False),
    (item("a", "decimal", **extended(CORE + "maxDecimalPlaces", valueInteger=1)),
     {"valueDecimal": Decimal("1.50")}, False),
    (item("a", "decimal", **extended(CORE + "maxDecimalPlaces", valueInteger=2)),
     {"valueDecimal": Decimal("1.50")}, True),
    (FAR, km(5), True),
    (FAR, km(5000, "m"), True),
    (FAR, km(5001, "m"), False),
    (FAR, km(5, "kg"), False),
    (FAR, {"valueQuantity": {"value": Decimal(1), "unit": "km"}}, False),
    (UNITS, km(1), True),
    (UNITS, km(1, "m"), False),
    (OF_PATIENT, {"valueReference": {"reference": "Patient/1"}}, True),
    (OF_PATIENT, {"valueReference": {"reference": "http://x.vn/Patient/1"}}, True),
    (OF_PATIENT, {"valueReference": {"display": "An"}}, True),
    (OF_PATIENT, {"valueReference": {"reference": "Group/1"}}, False),
    (PHOTO, {"valueAttachment": {"contentType": "image/png", "data": "YWJj"}}, True),
    (PHOTO, {"valueAttachment": {"contentType": "image/png", "data": "YWJjZA=="}}, False),
    (PHOTO, {"valueAttachment": {"contentType": "image/gif", "data": "YWJj"}}, False),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "answer", "right"), ANSWERS)
def test_an_answer_is_what_the_question_allows(asked, answer, right):
    found = told(response(given("a", answer)), form(asked))
    assert [(severity, rule) for severity, rule, _ in found] == (
        [] if right else [("error", "response-answer")]
    )


def test_an_exclusive_option_is_chosen_alone():
    assert told(response(given("a", coded("0"))), form(ALONE)) == []
    where = "QuestionnaireResponse.item[0].answer"
    found = told(response(given("a", coded("0"), coded("1"))), form(ALONE))
    assert found == [("error", "response-answer", where)]


@pytest.mark.parametrize("status", ["in-progress", "stopped", "entered-in-error"])
def test_until_it_is_completed_what_is_missing_is_no_fault_and_what_is_wrong_a_warning(status):
    asked = form(item("a", "string", required=True), item("b", "string", maxLength=1))
    found = told(response(given("b", {"valueString": "ab"}), status=status), asked)
    assert [severity for severity, _, _ in found] == ["warning"]


def test_a_response_may_bring_its_questionnaire_along():
    asked = {**form(item("a", "choice", required=True, answerValueSet="#v")), "id": "q"}
    values = {"resourceType": "ValueSet", "id": "v", "status": "draft", "compose": {
        "include": [{"system": "http://x.vn/c", "concept": [{"code": "1"}]}]}}  # fmt: skip
    for code, rules in [("1", []), ("2", ["response-answer"])]:
        sent = response(given("a", coded(code)), questionnaire="#q", contained=[asked, values])
        assert [rule for _, rule, _ in told(sent)] == rules
    [(_, rule, where)] = told(response(questionnaire="#none", contained=[asked, values]))
    assert (rule, where) == ("response-questionnaire", "QuestionnaireResponse.questionnaire")


def test_an_unknown_questionnaire_is_told_only_to_who_asks_for_everything():
    assert told(response(given("a", A))) == []
    where = "QuestionnaireResponse.questionnaire"
    assert told(response(given("a", A)), thorough=True) == [
        ("warning", "response-questionnaire", where)
    ]


def test_what_a_questionnaire_asks_for_is_told_as_that_of_the_questionnaire():
    [issue] = issues(response(), form(item("a", "string", required=True)))
    assert issue.profile == URL
    assert "`a`" in issue.diagnostics
    assert "`a`" in (issue.vietnamese or "")


def test_a_long_form_takes_time_in_proportion_to_its_length():
    """10,000 questions, each asked for by the one before: minutes, if each looked at all."""
    items = [item("q0", "boolean")]
    items += [item(f"q{i}", "boolean", enableWhen=when(f"q{i - 1}")) for i in range(1, 10_000)]
    answers = [given(f"q{i}", YES) for i in range(0, 10_000, 2)]
    assert len(told(response(*answers), form(*items))) == 4_999
