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
from fhir_server.foundation.fhirpath.items import Item, plain
from fhir_server.foundation.fhirpath.parse import MAX_DEPTH, MAX_LENGTH, MAX_NESTING, parse
from fhir_server.foundation.fhirpath.semantics import check
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
    ("(name.family.first() as String) + '!'", ["Ngô!"]),
    ("(multipleBirth as Integer) + 1", [3]),
    ("multipleBirth as String", []),
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
    ("(3 | 1 | 2).sort()", [1, 2, 3]),
    ("name.sort(-use).use", ["usual", "official"]),
    ("name.sort(family).use", ["usual", "official"]),
    ("(1.587).lowBoundary(2)", [Decimal("1.58")]),
    ("(1.587).highBoundary()", [Decimal("1.58750000")]),
    ("birthDate.lowBoundary() = @1990-05-01", [True]),
    ("birthDate.highBoundary() = @1990-05-31", [True]),
    ("@2024-02.highBoundary(8) = @2024-02-29", [True]),
    ("@T10:30.highBoundary() = @T10:30:59.999", [True]),
    ("true.lowBoundary()", []),
    ("1.lowBoundary(40)", []),
    ("birthDate.precision()", [6]),
    ("checkModifiers('urn:a').id", ["p"]),
    ("%`vs-marital-status`", ["http://hl7.org/fhir/ValueSet/marital-status"]),
    ("%'ext-data-absent-reason'", ["http://hl7.org/fhir/StructureDefinition/data-absent-reason"]),
    ("active.type().name & active.type().namespace", ["booleanFHIR"]),
    ("(1).type().name", ["Integer"]),
    ("birthDate.getValue() is date", [False]),
    ("birthDate.getValue() is System.Date", [True]),
    ("extension.value.comparable(2 'g')", [True]),
    ("2 'days' = 48 hours", [True]),
    ("1 year = 1 'a'", []),
    ("managingOrganization.memberOf('urn:v')", [True]),
    ("managingOrganization.conformsTo('urn:p')", [False]),
    ("%codes.subsumes(%narrower)", [True]),
    ("%codes.subsumedBy(%narrower)", [False]),
    ("name.slice('urn:p', 'official').use", ["official"]),
    ("name.first().elementDefinition().path", ["Patient.name"]),
    ("name.htmlChecks()", []),
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
    ("name.memberOf('urn:v')", "a single value"),
    ("managingOrganization.memberOf('urn:none')", "cannot be told"),
    ("managingOrganization.conformsTo('urn:none')", "not known"),
    ("managingOrganization.conformsTo(1)", "needs a text"),
    ("name.first().subsumes(%codes)", "subsumes"),
    ("name.slice('urn:p', 'none')", "not known"),
    ("%modified.checkModifiers('urn:a')", "modifier extension `urn:m`"),
    ("iif('a', 1, 2)", "is no boolean"),
    ("(1 | 'a').sort()", "cannot compare"),
    ("1.5.lowBoundary('a')", "must be an integer"),
]

# What is no element of a Patient, or has no order: told beforehand, though evaluation would go on
MEANINGLESS = [
    ("name.given1", "`given1` is no element of HumanName"),
    ("Encounter.id", "`Encounter` cannot be met"),
    ("multipleBirthInteger", "no element of Patient"),
    ("(multipleBirth as integer).family", "no element of integer"),
    ("name.where(used = 'x')", "`used`"),
    ("contact.telecom.select(rang)", "`rang`"),
    ("children().first()", "no order"),
    ("descendants()[0]", "no order"),
]
MEANINGFUL = [
    "name.where(use = 'x').given.first().extension('urn:x').value.system",
    "contained.anything.at.all",
    "generalPractitioner.resolve().name",
    "birthDate.value | birthDate.id",
    "Patient.contact.all(name.exists() or $this.telecom.exists())",
    "DomainResource.text.`div`.exists()",
    "name.select(given | family).distinct().count() > %context.name.count()",
]


@pytest.mark.parametrize(("text", "told"), MEANINGLESS)
def test_what_can_mean_nothing_is_told_beforehand(text: str, told: str) -> None:
    with pytest.raises(Invalid) as refusal:
        check(text, R4, "Patient")
    assert told in str(refusal.value)


@pytest.mark.parametrize("text", MEANINGFUL)
def test_what_can_mean_something_is_let_be(text: str) -> None:
    check(text, R4, "Patient")


class Services:
    """What the layers above would know."""

    def member_of(self, value_set: str, item: Item) -> bool | None:
        return isinstance(item.value, dict) if value_set == "urn:v" else None

    def subsumes(self, system: str, code: str, other: str) -> bool | None:
        return code <= other if system == "urn:s" else None

    def conforms_to(self, item: Item, profile: str) -> bool | None:
        return item.type == "Patient" if profile == "urn:p" else None

    def in_slice(self, item: Item, structure: str, name: str) -> bool | None:
        return None if name == "none" else item.value.get("use") == name

    def html_problems(self, div: str) -> bool:
        return "script" in div

    def element_definition(self, item: Item) -> dict[str, Any] | None:
        return {"path": f"Patient.{item.element}"}


CODES = {"coding": [{"system": "urn:s", "code": "b"}, {"system": "urn:t", "code": "x"}]}
GIVEN = {
    "mine": "x",
    "codes": Item({"system": "urn:s", "code": "a"}, "Coding", "Coding"),
    "narrower": Item(CODES, "CodeableConcept", "CodeableConcept"),
    "modified": {"resourceType": "Patient", "modifierExtension": [{"url": "urn:m"}]},
}


def test_without_services_their_functions_are_refused() -> None:
    for text in ("memberOf('urn:v')", "conformsTo('urn:p')", "slice('urn:p', 'a')"):
        with pytest.raises(Invalid) as refusal:
            compile(text, R4).evaluate(PATIENT)
        assert "cannot be answered here" in str(refusal.value)


@pytest.mark.parametrize(("text", "found"), ANSWERS)
def test_an_expression_finds_this(text: str, found: list[Any]) -> None:
    now = dt.datetime(2025, 2, 3, 12, tzinfo=dt.timezone(dt.timedelta(hours=7)))
    items = compile(text, R4).evaluate(PATIENT, variables=GIVEN, now=now, services=Services())
    told = [plain(item) for item in items]
    assert [v if isinstance(v, bool | int | Decimal | None) else str(v) for v in told] == found


@pytest.mark.parametrize(("text", "told"), REFUSED)
def test_what_has_no_answer_is_refused(text: str, told: str) -> None:
    with pytest.raises(Invalid) as refusal:
        compile(text, R4).evaluate(PATIENT, variables=GIVEN, services=Services())
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
    for parameter in R4.search_parameters:
        if parameter.get("expression"):
            compile(parameter["expression"], R4)
    for _, expression, *_ in R4.constraints.values():
        compile(expression, R4)


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
