"""Which words a resource is told in, and what a question by words asks."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import cache
from urllib.parse import quote

import pytest

from fhir_server.conformance.definitions import load
from fhir_server.foundation.outcome import FhirError, Invalid, NotSupported
from fhir_server.search.parameters import Parameters
from fhir_server.search.query import parse
from fhir_server.search.site import Site
from fhir_server.search.texts import MAX_BYTES, MAX_TERMS, Texts, plain, token_terms
from fhir_server.search.texts_asked import MAX_NESTED, MAX_WORDS
from fhir_server.store.contract import TextHas

from .ask import parameters

SITE = Site(texts=True)


@cache
def texts() -> Texts:
    return Texts(parameters())


def terms(type: str, **elements) -> list[str]:
    return texts().terms({"resourceType": type, "id": "1", **elements})


def words(before: str, found: list[str]) -> set[str]:
    return {term[len(before) :] for term in found if term.startswith(before)}


def narrative(xhtml: str) -> dict:
    return {"text": {"status": "generated", "div": f"<div xmlns='x'>{xhtml}</div>"}}


# what is within the div                                  its words
NARRATIVES = [
    ("Ung thư gan", "ung thu gan"),
    ("<p>Ung</p><p>thư</p>", "ung thu"),
    ("Ung th<b>ư</b> g<i>a</i>n", "ung thu gan"),
    ("<table><tr><td>gan</td><td>to</td></tr></table>", "gan to"),
    ("gan<br/>to", "gan to"),
    ("gan<!-- to --> nhỏ <!-- and --->", "gan nho"),
    ("gan <!-- never closed", "gan"),
    ("gan&nbsp;to &lt;5 cm&gt; &#7873;", "gan to 5 cm e"),
    ('<a href="http://x.vn/page">gan</a>', "gan"),
    ("<img src='#1' alt='gan'/>", ""),
    ("ĐỨC Đức d\u0323u\u031b\u0301c", "duc"),
    ("<" * 100_000, ""),
    ("<!--" * 50_000, ""),
]


@pytest.mark.parametrize(("xhtml", "found"), NARRATIVES)
def test_the_words_of_a_narrative_are_its_text(xhtml, found):
    every = terms("Condition", **narrative(xhtml))
    assert words("n", every) == set(found.split())
    assert words("c", every) == set(found.split())


def test_a_narrative_is_read_in_time_that_grows_with_its_length():
    hostile = "<b" * 100_000 + "<!--" * 100_000 + "<" * 100_000 + "&" * 100_000
    assert not re.search("[a-z]{2}", plain(hostile))


CONTENT = [
    # type, elements, the words of its content
    ("Patient", {"name": [{"family": "Lê", "given": ["Văn", "An"]}]}, "le van an"),
    ("Patient", {"address": [{"line": ["12 Hàng Bạc"], "city": "Hà Nội"}]}, "12 hang bac ha noi"),
    ("Patient", {"gender": "female", "birthDate": "1980"}, ""),
    ("Patient", {"identifier": [{"system": "http://x", "value": "A12"}]}, ""),
    ("Patient", {"identifier": [{"type": {"text": "Mã thẻ"}}]}, "ma the"),
    ("Patient", {"telecom": [{"system": "phone", "value": "0901"}]}, ""),
    ("Patient", {"generalPractitioner": [{"reference": "Practitioner/ab"}]}, ""),
    ("Patient", {"generalPractitioner": [{"display": "Bác sĩ An"}]}, "bac si an"),
    ("Patient", {"contact": [{"name": {"text": "Mẹ"}}]}, "me"),
    ("Patient", {"extension": [{"url": "http://a.b", "valueString": "dân tộc"}]}, "dan toc"),
    ("Patient", {"extension": [{"url": "x", "extension": [{"url": "y", "valueMarkdown": "*ơ*"}]}]},
     "o"),
    ("Patient", {"_birthDate": {"extension": [{"url": "x", "valueString": "khoảng"}]}}, "khoang"),
    ("Patient", {"name": [{"_family": {"extension": [{"url": "x", "valueString": "chữ"}]}}]},
     "chu"),
    ("Condition", {"code": {"coding": [{"code": "C22", "version": "10", "display": "U gan"}]}},
     "u gan"),
    ("Condition", {"note": [{"text": "theo **dõi**"}]}, "theo doi"),
    ("Condition", {"contained": [{"resourceType": "Patient", "id": "p", "name": [{"text": "Tý"}]}]},
     "ty"),
    ("Bundle", {"entry": [{"resource": {"resourceType": "Patient", "name": [{"text": "Sửu"}]}}]},
     "suu"),
    ("Questionnaire", {"item": [{"linkId": "1", "item": [{"linkId": "2", "text": "Hỏi"}]}]},
     "1 2 hoi"),
    ("Observation", {"valueString": "âm tính"}, "am tinh"),
    ("Observation", {"valueQuantity": {"value": 5, "unit": "mmol"}}, "mmol"),
    ("Observation", {"component": [{"valueString": "dương"}]}, "duong"),
    ("Basic", {"unknown": "x"}, ""),
    ("Binary", {"contentType": "text/plain", "data": "Z2Fu"}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("type", "elements", "found"), CONTENT)
def test_content_is_what_is_written_for_people(type, elements, found):
    assert words("c", terms(type, **elements)) == set(found.split())


SAID = [
    # parameter, elements, the words that are said for its values
    ("code", {"code": {"text": "U gan", "coding": [{"display": "Liver tumour"}, {"code": "x"}]}},
     "u gan liver tumour"),
    ("category", {"category": [{"text": "một"}, {"coding": [{"display": "hai"}]}]}, "mot hai"),
    ("identifier", {"identifier": [{"type": {"text": "Số hồ sơ"}, "value": "x"}]}, "so ho"),
    ("severity", {"code": {"text": "U gan"}}, ""),
    ("code", {"code": {"coding": [{"code": "C22"}]}}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("code", "elements", "found"), SAID)
def test_what_is_said_for_a_code_has_terms_of_its_parameter(code, elements, found):
    number = parameters().of("Condition")[code].number
    assert words(token_terms(number), terms("Condition", **elements)) == set(found.split())


def test_a_coding_is_asked_by_its_display():
    number = parameters().of("Encounter")["class"].number
    every = terms("Encounter", **{"class": {"code": "AMB", "display": "Ngoại trú"}})
    assert words(token_terms(number), every) == {"ngoai", "tru"}


def test_terms_of_one_resource_are_bounded():
    many = " ".join(f"word{number}" for number in range(2 * MAX_TERMS))
    every = terms("Condition", code={"text": "said"}, note=[{"text": many}])
    assert len(every) == MAX_TERMS
    assert any(term.endswith("xsaid") for term in every)
    wide = " ".join("y" * 60 + str(number) for number in range(MAX_TERMS))
    assert sum(map(len, terms("Condition", note=[{"text": wide}]))) <= MAX_BYTES


def test_depth_is_no_matter():
    value: dict = {"url": "x", "valueString": "deep"}
    for _ in range(5000):
        value = {"url": "x", "extension": [value]}
    assert words("c", terms("Patient", extension=[value])) == {"deep"}


def test_the_edition_is_that_of_the_rules():
    assert Texts(Parameters(load())).edition == texts().edition


# --- what is asked -------------------------------------------------------------------------------


def asked(type: str, name: str, value: str, site: Site = SITE):
    return parse(parameters(), (type,), [(name, value)], site=site).where


QUESTIONS = [
    ("gan", "gan"),
    ("Gan TO", "gan & to"),
    ("gan and to", "gan & to"),
    ("gan OR xuong", "gan|xuong"),
    ("gan,xuong", "gan|xuong"),
    (r"gan\,xuong", "gan & xuong"),
    ("(bone OR liver) and metastases", "bone|liver & metastases"),
    ("(bone, liver) metastases", "bone|liver & metastases"),
    ("a b or c", "a|c & b|c"),
    ("a or b c", "a|b & a|c"),
    ("(a or b) (c or d)", "a|b & c|d"),
    ("a b or c d", "a|c & a|d & b|c & b|d"),
    ("((a))", "a"),
    ("meta*", "meta*"),
    ("X-quang*", "x & quang*"),
    ("- gan", "gan"),
    ("gan gan", "gan"),
    ("ngực and đau", "nguc & dau"),
    ("oral android", "oral & android"),
]


@pytest.mark.parametrize(("value", "lists"), QUESTIONS)
@pytest.mark.parametrize(("name", "before"), [("_text", "n"), ("_content", "c")])
def test_words_are_asked_as_lists_that_must_all_hold(name, before, value, lists):
    wanted = tuple(tuple(before + word for word in some.split("|")) for some in lists.split(" & "))
    assert asked("Condition", name, value) == TextHas(wanted)


REFUSED = [
    ("(gan", "`)` is missing"),
    ("gan)", "closes nothing"),
    ("()", "a word is missing"),
    ("gan or", "a word is missing"),
    ("and gan", "a word is missing"),
    ("gan,,to", "a word is missing"),
    ("gan or or to", "a word is missing"),
    ("-", "no word"),
    ("*", "no word"),
    ('"gan to"', "quotes"),
    ("NOT gan", "`NOT`"),
    ("(" * (MAX_NESTED + 1) + "gan" + ")" * (MAX_NESTED + 1), "nested"),
    ("gan " * (MAX_WORDS + 1), "more than 50 words"),
    (" or ".join(["(a b c d e)"] * 6), "written out"),
]


@pytest.mark.parametrize(("value", "why"), REFUSED)
def test_what_cannot_be_understood_is_refused_and_told(value, why):
    with pytest.raises(FhirError, match=re.escape(why)):
        asked("Condition", "_text", value)


def test_text_of_a_code_asks_how_words_begin():
    before = token_terms(parameters().of("Condition")["code"].number)
    assert asked("Condition", "code:text", "U gan") == TextHas(
        ((f"{before}u*",), (f"{before}gan*",))
    )


@pytest.mark.parametrize(
    ("type", "name", "value", "why"),
    [
        ("Condition", "code:text", "-", Invalid),
        ("Condition", "code:text", "a " * (MAX_WORDS + 1), Invalid),
        ("Patient", "gender:text", "x", NotSupported),
        ("Patient", "phone:text", "x", NotSupported),
        ("Patient", "name:text", "x", NotSupported),
        ("Condition", "_text:exact", "x", Invalid),
        ("Condition", "_content:not", "x", Invalid),
    ],
)
def test_what_has_no_words_is_not_asked_by_them(type, name, value, why):
    with pytest.raises(why):
        asked(type, name, value)


@pytest.mark.parametrize("name", ["_text", "_content", "code:text"])
def test_a_server_without_the_index_says_which_setting_turns_it_on(name):
    with pytest.raises(NotSupported, match="`text_index`"):
        asked("Condition", name, "gan", Site())


@pytest.mark.parametrize("value", ["\0", "\ud800", "肝", "𐐨*", "%", "'", "\\", "a\\'b", quote("|")])
def test_whatever_is_asked_is_a_question_or_a_refusal(value):
    with suppress(FhirError):
        asked("Condition", "_content", value)
