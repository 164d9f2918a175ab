"""test_fhirpath — expressions are understood, answered within bounds, and never run away.

http://hl7.org/fhirpath/N1
https://hl7.org/fhir/R4/fhirpath.html
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fhir_server.conformance.definitions import load
from fhir_server.foundation import wire
from fhir_server.foundation.fhirpath.evaluate import compile
from fhir_server.foundation.fhirpath.items import plain
from fhir_server.foundation.fhirpath.parse import MAX_DEPTH, MAX_LENGTH, MAX_NESTING, parse
from fhir_server.foundation.fhirpath.tree import (
    Binary,
    Call,
    Empty,
    Index,
    Literal,
    Name,
    Node,
    TypeOp,
    Unary,
    Variable,
)
from fhir_server.foundation.outcome import FhirError, Invalid

R4 = load()
EXAMPLES = sorted((Path(__file__).parents[3] / "shared/testdata/r4-examples").glob("*.json"))
A, B = Name(None, "a"), Name(None, "b")


def number(value: int) -> Literal:
    return Literal(value, "integer")


# the text and its tree
TREES: list[tuple[str, Node]] = [
    ("Patient.name", Name(Name(None, "Patient"), "name")),
    ("a.where(b = 1)", Call(A, "where", (Binary("=", B, number(1)),))),
    ("a[0].b", Name(Index(A, number(0)), "b")),
    ("a | b", Binary("|", A, B)),
    ("a or b and a", Binary("or", A, Binary("and", B, A))),
    ("a implies b implies a", Binary("implies", Binary("implies", A, B), A)),
    ("a | b as Quantity", Binary("|", A, TypeOp("as", B, "Quantity"))),
    ("a is FHIR.`Patient`", TypeOp("is", A, "FHIR.Patient")),
    ("(a as Quantity).b", Name(TypeOp("as", A, "Quantity"), "b")),
    ("-1.abs()", Unary("-", Call(number(1), "abs", ()))),
    ("1 - 2 - 3", Binary("-", Binary("-", number(1), number(2)), number(3))),
    ("1 + 2 * 3", Binary("+", number(1), Binary("*", number(2), number(3)))),
    ("$this", Variable("$this")),
    ("%`vs-x`", Variable("%vs-x")),
    ("%'us-zip'", Variable("%us-zip")),
    ("{}", Empty()),
    ("`a`.is", Name(A, "is")),
    ("'\\u0110\\'\\n'", Literal("Đ'\n", "string")),
    ("1.50", Literal(Decimal("1.50"), "decimal")),
    ("4 days", Literal((Decimal(4), "days"), "quantity")),
    ("4.5 'mg'", Literal((Decimal("4.5"), "mg"), "quantity")),
    ("true", Literal(True, "boolean")),
    ("@2014-01", Literal("2014-01", "date")),
    ("@2014T", Literal("2014T", "dateTime")),
    ("@2014-01-01T10:00:00.5+07:00", Literal("2014-01-01T10:00:00.5+07:00", "dateTime")),
    ("@T10:30", Literal("10:30", "time")),
    ("a // to the end\n.b /* within */", Name(A, "b")),
]

NO_EXPRESSIONS = [
    ("", "character 1"),
    ("a b", "character 3"),
    ("a.", "character 3"),
    ("(a", "`)` is missing"),
    ("a[0", "`]` is missing"),
    ("{", "`}` is missing"),
    ("a.where(b", "`)` is missing"),
    ("'a", "no token"),
    ("a ? b", "no token"),
    ("1 +", "a name is missing"),
    ("a.and", "a name is missing"),
    ("9" * 30, "too large"),
    ("(" * (MAX_NESTING + 1), "within each other"),
    ("-" * (MAX_NESTING + 1) + "1", "within each other"),
    ("a" + ".a" * MAX_DEPTH, "steps deep"),
    ("a" * (MAX_LENGTH + 1), "longer than"),
]


@pytest.mark.parametrize(("text", "tree"), TREES)
def test_an_expression_means_this_tree(text: str, tree: Node) -> None:
    assert parse(text) == tree


@pytest.mark.parametrize(("text", "told"), NO_EXPRESSIONS)
def test_what_is_no_expression_is_refused_with_its_place(text: str, told: str) -> None:
    with pytest.raises(Invalid) as refusal:
        parse(text)
    assert told in str(refusal.value)


PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "contained": [{"resourceType": "Organization", "id": "o", "name": "Trạm"}],
    "active": True,
    "name": [
        {"use": "official", "family": "Ngô", "given": ["An", "Bình"]},
        {"use": "usual", "given": ["Tí", None], "_given": [None, {"id": "g"}]},
    ],
    "birthDate": "1990-05",
    "_birthDate": {"extension": [{"url": "urn:t", "valueTime": "10:00:00"}]},
    "multipleBirthInteger": 2,
    "managingOrganization": {"reference": "#o"},
    "generalPractitioner": [{"reference": "Practitioner/1"}, {"reference": "Organization/2"}],
    "extension": [{"url": "urn:q", "valueQuantity": {"value": Decimal("1.50"), "unit": "kg"}}],
}

# what is asked, and what is found
ANSWERS: list[tuple[str, list[Any]]] = [
    ("Patient.name.family", ["Ngô"]),
    ("name.given", ["An", "Bình", "Tí", None]),
    ("Resource.id", ["p"]),
    ("Encounter.id", []),
    ("Patient.multipleBirth", [2]),
    ("Patient.multipleBirth as integer", [2]),
    ("(Patient.multipleBirth as boolean)", []),
    ("Patient.multipleBirth.ofType(integer) + 1", [3]),
    ("name.where(use = 'usual').given.first()", ["Tí"]),
    ("name[1].given[0]", ["Tí"]),
    ("name.given[9]", []),
    ("name.given.last().hasValue()", [False]),
    ("name.given.where($index = 1)", ["Bình"]),
    ("name.select(given.first() & '!')", ["An!", "Tí!"]),
    ("name.exists(family = 'Ngô')", [True]),
    ("name.all(given.exists())", [True]),
    ("name.family.startsWith('Ng') and active", [True]),
    ("active and {}", []),
    ("{} or active", [True]),
    ("active.not() implies {}", [True]),
    ("birthDate < @1991", [True]),
    ("birthDate < @1990-05-03", []),
    ("birthDate + 1 year", ["1991-05"]),
    ("birthDate.extension('urn:t').value = @T10:00:00", [True]),
    ("birthDate is date", [True]),
    ("extension.value.value", [Decimal("1.50")]),
    ("extension.value as Quantity > 1 'kg'", [True]),
    ("extension('urn:q').value > 1 'kg'", [True]),
    ("contained.name", ["Trạm"]),
    ("managingOrganization.resolve().name", ["Trạm"]),
    ("generalPractitioner.where(resolve() is Practitioner).reference", ["Practitioner/1"]),
    ("generalPractitioner[1].resolve() is Practitioner", [False]),
    ("%resource.id", ["p"]),
    ("%context.id | %rootResource.id", ["p"]),
    ("contained.name.select(%resource.id)", ["p"]),
    ("contained.type().name", ["Organization"]),
    ("(1 | 2 | 2 | 3).aggregate($this + $total, 0)", [6]),
    ("iif(active, 'yes', 1 / 0)", ["yes"]),
    ("1 / 0", []),
    ("5 div 2 + 5 mod 2", [3]),
    ("'a' in ('a' | 'b')", [True]),
    ("name.given contains 'Tí'", [True]),
    ("name.given.count()", [4]),
    ("descendants().where($this is id or $this is string).count() > 3", [True]),
    ("'Đào'.lower().matches('^đ.o$')", [True]),
    ("'a.b'.replace('.', '-')", ["a-b"]),
    ("'1.5'.toDecimal() ~ 1.50", [True]),
    ("today() = @2025-02-03", [True]),
    ("now() > @2025-02-03T00:00:00+07:00", [True]),
    ("%mine", ["x"]),
]

REFUSED = [
    ("name.given < 'x'", "a single value"),
    ("active < 1", "cannot compare a boolean with a number"),
    ("'a' - 'b'", "cannot join"),
    ("name.foo()", "no function `foo()`"),
    ("name.where()", "is given 0 arguments"),
    ("name.where(1, 2)", "is given 2 arguments"),
    ("%none", "no variable `%none`"),
    ("name.single()", "a single value"),
    ("name.ofType(Shoe)", "no type `Shoe`"),
    ("name.ofType(1)", "the name of a type is missing"),
    ("@2015-13-01", "is no date there is"),
    ("'x'.matches('(')", "is no pattern"),
    ("'x'.matches('(a+)+$')", "may not repeat a group that itself repeats"),
    ("'x'.matches('(a|a*)*b')", "may not repeat a group"),
    ("'x'.matches('(?=a)')", "look around"),
    ("'x'.matches('(a)\\\\1')", "look back"),
]


@pytest.mark.parametrize(("text", "found"), ANSWERS)
def test_an_expression_finds_this(text: str, found: list[Any]) -> None:
    now = dt.datetime(2025, 2, 3, 12, tzinfo=dt.timezone(dt.timedelta(hours=7)))
    items = compile(text, R4).evaluate(PATIENT, variables={"mine": "x"}, now=now)
    told = [plain(item) for item in items]
    assert [v if isinstance(v, bool | int | Decimal | None) else str(v) for v in told] == found


@pytest.mark.parametrize(("text", "told"), REFUSED)
def test_what_has_no_answer_is_refused(text: str, told: str) -> None:
    with pytest.raises(Invalid) as refusal:
        compile(text, R4).evaluate(PATIENT)
    assert told in str(refusal.value)


def test_an_item_knows_its_place() -> None:
    paths = [
        item.path
        for item in compile("name.given | birthDate.extension.value", R4).evaluate(PATIENT)
    ]
    assert paths[0] == "Patient.name[0].given[0]"
    assert paths[-1] == "Patient.birthDate.extension[0].value"


def test_references_are_resolved_by_the_function_given() -> None:
    known = {"Practitioner/1": {"resourceType": "Practitioner", "active": True}}
    found = compile("generalPractitioner.resolve().active", R4).evaluate(PATIENT, resolve=known.get)
    assert [item.value for item in found] == [True]


@pytest.mark.parametrize(
    "text",
    [
        "(1|2|3|4|5|6|7|8|9|10|11).aggregate($total.combine($total).combine($this))",
        "%resource.descendants().where(%resource.descendants().where(%resource.id = 'x'))",
        "(1|2|3|4|5|6|7|8|9).aggregate($total & $total & $total & $total & $total, 'x').length()",
        "name.given.repeat($this & 'x')",
    ],
)
def test_an_expression_that_would_not_end_is_stopped(text: str) -> None:
    with pytest.raises(Invalid) as refusal:
        compile(text, R4).evaluate(PATIENT, max_steps=2_000)
    assert "more than" in str(refusal.value) or "longer than" in str(refusal.value)


def test_a_pattern_too_costly_for_the_text_is_refused() -> None:
    with pytest.raises(Invalid) as refusal:
        compile("%text.matches('a*a*a*a*b')", R4).evaluate({}, variables={"text": "a" * 1000})
    assert "take too long" in str(refusal.value)


def test_every_expression_of_r4_is_understood() -> None:
    """All search parameters; of the invariants, all but those that wait for validation."""
    for parameter in R4.search_parameters:
        if parameter.get("expression"):
            compile(parameter["expression"], R4)
    waiting = set()
    for rule, (_, expression) in R4.constraints.items():
        parse(expression)
        try:
            compile(expression, R4)
        except Invalid as refusal:
            waiting.add(str(refusal).partition("`")[2].partition("`")[0])
            assert "no function" in str(refusal), rule
    assert waiting <= {"htmlChecks()", "memberOf()", "conformsTo()", "elementDefinition()"}


@pytest.mark.skipif(not EXAMPLES, reason="HL7's examples are not beside this repository")
def test_every_search_parameter_can_be_asked_of_every_example_of_its_type() -> None:
    asked = found = 0
    by_type: dict[str, list[str]] = {}
    for parameter in R4.search_parameters:
        for type in parameter["base"]:
            by_type.setdefault(type, []).append(parameter.get("expression") or "{}")
    for path in EXAMPLES:
        resource = wire.parse(path.read_bytes())
        for expression in by_type.get(resource["resourceType"], []):
            asked += 1
            found += bool(compile(expression, R4).evaluate(resource))
    assert asked > 2_000
    assert found > asked / 4


PIECES = """Patient|.|name|given|where(|(|)|[|]|0|1|'a'|=|and|descendants()|repeat(|$this|$total|
%resource|as|is|Quantity|-|+|@2020|@T10|1 'mg'|2 days|{}|,|matches(|'(a*)*'|toString()|*|<"""
pieces = st.sampled_from([*PIECES.split("|"), "|"])


@settings(max_examples=300, deadline=None)
@given(st.lists(pieces, max_size=10).map(" ".join) | st.text(max_size=20))
@example("9999999999 years + @9999")
@example("@9999-12-31 + 99999999999999999 days")
@example("(1e5).power(99999999)")
@example("10.power(9999999999)")
@example("2.0.power(99999999999999999)")
@example("(999999999999999999 * 999999999999999999).toString()")
def test_no_expression_raises_anything_but_a_refusal(text: str) -> None:
    try:
        items = compile(text, R4).evaluate(PATIENT, max_steps=5_000)
    except FhirError as refusal:
        assert refusal.status == 400
    else:
        assert all(isinstance(item.path, str) for item in items)
