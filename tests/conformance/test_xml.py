"""test_xml — XML says the same as JSON, and what R4 does not say in XML is refused.

https://hl7.org/fhir/R4/xml.html
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.conformance.definitions import load
from fhir_server.conformance.xml import from_xml, to_xml
from fhir_server.foundation import wire
from fhir_server.foundation.outcome import FhirError, Invalid, NotAcceptable

R4 = load()
DIV = (
    '<div xmlns="http://www.w3.org/1999/xhtml">Ngô &amp; <b title="x">Đào</b><br/><!-- c --></div>'
)
DATE_EXTENSION = {"extension": [{"url": "urn:u", "valueDateTime": "1990-01-01T10:00:00+07:00"}]}


def patient(inner: str, attributes: str = "") -> bytes:
    return f'<Patient xmlns="http://hl7.org/fhir"{attributes}>{inner}</Patient>'.encode()


# what stands within <Patient>, and what stands beside resourceType in JSON
SAME: list[tuple[str, dict[str, Any]]] = [
    ("", {}),
    ('<id value="1"/><active value="true"/>', {"id": "1", "active": True}),
    ('<birthDate value="1990"/>', {"birthDate": "1990"}),
    ('<birthDate id="b"/>', {"_birthDate": {"id": "b"}}),
    (
        '<birthDate value="1990" id="b"><extension url="urn:u">'
        '<valueDateTime value="1990-01-01T10:00:00+07:00"/></extension></birthDate>',
        {"birthDate": "1990", "_birthDate": {"id": "b", **DATE_EXTENSION}},
    ),
    ("<multipleBirthInteger value='3'/>", {"multipleBirthInteger": 3}),
    (
        '<name id="n"><family value="Ngô &quot;Đ&quot; &lt;&amp;>"/><given value="An"/>'
        '<given id="g"/><given value="Bình" id="h"/></name><name><text value="x&#10;y"/></name>',
        {
            "name": [
                {
                    "id": "n",
                    "family": 'Ngô "Đ" <&>',
                    "given": ["An", None, "Bình"],
                    "_given": [None, {"id": "g"}, {"id": "h"}],
                },
                {"text": "x\ny"},
            ]
        },
    ),
    ('<name><given id="g"/></name>', {"name": [{"_given": [{"id": "g"}]}]}),
    (
        f'<text><status value="generated"/>{DIV}</text>',
        {"text": {"status": "generated", "div": DIV}},
    ),
    (
        '<contained><Observation><id value="o"/><valueQuantity><value value="1.50"/>'
        "</valueQuantity></Observation></contained><contained><Basic/></contained>",
        {
            "contained": [
                {
                    "resourceType": "Observation",
                    "id": "o",
                    "valueQuantity": {"value": Decimal("1.50")},
                },
                {"resourceType": "Basic"},
            ]
        },
    ),
]

REFUSED: list[tuple[bytes, str]] = [
    (b"", "empty"),
    (b" \n", "empty"),
    (b"{}", "not well-formed XML: not well-formed (invalid token), at line 1, column 1"),
    (b"<Patient", "unclosed token"),
    (patient("<name>"), "mismatched tag"),
    (patient("") + b"<a/>", "junk after"),
    (b"<Patient/>", "not in the namespace of FHIR"),
    (b'<f:Patient xmlns:f="urn:x"/>', "not in the namespace of FHIR"),
    (b'<Shoe xmlns="http://hl7.org/fhir"/>', "`Shoe` is no resource type"),
    (b'<HumanName xmlns="http://hl7.org/fhir"/>', "no resource type"),
    (b'<Resource xmlns="http://hl7.org/fhir"/>', "no resource type"),
    (patient("", ' id="1"'), "`id` is no attribute of this element (`Patient`, line 1)"),
    (patient('\n<shoe value="1"/>'), "`shoe` is no element of `Patient` (`Patient`, line 2)"),
    (patient('<name><use value="a" size="2"/></name>'), "`size` is no attribute"),
    (patient('<name value="a"/>'), "`value` is no attribute"),
    (patient('<name url="a"/>'), "`url` is no attribute"),
    (patient('<extension><url value="u"/></extension>'), "`url` is no element"),
    (patient('<name><id value="u"/></name>'), "`id` is no element"),
    (patient("<birthDate>1990</birthDate>"), "The text `1990`"),
    (patient("hello"), "The text `hello`"),
    (patient('<gender value="male"/><gender value="male"/>'), "`gender` is given twice"),
    (
        patient('<name><family value=""/></name>'),
        "`value` is empty; leave it out (`Patient.name[0]",
    ),
    (patient("<name/>"), "The element is empty; leave it out (`Patient.name[0]`"),
    (patient("<birthDate/>"), "empty"),
    (patient("<contained/>"), "empty"),
    (patient("<contained><name/></contained>"), "no resource type"),
    (patient("<contained><Basic/><Basic/></contained>"), "A second resource"),
    (patient('<contained id="x"><Basic/></contained>'), "no attribute"),
    (patient('<active value="TRUE"/>'), "neither `true` nor `false` (`Patient.active`"),
    (patient('<multipleBirthInteger value="1.0"/>'), "not an integer"),
    (patient(f'<multipleBirthInteger value="{"9" * 5000}"/>'), "not an integer"),
    (patient('<birthDate><extension url="u"/><value/></birthDate>'), "`value` is no element"),
    (patient("<text><div>x</div></text>"), "`div` is no element"),
    (patient(f"<text>{DIV}{DIV}</text>"), "`div` is given twice"),
    (patient(DIV), "not in the namespace of FHIR"),
    (patient("<text>" + DIV.replace("<br/>", '<f xmlns="urn:x"/>') + "</text>"), ""),
    (patient('<x:name xmlns:x="urn:x"/>'), "not in the namespace of FHIR"),
    (b'<!DOCTYPE x [<!ENTITY e "y">]>' + patient('<language value="&e;"/>'), "DOCTYPE"),
    (b'<!DOCTYPE x SYSTEM "file:///etc/passwd">' + patient(""), "DOCTYPE"),
    (patient('<language value="&nbsp;"/>'), "undefined entity"),
    (patient("<contact>" * 200), "is no element"),
    (patient("<extension url='u'>" * 200), "deeper than 100"),
    (patient("<text>" + DIV.replace("<br/>", "<i>" * 200) + "</text>"), "deeper than 100"),
    (patient('<language value="é"/>').decode().encode("latin-1"), "not UTF-8"),
    (patient("").decode().encode("utf-16"), "not UTF-8"),
    (patient("").decode().encode("utf-16-le"), "not UTF-8"),
]


@pytest.mark.parametrize(("inner", "content"), SAME)
def test_xml_and_json_say_the_same(inner: str, content: dict[str, Any]) -> None:
    resource = {"resourceType": "Patient", **content}
    read = from_xml(R4, patient(inner))
    assert read == resource
    assert str(read) == str(resource)
    written = to_xml(R4, resource)
    assert from_xml(R4, written) == resource
    assert from_xml(R4, to_xml(R4, resource, pretty=True)) == resource


@pytest.mark.parametrize(("body", "told"), REFUSED)
def test_what_is_not_fhir_is_refused_with_its_place(body: bytes, told: str) -> None:
    if told == "":
        assert "urn:x" in from_xml(R4, body)["text"]["div"]  # narrative is for validation to judge
        return
    with pytest.raises(Invalid) as refusal:
        from_xml(R4, body)
    assert told in str(refusal.value)


def test_elements_are_written_in_r4s_order_and_vietnamese_as_it_is() -> None:
    resource = {"resourceType": "Patient", "name": [{"family": "Nguyễn Đỗ"}], "id": "1"}
    assert to_xml(R4, resource).decode() == (
        '<?xml version="1.0" encoding="UTF-8"?><Patient xmlns="http://hl7.org/fhir">'
        '<id value="1"/><name><family value="Nguyễn Đỗ"/></name></Patient>\n'
    )
    assert to_xml(R4, resource, pretty=True).decode().splitlines()[3] == "  <name>"


@pytest.mark.parametrize("text", ["1.50", "0", "-0.0", "1e-7", "1E400", "100", "0.00"])
def test_a_decimal_keeps_its_text(text: str) -> None:
    body = f'<Basic xmlns="http://hl7.org/fhir"><extension url="u"><valueDecimal value="{text}"/>'
    body += "</extension></Basic>"
    read = from_xml(R4, body.encode())
    assert f'"valueDecimal":{text}}}' in wire.render(read).decode()
    assert f'<valueDecimal value="{text}"/>' in to_xml(R4, read).decode()


def test_comments_instructions_and_schema_locations_are_passed_over() -> None:
    location = ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="a b"'
    body = b"\xef\xbb\xbf<?xml version='1.0' encoding='UTF-8'?><!-- a --><?b c?>" + patient(
        '<!-- d --><language value="vi"/><?e?>', location
    )
    assert from_xml(R4, body) == {"resourceType": "Patient", "language": "vi"}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('<div xmlns="http://www.w3.org/1999/xhtml"/>', None),
        ("<div xmlns='http://www.w3.org/1999/xhtml'  ><p></p ></div  >", None),
        ('<div xmlns="http://www.w3.org/1999/xhtml"><img src="a"/></div>', None),
        ('<div xmlns="http://www.w3.org/1999/xhtml"><![CDATA[<b>]]></div>', None),
        (
            '<h:div xmlns:h="http://www.w3.org/1999/xhtml" xml:lang="vi">á<h:br/>&lt;</h:div>',
            '<div xmlns="http://www.w3.org/1999/xhtml" xml:lang="vi">á<br/>&lt;</div>',
        ),
    ],
)
def test_a_narrative_is_kept_to_the_letter_where_it_can_stand_alone(
    written: str, read: str | None
) -> None:
    body = patient(f'<text><status value="empty"/>{written}</text>')
    assert from_xml(R4, body)["text"]["div"] == (read or written)


def test_a_narrative_from_json_that_leans_on_html_is_mended() -> None:
    text = {"status": "generated", "div": "<div>a&nbsp;b</div>"}
    written = to_xml(R4, {"resourceType": "Basic", "text": text}).decode()
    assert '<div xmlns="http://www.w3.org/1999/xhtml">a&#160;b</div>' in written


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"text": {"div": "<div>"}}, "`Patient.text.div` is not a well-formed"),
        ({"text": {"div": "<div/></text><text>"}}, "not a well-formed"),
        ({"text": {"div": "<!DOCTYPE div><div/>"}}, "not a well-formed"),
        ({"text": {"div": "<p/>"}}, "not a well-formed"),
        ({"language": "a\u0001"}, "`Patient.language` has a character"),
        ({"language": "\ud800"}, "has a character"),
        ({"shoe": 1}, "`Patient.shoe` is no element of R4"),
        ({"name": "x"}, "should have elements of its own"),
        ({"language": {"a": 1}}, "should be a single value"),
        ({"_language": {"value": "x"}}, "has beside it"),
        ({"contained": [{"resourceType": []}]}, "names no resource type"),
    ],
)
def test_what_xml_cannot_carry_is_refused_by_name(content: dict[str, Any], told: str) -> None:
    with pytest.raises(NotAcceptable) as refusal:
        to_xml(R4, {"resourceType": "Patient", **content})
    assert told in str(refusal.value)


NAMES = """resourceType|id|_id|text|div|status|name|_name|given|_given|contained|extension|url|
valueDecimal|birthDate|_birthDate|contact"""
names = st.sampled_from(NAMES.split("|"))
values = st.recursive(
    st.sampled_from(["Patient", "a", "", "<div/>", DIV, "\u0000", None, True, 1, 1.5, Decimal(2)]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(names, values, max_size=5))
def test_writing_raises_nothing_but_a_refusal_and_is_well_formed(content: dict[str, Any]) -> None:
    try:
        written = to_xml(R4, {"resourceType": "Patient", **content})
    except NotAcceptable:
        return
    try:
        from_xml(R4, written)
    except Invalid as refusal:
        assert "not well-formed" not in str(refusal)


PIECES = """<Patient>|</Patient>|<name>|</name>|<given| value="a"| id="b"|/>|>|<text>|</text>|<div>|
</div>|<contained>|</contained>|<!--|-->|<Patient xmlns="http://hl7.org/fhir">|x|&amp;|&x;|
<![CDATA[|]]>|<?p?>|<div xmlns="http://www.w3.org/1999/xhtml">|<h:div xmlns:h="urn:h">"""
pieces = st.sampled_from(PIECES.split("|"))


@settings(max_examples=150, deadline=None)
@given(st.lists(pieces, max_size=12).map("".join) | st.text())
def test_reading_raises_nothing_but_a_refusal(text: str) -> None:
    for body in (text, f'<Patient xmlns="http://hl7.org/fhir">{text}</Patient>'):
        try:
            assert from_xml(R4, body.encode("utf-8", "surrogatepass"))["resourceType"] == "Patient"
        except FhirError as refusal:
            assert refusal.status == 400
