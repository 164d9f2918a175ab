"""test_wire — what comes back is what came in, and what JSON leaves open is refused.

https://hl7.org/fhir/R4/json.html
"""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.foundation import wire
from fhir_server.foundation.outcome import FhirError, Invalid


def body(value: str) -> bytes:
    return f'{{"resourceType":"Observation","value":{value}}}'.encode()


# every JSON number, as a client may write it
NUMBERS = [
    "0",
    "-0",
    "1",
    "-1",
    "1.50",
    "1.0",
    "0.10",
    "-0.0",
    "0.000",
    "1e-7",
    "1E-7",
    "1e400",
    "1E400",
    "1e+5",
    "1.0e05",
    "-1.20E-300",
    "1e99999",
    "123456789012345678901234567890",
    "-9223372036854775809",
    "18446744073709551616",
    "0.1234567890123456789012345678901234567890",
    "100",
    "1e0",
]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_keeps_its_text(number):
    resource = wire.parse(body(number))
    assert wire.render(resource) == body(number)
    assert wire.render(copy.deepcopy(resource)) == body(number)


def test_a_decimal_is_still_a_number():
    value = wire.parse(body("1.50e-7"))["value"]
    assert value == Decimal("1.5E-7") and isinstance(value, Decimal)
    assert value + 1 == Decimal("1.00000015")


# what is sent                                    what the text means
TEXTS = [
    ('"đường Nguyễn Trãi"', "đường Nguyễn Trãi"),
    (r'"\u0110\u01b0"', "Đư"),
    (r'"\ud83d\ude00"', "😀"),
    (r'"a\\\"b\\"', 'a\\"b\\'),
    (r'"\\u0000"', r"\u0000"),
    (r'"\/\n\t"', "/\n\t"),
    ('"[{[{"', "[{[{"),
    ('""', ""),
]


@pytest.mark.parametrize(("sent", "meant"), TEXTS)
def test_a_text_is_read_as_json_says(sent, meant):
    resource = wire.parse(body(sent))
    assert resource["value"] == meant
    assert wire.parse(wire.render(resource)) == resource
    assert json.loads(wire.render_pretty(resource))["value"] == meant


DEEP = 100_000
# what is wrong                what is sent                                 what the refusal tells
REFUSED = [
    ("nothing", b"", "empty"),
    ("blank", b" \n", "empty"),
    ("cut short", b'{"resourceType":"Patient"', "too early"),
    ("a trailing comma", b'{"resourceType":"Patient",}', "line 1"),
    ("two values", b'{"resourceType":"Patient"}{}', "trailing"),
    ("a later line", b'{"resourceType":"Patient",\n "a" 1}', "line 2, column 6"),
    ("single quotes", b"{'a':1}", "well-formed"),
    ("a bare tab", b'{"resourceType":"Pa\ttient"}', "well-formed"),
    ("NaN", body("NaN"), "well-formed"),
    ("Infinity", body("-Infinity"), "well-formed"),
    ("a leading zero", body("01"), "number"),
    ("no fraction", body("1."), "number"),
    ("an absurd exponent", body("1e99999999999999999999999999"), "number"),
    ("a number of 5,000 digits", body("9" * 5000), "number"),
    ("a name twice", body('{"a":1,"b":2,"a":1}'), "`a` is given twice in `Observation.value`"),
    ("a name twice, escaped", body(r'{"a":1,"\u0061":1}'), "`a` is given twice"),
    ("an empty name twice", body('{"":1,"":1}'), "given twice"),
    ("a name twice in a list", body('[{},{"x":1,"x":1}]'), "`Observation.value[1]`"),
    ("resourceType twice", b'{"resourceType":"A","resourceType":"A"}', "`resourceType` is given"),
    ("half a character", body(r'"\ud800"'), "`Observation.value`"),
    ("the other half", body(r'"x\udc00"'), "surrogate"),
    ("halves reversed", body(r'"\ude00\ud83d"'), "surrogate"),
    ("half in a name", body(r'{"\ud800":1}'), "surrogate"),
    ("half, as bytes", body('"') + b'\xed\xa0\x80"}', "UTF-8"),
    ("latin-1", '{"resourceType":"Patiént"}'.encode("latin-1"), "not UTF-8, at line 1, column 22"),
    ("UTF-16", '{"resourceType":"Patient"}'.encode("utf-16"), "UTF-16"),
    ("UTF-16 without BOM", '{"resourceType":"Patient"}'.encode("utf-16-be"), "UTF-16"),
    ("UTF-32", '{"resourceType":"Patient"}'.encode("utf-32"), "UTF-16"),
    ("NUL", body(r'"a\u0000"'), "`Observation.value` has NUL"),
    ("NUL in a name", body(r'{"\u0000":1}'), "NUL"),
    ("a bare NUL", body('"\0"'), "well-formed"),
    ("lists too deep", body("[" * DEEP + "]" * DEEP), "deeper than 100"),
    ("objects too deep", body('{"a":' * DEEP + "1" + "}" * DEEP), "deeper than 100"),
    ("never closed", b"[" * DEEP, "deeper than 100"),
    ("mixed, never closed", b'[{"a":' * DEEP, "deeper than 100"),
    ("one level too deep", body("[" * 100 + "]" * 100), "deeper than 100"),
    ("a list", b"[]", "not a JSON object"),
    ("a text", b'"Patient"', "not a JSON object"),
    ("null", b"null", "not a JSON object"),
    ("no resourceType", b"{}", "`resourceType` is missing"),
    ("a null resourceType", b'{"resourceType":null}', "`resourceType` is missing"),
    ("a number for resourceType", b'{"resourceType":7}', "`resourceType` is not a text"),
    ("a path for resourceType", b'{"resourceType":"../Patient"}', "`../Patient`"),
    ("a long resourceType", b'{"resourceType":"' + b"A" * 10**6 + b'"}', "`resourceType` is `AAA"),
]


