"""Code systems whose codes are made by rules."""

from __future__ import annotations

import pytest

from fhir_server.conformance.r4_resources import canonicals_of_r4
from fhir_server.terminology.syntax import SYNTAXES
from fhir_server.terminology.syntax.ucum import Units

LANGUAGE, MEDIA, UCUM = "urn:ietf:bcp:47", "urn:ietf:bcp:13", "http://unitsofmeasure.org"
COUNTRY, PART, CURRENCY = "urn:iso:std:iso:3166", "urn:iso:std:iso:3166:-2", "urn:iso:std:iso:4217"

# system     code                              is it one
TABLE = [
    (LANGUAGE, "vi", True),
    (LANGUAGE, "vi-VN", True),
    (LANGUAGE, "VI-vn", True),
    (LANGUAGE, "zh-Hant-TW", True),
    (LANGUAGE, "sl-rozaj-biske", True),
    (LANGUAGE, "de-CH-1996", True),
    (LANGUAGE, "es-419", True),
    (LANGUAGE, "en-a-myext-b-another", True),
    (LANGUAGE, "x-whatever", True),
    (LANGUAGE, "i-klingon", True),
    (LANGUAGE, "cmn", True),
    (LANGUAGE, "xx", False),
    (LANGUAGE, "vi_VN", False),
    (LANGUAGE, "vi-ZQ", False),
    (LANGUAGE, "vietnamese!", False),
    (LANGUAGE, "", False),
    (LANGUAGE, "vi-" + "a" * 300, False),
    (MEDIA, "image/png", True),
    (MEDIA, "application/fhir+json; fhirVersion=4.0", True),
    (MEDIA, 'text/plain;charset="utf-8"', True),
    (MEDIA, "x-lab/results", True),
    (MEDIA, "json", True),
    (MEDIA, "png", False),
    (MEDIA, "image/", False),
    (MEDIA, "picture/png", False),
    (MEDIA, "image/png; x", False),
    (COUNTRY, "VN", True),
    (COUNTRY, "VNM", True),
    (COUNTRY, "704", True),
    (COUNTRY, "vn", False),
    (COUNTRY, "VNN", False),
    (PART, "VN-CT", True),
    (PART, "XX-1", False),
    (CURRENCY, "VND", True),
    (CURRENCY, "DONG", False),
    (UCUM, "mm[Hg]", True),
    (UCUM, "kg/m2", True),
    (UCUM, "10*9/L", True),
    (UCUM, "/min", True),
    (UCUM, "mg/(kg.d)", True),
    (UCUM, "{score}", True),
    (UCUM, "%", True),
    (UCUM, "1", True),
    (UCUM, "m[H2O]", True),
    (UCUM, "[degF]", True),
    (UCUM, "mm Hg", False),
    (UCUM, "m[degF]", False),
    (UCUM, "kg/", False),
    (UCUM, "m//s", False),
    (UCUM, "(m", False),
    (UCUM, "m)", False),
    (UCUM, "(" * 100 + "m" + ")" * 100, False),
    (UCUM, "viên", False),
    (UCUM, "MGS", False),
    (UCUM, "", False),
]


@pytest.mark.parametrize(("system", "code", "is_one"), TABLE)
def test_a_code_is_one_by_the_rules_of_its_system(system, code, is_one) -> None:
    assert (SYNTAXES[system]().find(code) is not None) is is_one


def test_a_language_is_read_as_it_is_properly_written() -> None:
    found = SYNTAXES[LANGUAGE]().find("ZH-hant-tw")
    assert (found.code, found.display) == ("zh-Hant-TW", "Chinese (Taiwan, Province of China)")


def test_time_zones_are_those_of_this_machine_where_it_has_them() -> None:
    zones = SYNTAXES["https://www.iana.org/time-zones"]()
    if zones is None:
        pytest.skip("this machine has no time zone database")
    assert zones.find("Asia/Ho_Chi_Minh") is not None
    assert zones.find("Asia/Can_Tho") is None


def test_every_unit_that_r4_names_is_a_unit() -> None:
    its = canonicals_of_r4().get("http://hl7.org/fhir/ValueSet/ucum-common")
    codes = [each["code"] for part in its["compose"]["include"] for each in part["concept"]]
    assert len(codes) > 1000
    assert [code for code in codes if Units().find(code) is None] == []


@pytest.mark.parametrize(
    ("unit", "dimension"),
    [
        ("N", {"g": 1, "m": 1, "s": -2}),
        ("mm[Hg]", {"g": 1, "m": -1, "s": -2}),
        ("mmol/L", {"m": -3}),
        ("m/m", {}),
        ("Cel", {"K": 1}),
        ("(m/s)/s", {"m": 1, "s": -2}),
    ],
)
def test_a_unit_has_its_dimension(unit, dimension) -> None:
    assert Units().dimension(unit) == dimension
