"""token: a code and, perhaps, the system that gives it meaning."""

from __future__ import annotations

import pytest

from fhir_server.conformance.definitions import load
from fhir_server.foundation.outcome import Invalid, NotSupported
from fhir_server.search.dominant import DOMINANT, MOST
from fhir_server.search.kinds.token import _is_mime_type
from fhir_server.store.contract import KeyIs

from .ask import found, indexer, parameters, query

ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
GENDER = "http://hl7.org/fhir/administrative-gender"
MALE = {
    "resourceType": "Patient",
    "active": True,
    "gender": "male",
    "identifier": [{"system": "urn:cccd", "value": "079-1"}, {"value": "bare"}],
    "telecom": [{"system": "phone", "use": "home", "value": "0912"}],
}
DEAD = {"resourceType": "Patient", "deceasedDateTime": "2024-01-01"}
LIVING = {"resourceType": "Patient", "deceasedBoolean": False}
VISIT = {"resourceType": "Encounter", "status": "finished", "class": {"system": ACT, "code": "AMB"}}
OTHER_CLASS = {"resourceType": "Encounter", "class": {"system": "urn:mine", "code": "AMB"}}
BARE_CLASS = {"resourceType": "Encounter", "class": {"code": "AMB"}}
FLU = {
    "resourceType": "Condition",
    "code": {
        "coding": [
            {"system": "urn:icd", "code": "J06.9"},
            {"system": "urn:sct", "code": "54150009"},
        ],
        "text": "Cúm",
    },
}
WORDS_ONLY = {"resourceType": "Condition", "code": {"text": "đau đầu"}}
PIPE = {"resourceType": "Patient", "identifier": [{"system": "urn:a|b", "value": "1,2$3\\4"}]}
KEYWORD = {"resourceType": "Device", "udiCarrier": [{"deviceIdentifier": "AbC"}]}
V2 = "http://terminology.hl7.org/CodeSystem/v2-0203"


def typed(value: str, *codings: dict) -> dict:
    given = {"system": "urn:hospital", "value": value, "type": {"coding": list(codings)}}
    return {"resourceType": "Patient", "identifier": [given, {"value": "other"}]}


RECORD = typed("446|053", {"system": V2, "code": "MR"}, {"system": "urn:local", "code": "HS"})
XML = {
    "resourceType": "DocumentReference",
    "content": [{"attachment": {"contentType": "text/xml; charset=UTF-8"}}],
}
BARE_XML = {
    "resourceType": "DocumentReference",
    "content": [{"attachment": {"contentType": "text/xml"}}],
}

# what is stored   what is asked                        found?
TABLE = [
    (MALE, "gender=male", True),
    (MALE, f"gender={GENDER}|male", True),
    (MALE, f"gender={GENDER}|", True),
    (MALE, "gender=urn:other|male", False),
    (MALE, "gender=|male", False),
    (MALE, "gender=female", False),
    (MALE, "gender=Male", False),
    (MALE, "gender=female,male", True),
    (MALE, "gender:not=male", False),
    (MALE, "gender:not=female", True),
    (MALE, "gender:not=female,male", False),
    (DEAD, "gender:not=male", True),
    (MALE, "gender:missing=false", True),
    (DEAD, "gender:missing=true", True),
    (MALE, "active=true", True),
    (MALE, "active=false", False),
    (MALE, "identifier=079-1", True),
    (MALE, "identifier=urn:cccd|079-1", True),
    (MALE, "identifier=urn:cccd|", True),
    (MALE, "identifier=urn:other|", False),
    (MALE, "identifier=|079-1", False),
    (MALE, "identifier=|bare", True),
    (MALE, "identifier=urn:cccd|bare", False),
    (MALE, "identifier=079", False),
    (MALE, "telecom=0912", True),
    (MALE, "phone=0912", True),
    (MALE, "email=0912", False),
    (MALE, "deceased=false", True),
    (LIVING, "deceased=false", True),
    (DEAD, "deceased=true", True),
    (DEAD, "deceased=false", False),
    (VISIT, "status=finished", True),
    (VISIT, "status=planned", False),
    (VISIT, "status:missing=true", False),
    (VISIT, "class=AMB", True),
    (VISIT, f"class={ACT}|AMB", True),
    (VISIT, f"class={ACT}|", True),
    (VISIT, "class=urn:mine|AMB", False),
    (OTHER_CLASS, "class=AMB", True),
    (OTHER_CLASS, f"class={ACT}|AMB", False),
    (BARE_CLASS, "class=|AMB", True),
    (BARE_CLASS, "class=AMB", True),
    (FLU, "code=J06.9", True),
    (FLU, "code=urn:sct|54150009", True),
    (FLU, "code=urn:icd|54150009", False),
    (FLU, "code=J06", False),
    (FLU, "code=Cúm", False),
    (WORDS_ONLY, "code:missing=true", False),
    (WORDS_ONLY, "code=", None),
    (PIPE, r"identifier=urn:a\|b|1\,2\$3\\4", True),
    (PIPE, r"identifier=1\,2\$3\\4", True),
    (PIPE, "identifier=1,2", False),
    (KEYWORD, "udi-di=abc", True),
    (KEYWORD, "udi-di=ABCD", False),
    (RECORD, rf"identifier:of-type={V2}|MR|446\|053", True),
    (RECORD, r"identifier:of-type=urn:local|HS|446\|053", True),
    (RECORD, r"identifier:of-type=urn:local|MR|446\|053", False),
    (RECORD, f"identifier:of-type={V2}|MR|other", False),
    (RECORD, rf"identifier:of-type=x|y|z,{V2}|MR|446\|053", True),
    (RECORD, r"identifier=urn:hospital|446\|053", True),
    (RECORD, "identifier=|other", True),
    (RECORD, r"identifier=446\|053", True),
    (RECORD, f"identifier={V2}|", False),
    (typed("1", {"code": "MR"}), f"identifier:of-type={V2}|MR|1", False),
    (typed("1", {"system": V2}), f"identifier:of-type={V2}|MR|1", False),
    (XML, "contenttype=text/xml", False),
    (XML, "contenttype=text/xml; charset=UTF-8", True),
    (XML, "contenttype:below=text/xml", True),
    (XML, "contenttype:below=text/xml; charset=UTF-8", True),
    (XML, "contenttype:below=text", False),
    (XML, "contenttype:above=text/xml", False),
    (BARE_XML, "contenttype:below=text/xml", True),
    (BARE_XML, "contenttype:above=text/xml; charset=UTF-8", True),
    (BARE_XML, "contenttype:below=text/xml; charset=UTF-8", False),
]