@pytest.mark.parametrize(
    ("sent", "told"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_what_cannot_be_read_is_refused_with_its_place(sent, told):
    with pytest.raises(Invalid) as refused:
        wire.parse(sent)
    [issue] = refused.value.issues
    assert told in issue.diagnostics
    assert len(issue.diagnostics) < 250
    wire.render(issue.diagnostics)  # can itself be told


# what is odd                  what is sent
ACCEPTED = [
    ("a UTF-8 BOM", b"\xef\xbb\xbf" + body("1")),
    ("99 levels within", body("[" * 99 + "]" * 99)),
    ("brackets in a text", body('"' + "[" * 1000 + '"')),
    ("brackets among escapes", body('"' + r"\"[{\\" * 1000 + '"')),
    ("a thousand shallow lists", body("[" + ",".join(["[{}]"] * 1000) + "]")),
    ("blanks everywhere", b' { "resourceType" :\r\n "Patient" } '),
    ("an escaped minus", body(r'"\u002d"')),
    ("escaped quotes", body(r'"\u0022\u005c"')),
]


@pytest.mark.parametrize("sent", [c[1] for c in ACCEPTED], ids=[c[0] for c in ACCEPTED])
def test_what_is_odd_but_right_is_read(sent):
    assert wire.parse(wire.render(wire.parse(sent))) == wire.parse(sent)


def test_the_bound_on_depth_can_be_set():
    assert wire.parse(body("[[]]"), max_depth=3)
    with pytest.raises(Invalid, match="deeper than 2"):
        wire.parse(body("[[]]"), max_depth=2)


def test_a_patch_is_read_by_the_same_rules():
    assert wire.parse_json(b'[{"op":"remove","path":"/a"}]') == [{"op": "remove", "path": "/a"}]
    with pytest.raises(Invalid, match="twice"):
        wire.parse_json(b'[{"op":"remove","op":"remove"}]')


def test_render_writes_what_python_made():
    value = {"a": Decimal("1.50"), "b": Decimal("1E+400"), "c": 2**70, "d": [True, None, "ô"]}
    assert wire.render(value) == '{"a":1.50,"b":1E+400,"c":%d,"d":[true,null,"ô"]}'.encode() % 2**70


# never invalid JSON, whatever a program or a patch has put together
@pytest.mark.parametrize("value", ["\ud800", {"\udfff": 1}, {"a": ["x\udc00"]}])
def test_render_refuses_half_a_character(value):
    with pytest.raises(Invalid, match="surrogate"):
        wire.render(value)


def test_render_refuses_what_is_too_deep():
    value: Any = "x"
    for _ in range(5000):
        value = [value]
    with pytest.raises(Invalid, match="deep"):
        wire.render(value)


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), object()])
def test_render_knows_no_json_for_what_json_cannot_say(value):
    with pytest.raises(TypeError):
        wire.render({"a": value})


@pytest.mark.parametrize("text", ["NaN", "1_000", " 1", ".5", "1.", "+1", "1\n", "٣", ""])
def test_a_decimal_from_elsewhere_is_a_json_number(text):
    with pytest.raises(Invalid):
        wire.decimal(text)
    with pytest.raises(ValueError, match="JSON number"):
        wire.Written(text)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_read_or_refused(sent):
    with suppress(FhirError):
        wire.parse(sent)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)


@settings(deadline=None)
@given(JSON, st.booleans(), st.sampled_from([None, 1]))
def test_arbitrary_json_comes_back_as_it_went(value, ascii, indent):
    sent = json.dumps({"resourceType": "Basic", "x": value}, ensure_ascii=ascii, indent=indent)
    try:
        found = wire.parse(sent.encode("utf-8", "surrogatepass"))
    except Invalid:
        assert "\\u0000" in sent or "\\ud" in sent or "\ud800" <= max(sent) <= "\udfff"
    else:
        assert found == {"resourceType": "Basic", "x": value}
        assert json.loads(wire.render(found)) == found
