"""A Questionnaire can be filled in: its options, initial values and conditions agree.

https://hl7.org/fhir/R4/questionnaire.html
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.validation.content_world import told


def form(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    url = {"url": "http://x.vn/Questionnaire/f", "status": "draft"}
    return {"resourceType": "Questionnaire", **url, "item": list(items), **more}


def item(link_id: str, type: str, **more: Any) -> dict[str, Any]:
    return {"linkId": link_id, "type": type, **more}


def when(question: str, operator: str = "=", **answer: Any) -> list[dict[str, Any]]:
    return [{"question": question, "operator": operator, **(answer or {"answerBoolean": True})}]


YES = item("yes", "boolean")
CODED = {"valueCoding": {"code": "a"}}

FINE = [
    form(item("a", "choice", answerOption=[CODED, {"valueInteger": 1}])),
    form(item("a", "string", answerOption=[{"valueString": "x"}])),
    form(item("a", "decimal", initial=[{"valueDecimal": 1}])),
    form(item("a", "url", initial=[{"valueUri": "http://x.vn"}])),
    form(item("a", "group", enableWhen=when("yes"), item=[item("b", "string")]), YES),
    form(item("n", "decimal"), item("a", "string", enableWhen=when("n", ">", answerInteger=5))),
    form(item("c", "choice"), item("a", "string", enableWhen=when("c", answerCoding={}))),
    form(YES, item("a", "string", enableWhen=when("yes", "exists"))),
    form(item("a", "choice", answerValueSet="#v"),
         contained=[{"resourceType": "ValueSet", "id": "v"}]),
]  # fmt: skip


@pytest.mark.parametrize("questionnaire", FINE)
def test_what_can_be_filled_in_is_fine(questionnaire):
    assert told(questionnaire) == []


# the items                                                                      rule, place
WRONG = [
    ([item("a", "integer", answerOption=[CODED])],
     "questionnaire-value", "item[0].answerOption[0]"),
    ([item("a", "choice", answerOption=[{"valueDecimal": 1}])],
     "questionnaire-value", "item[0].answerOption[0]"),
    ([item("a", "date", initial=[{"valueDateTime": "2024"}])],
     "questionnaire-value", "item[0].initial[0]"),
    ([item("a", "choice", answerValueSet="#v")],
     "questionnaire-value-set", "item[0].answerValueSet"),
    ([item("a", "string", enableWhen=when("b"))], "enable-when", "item[0].enableWhen[0].question"),
    ([item("a", "boolean", enableWhen=when("a"))], "enable-when", "item[0].enableWhen[0].question"),
    ([item("a", "group", enableWhen=when("b"), item=[item("b", "boolean")])],
     "enable-when", "item[0].enableWhen[0].question"),
    ([item("g", "group", item=[YES]), item("a", "string", enableWhen=when("g"))],
     "enable-when", "item[1].enableWhen[0].question"),
    ([YES, item("a", "string", enableWhen=when("yes", answerInteger=1))],
     "enable-when", "item[1].enableWhen[0]"),
    ([item("t", "text"), item("a", "string", enableWhen=when("t", ">", answerString="x"))],
     "enable-when", "item[1].enableWhen[0].operator"),
    ([YES, item("a", "string", enableWhen=[*when("yes"), *when("yes", "exists")])],
     "que-12", "item[1]"),
    ([item("g", "group", item=[item("a", "string", enableWhen=when("zz"))])],
     "enable-when", "item[0].item[0].enableWhen[0].question"),
]  # fmt: skip


@pytest.mark.parametrize(("items", "rule", "where"), WRONG)
def test_what_cannot_be_is_told_with_its_place(items, rule, where):
    assert told(form(*items)) == [("error", rule, f"Questionnaire.{where}")]


def test_an_unknown_value_set_is_told_only_to_who_asks_for_everything():
    asked = form(item("a", "choice", answerValueSet="http://x.vn/ValueSet/none"))
    assert told(asked) == []
    where = "Questionnaire.item[0].answerValueSet"
    assert told(asked, thorough=True) == [("warning", "questionnaire-value-set", where)]


def test_two_elements_of_one_id_are_told():
    twice = form({"id": "i", **item("a", "string")}, {"id": "i", **item("b", "string")})
    [(severity, rule, _)] = told(twice)
    assert (severity, rule) == ("error", "element-id")