@pytest.mark.parametrize(("resource", "text", "is_found"), TABLE)
def test_a_code_is_found_by_itself_by_its_system_and_by_both(resource, text, is_found) -> None:
    if is_found is None:
        with pytest.raises(Invalid):
            found(resource, text)
    else:
        assert found(resource, text) is is_found


def test_a_common_value_is_dominant_and_asked_for_as_such() -> None:
    rows = indexer().rows(VISIT)
    assert {row.dominant for row in rows.keys if row.dominant} == {1, 2}
    where = query("Encounter", "status=finished").where
    assert isinstance(where, KeyIs)
    assert (where.dominant, where.of) == (1, "Encounter")


def test_a_dominant_value_is_found_by_system_by_code_and_as_present() -> None:
    visit = {"resourceType": "Encounter", "class": {"system": ACT, "code": "AMB"}}
    for text in (f"class={ACT}|", "class=AMB", f"class={ACT}|AMB", "class:missing=false"):
        assert found(visit, text), text
    for text in (
        "class=|AMB",
        "class=IMP",
        f"class={ACT}|IMP",
        "class:missing=true",
        "class=urn:x|",
    ):
        assert not found(visit, text), text
    assert found(visit | {"class": {"code": "AMB"}}, "class=|AMB")


def test_dominant_values_are_of_a_types_own_tokens_and_of_systems_these_may_have() -> None:
    for (type, code), bits in DOMINANT.items():
        parameter = parameters().of(type)[code]
        assert parameter.type == "token"
        assert code not in parameters().everywhere()  # one number, many types
        assert all(1 <= bit <= MOST for bit in bits.values())
        if parameter.types == {"code"}:
            assert {system for system, _ in bits} <= {path.system for path in parameter.paths}


@pytest.mark.parametrize(
    ("type", "codes"),
    [
        ("Patient", "true male female false home"),
        ("Encounter", "finished AMB 01"),
        ("MedicationRequest", "active completed order outpatient"),
    ],
)
def test_a_bit_once_given_keeps_its_meaning(type, codes) -> None:
    told = {bit: code for (of, _), bits in DOMINANT.items() if of == type
            for (_, code), bit in bits.items()}  # fmt: skip
    assert [told[bit] for bit in sorted(told)] == codes.split()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("gender=a|b|c", "`system|code`"),
        ("gender=|", "`system|code`"),
        ("phone=home|0912", "has no system"),
        ("active=x|true", "has no system"),
        ("gender:nope=male", "`:nope` is no modifier of `gender`"),
        ("gender:missing=maybe", "`true` or `false`"),
        ("gender=male,,female", "empty value"),
    ],
)
def test_what_is_no_token_is_refused_with_the_reason(text, reason) -> None:
    with pytest.raises(Invalid) as refusal:
        query("Patient", text)
    assert reason in refusal.value.issues[0].diagnostics
    assert refusal.value.issues[0].expression == "http." + text.partition("=")[0].partition(":")[0]


@pytest.mark.parametrize(
    "text", ["a|b", "a", "a|b|", "|b|c", "a||c", "||", "a|b|c|d", r"a\|b|c", "|||"]
)
def test_an_identifier_of_a_type_is_asked_for_by_three_parts(text) -> None:
    with pytest.raises(Invalid, match=r"`system\|code\|value`"):
        query("Patient", f"identifier:of-type={text}")


def test_an_identifier_without_a_type_leaves_one_row() -> None:
    number = parameters().of("Patient")["identifier"].number
    rows = indexer().rows({"resourceType": "Patient", "identifier": [{"value": "1"}]}).keys
    assert len([row for row in rows if row.v >> 50 == number]) == 1


@pytest.mark.parametrize(
    ("type", "text"),
    [
        ("Patient", "identifier:in=http://x"),
        ("Patient", "gender:of-type=a|b|c"),
        ("Patient", "active:below=true"),
        ("Patient", "phone:in=http://x"),
        ("Patient", "_id:above=1"),
        ("Patient", "identifier:exact=1"),
    ],
)
def test_a_modifier_that_does_not_fit_the_datatype_is_refused_and_those_that_do_are_named(
    type, text
) -> None:
    with pytest.raises(NotSupported, match=r"cannot be asked of .*What works"):
        query(type, text)


def test_mime_types_are_the_codes_bound_to_them() -> None:
    definitions = load()
    bound = {
        parameter.code: _is_mime_type(parameter)
        for type in sorted(definitions.resource_types)
        for parameter in parameters().of(type).values()
        if parameter.type == "token"
        for path in parameter.paths
        if path.type == "code" and path.system is None
    }
    assert {code for code, is_mime in bound.items() if is_mime} == {
        "content-type", "contenttype", "format", "payload"
    }  # fmt: skip
