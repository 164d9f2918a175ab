"""test_primitive — what a primitive value may be, and the interval a date spans.

https://hl7.org/fhir/R4/datatypes.html#primitive
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.conformance.definitions import load
from fhir_server.foundation.primitive import VALID, interval
from fhir_server.foundation.wire import Written

UUID = "urn:uuid:c757873d-ec9a-4326-a141-556f43239520"
# type             valid                                        not valid
TABLE: list[tuple[str, list[Any], list[Any]]] = [
    ("boolean", [True, False], [1, 0, "true", None, []]),
    ("integer", [0, -1, 2**31 - 1, -(2**31)], [2**31, -(2**31) - 1, Decimal("1.0"), "1", True]),
    ("unsignedInt", [0, 2**31 - 1], [-1, 2**31, "0"]),
    ("positiveInt", [1, 2**31 - 1], [0, -1, 2**31, False]),
    (
        "decimal",
        [0, -5, Decimal("1.50"), Decimal("-0.0"), Written("1e-7"), 10**300, Decimal("1E+308")],
        ["1.5", True, Written("1E400"), Written("1e-999"), 10**400, Decimal("NaN"), 1.5],
    ),
    (
        "string",
        ["x", " x ", "Hoà Bình", "a\r\n\tb", "\u00a0x", "😀", "x" * 1048576],
        ["", " ", "\n\t", "\u00a0", "a\x00", "a\x07b", "\x1f", "\ud800", "x" * 1048577, 1, None],
    ),
    ("markdown", ["# Tiêu đề\n\n* x"], ["", "\x0b", "x" * 1048577]),
    ("code", ["male", "a b", "J20.9", "*"], ["", " a", "a ", "a  b", "a\n", "a\x00", "\u00a0a", 1]),
    ("id", ["a", "A-1.b", "x" * 64], ["", "x" * 65, "a_b", "a/b", "a b", "é", "a\n", "..\x00", 5]),
    ("uri", ["http://x.vn/a?b#c", "urn:x:y", "Patient/1", "#a"], ["", "a b", "a\n", "\t", "a\x00"]),
    ("url", ["https://x.vn"], ["https://x.vn/ a", ""]),
    ("canonical", ["http://x.vn/a|1.0", "#a"], ["http://x .vn", ""]),
    (
        "oid",
        ["urn:oid:1.2.3", "urn:oid:2.0"],
        ["1.2.3", "urn:oid:3.1", "urn:oid:1.02", "urn:oid:1"],
    ),
    ("uuid", [UUID], [UUID.upper(), UUID[9:], UUID[:-1], UUID + "0"]),
    (
        "base64Binary",
        ["AAAA", "AA==", "AAA=", "AA AA\nAAAA", "+/+/"],
        ["", "A", "AAA", "A===", "=AAA", "A=AA", "AA-_", "AAAA.", " ", 1],
    ),
    (
        "date",
        ["2026", "2026-02", "2024-02-29", "0001-01-01", "9999-12-31", "2000-02-29"],
        [
            "0000",
            "26",
            "2026-2",
            "2026-13",
            "2026-00",
            "2026-02-29",
            "1900-02-29",
            "2026-04-31",
            "2026-01-32",
            "2026-01-01T00:00:00Z",
            "2026-01-01\n",
            "२०२६",
            "20260101",
            2026,
            "",
        ],
    ),
    (
        "dateTime",
        [
            "2026",
            "2026-02",
            "2026-02-28",
            "2026-02-28T23:59:59Z",
            "2026-02-28T00:00:00.123+07:00",
            "2016-12-31T23:59:60Z",
            "2026-02-28T00:00:00-13:59",
            "2026-02-28T00:00:00+14:00",
        ],
        [
            "2026-02-28T10:00:00",
            "2026-02-28T10:00Z",
            "2026-02-28T24:00:00Z",
            "2026-02-28 10:00:00Z",
            "2026-02-28T10:00:61Z",
            "2026-02-28T10:00:00+14:01",
            "2026-02-30T10:00:00Z",
            "hôm nay",
            "2026-02-28T10:00:00.Z",
            "2026-02-28T10:00:00+07",
            "2026-02-28t10:00:00z",
        ],
    ),
    (
        "instant",
        ["2026-02-28T10:00:00Z", "2026-02-28T10:00:00.123456+07:00"],
        ["2026", "2026-02-28", "2026-02-28T10:00:00", "2026-02-29T10:00:00Z"],
    ),
    ("time", ["00:00:00", "23:59:60", "08:15:30.5"], ["24:00:00", "8:15:30", "08:15", "08:15:30Z"]),
]
VALUES = [(type, value, True) for type, valid, _ in TABLE for value in valid] + [
    (type, value, False) for type, _, wrong in TABLE for value in wrong
]


@pytest.mark.parametrize(("type", "value", "valid"), VALUES, ids=lambda value: repr(value)[:40])
def test_a_primitive_is_what_its_type_says(type, value, valid):
    assert VALID[type](value) is valid


def test_every_primitive_type_of_r4_has_its_rule_and_its_words():
    assert set(VALID) == load().primitive_types


@settings(deadline=None)
@given(st.sampled_from(sorted(VALID)), st.text() | st.floats() | st.integers() | st.none())
def test_any_value_is_decided(type, value):
    assert VALID[type](value) in (True, False)


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


# what is written              from                          until (not included)
SPANS = [
    ("2026", "2026-01-01T00:00:00+07:00", "2027-01-01T00:00:00+07:00"),
    ("2026-02", "2026-02-01T00:00:00+07:00", "2026-03-01T00:00:00+07:00"),
    ("2026-12", "2026-12-01T00:00:00+07:00", "2027-01-01T00:00:00+07:00"),
    ("2024-02-29", "2024-02-29T00:00:00+07:00", "2024-03-01T00:00:00+07:00"),
    ("2026-02-28T10:30", "2026-02-28T10:30:00+07:00", "2026-02-28T10:31:00+07:00"),
    ("2026-02-28T10:30Z", "2026-02-28T10:30:00+00:00", "2026-02-28T10:31:00+00:00"),
    ("2026-02-28T10:30:15", "2026-02-28T10:30:15+07:00", "2026-02-28T10:30:16+07:00"),
    ("2026-02-28T10:30:15-03:30", "2026-02-28T14:00:15+00:00", "2026-02-28T14:00:16+00:00"),
    ("2026-02-28T10:30:15.5Z", "2026-02-28T10:30:15.500+00:00", "2026-02-28T10:30:15.600+00:00"),
    ("2026-02-28T10:30:15.123Z", "2026-02-28T10:30:15.123+00:00", "2026-02-28T10:30:15.124+00:00"),
    ("2026-02-28T10:30:15.1239Z", "2026-02-28T10:30:15.123+00:00", "2026-02-28T10:30:15.124+00:00"),
    ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00+00:00", "2017-01-01T00:00:01+00:00"),
    ("1969-12-31T23:59:59Z", "1969-12-31T23:59:59+00:00", "1970-01-01T00:00:00+00:00"),
]


@pytest.mark.parametrize(("text", "lo", "hi"), SPANS)
def test_a_date_spans_its_precision(text, lo, hi):
    assert interval(text) == (ms(lo), ms(hi))


def test_the_zone_of_a_date_without_one_can_be_set():
    assert interval("1970-01-01", 0) == (0, 86_400_000)
    assert interval("1970-01-01", -60) == (3_600_000, 90_000_000)
    assert interval("1970-01-01T00:00:00Z", 420) == interval("1970-01-01T00:00:00Z", 0)


@pytest.mark.parametrize("text", ["0001", "9999", "9999-12", "9999-12-31", "0001-01-01"])
def test_the_first_and_the_last_year_have_their_intervals(text):
    lo, hi = interval(text)
    assert lo < hi


@pytest.mark.parametrize("text", ["", "x", "0000", "2026-13", "2026-02-30", "2026-02-30T10:00Z"])
def test_what_is_no_date_has_no_interval(text):
    with pytest.raises(ValueError):
        interval(text)


@settings(deadline=None)
@given(st.datetimes().filter(lambda moment: 1 < moment.year < 9999))
def test_an_instant_lies_in_its_second_its_day_and_its_year(moment):
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    at = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    text = moment.isoformat()[:19]
    assert interval(f"{text}Z") == (at, at + 1000)
    for shorter in (text[:16], text[:10], text[:7], text[:4]):
        lo, hi = interval(shorter, 0)
        assert lo <= at < hi
