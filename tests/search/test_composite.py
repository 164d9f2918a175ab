"""composite: values that stand together are found together, and others are not."""

from __future__ import annotations

from decimal import Decimal

import pytest

from fhir_server.foundation.outcome import Invalid, NotSupported, TooLarge
from fhir_server.search import composite, index
from fhir_server.search.pairing import pairings

from .ask import found, indexer, parameters, query

LOINC, UCUM, SCT = "http://loinc.org", "http://unitsofmeasure.org", "http://snomed.info/sct"


def concept(code: str, system: str | None = LOINC) -> dict:
    return {"coding": [{"code": code, **({"system": system} if system else {})}]}


def quantity(value: object, code: str = "mm[Hg]", unit: str = "mmHg") -> dict:
    return {"value": value, "unit": unit, "system": UCUM, "code": code}


def part(code: dict, **value: object) -> dict:
    return {"code": code, **value}


def observed(code: dict, **more: object) -> dict:
    return {"resourceType": "Observation", "status": "final", "code": code, **more}


PRESSURE = observed(
    concept("85354-9"),
    component=[
        part(concept("8480-6"), valueQuantity=quantity(120)),
        part(concept("8462-4"), valueQuantity=quantity(80)),
    ],
)
TWICE = observed(  # one code in two systems, each with its value
    concept("vitals"),
    component=[
        part(concept("1", "urn:a"), valueQuantity=quantity(5)),
        part(concept("1", "urn:b"), valueQuantity=quantity(7)),
        part(concept("2", None), valueQuantity=quantity(9)),
    ],
)
POTASSIUM = observed(
    {"coding": [{"system": LOINC, "code": "2823-3"}, {"system": "urn:lab", "code": "K$"}]},
    valueQuantity=quantity(Decimal("5.4"), "mmol/L", "mmol/L"),
)
BELOW = observed(concept("troponin"), valueQuantity={**quantity(3), "comparator": "<"})
GROUP = observed(concept("883-9"), valueCodeableConcept=concept("112144000", SCT))
GENES = observed(
    concept("panel"),
    component=[
        part(concept("gene"), valueCodeableConcept=concept("BRCA1", "urn:gene")),
        part(concept("result"), valueCodeableConcept=concept("positive", "urn:answer")),
    ],
)
READ = observed(concept("18782-3"), valueString="Gãy xương đòn trái")
BORN = observed(concept("11778-8"), valueDateTime="2024-05-10T10:00:00+07:00")
DURING = observed(concept("period"), valuePeriod={"start": "2024-05-01", "end": "2024-05-31"})
FOCUS = {
    "resourceType": "Questionnaire",
    "useContext": [
        {"code": {"system": "urn:use", "code": "focus"}, "valueCodeableConcept": concept("a", SCT)},
        {"code": {"system": "urn:use", "code": "age"}, "valueRange": {
            "low": {"value": 6, "unit": "a"}, "high": {"value": 12, "unit": "a"}}},
        {"code": {"system": "urn:use", "code": "venue"}, "valueCodeableConcept": concept("b", SCT)},
    ],
}  # fmt: skip
FAMILY = {
    "resourceType": "Group",
    "characteristic": [
        {"code": concept("gender", None), "valueCodeableConcept": concept("mixed", None)},
        {"code": concept("owner", None), "valueBoolean": True},
    ],
}
REPLACED = {
    "resourceType": "DocumentReference",
    "relatesTo": [
        {"code": "replaces", "target": {"reference": "DocumentReference/1"}},
        {"code": "appends", "target": {"reference": "DocumentReference/2"}},
    ],
}
SEQUENCE = {
    "resourceType": "MolecularSequence",
    "referenceSeq": {
        "chromosome": concept("7", "urn:chromosome"),
        "referenceSeqId": concept("NC_000007.14", "urn:seq"),
        "windowStart": 100,
        "windowEnd": 900,
    },
    "variant": [{"start": 128, "end": 130}, {"start": 500, "end": 501}, {"start": 700}],
}
SUMS = ("combo-code", "combo-data-absent-reason", "combo-value-concept", "combo-value-quantity")
C = "component-code-value-quantity"

# what is stored   what is asked                                         found?
TABLE = [
    (PRESSURE, f"{C}={LOINC}|8480-6$120", True),
    (PRESSURE, f"{C}={LOINC}|8480-6$80", False),
    (PRESSURE, f"{C}={LOINC}|8462-4$80", True),
    (PRESSURE, f"{C}={LOINC}|8462-4$gt100", False),
    (PRESSURE, f"{C}=8480-6$gt100", True),
    (PRESSURE, f"{C}=8480-6$ge120", True),
    (PRESSURE, f"{C}=8480-6$gt120", False),
    (PRESSURE, f"{C}=8480-6$le120", True),
    (PRESSURE, f"{C}=8480-6$lt120", False),
    (PRESSURE, f"{C}=8480-6$sa119", True),
    (PRESSURE, f"{C}=8480-6$eb121", True),
    (PRESSURE, f"{C}=8480-6$ne120", False),
    (PRESSURE, f"{C}=8480-6$ne80", True),
    (PRESSURE, f"{C}=8480-6$ap125", True),
    (PRESSURE, f"{C}=8480-6$120|{UCUM}|mm[Hg]", True),
    (PRESSURE, f"{C}=8480-6$120||mm[Hg]", True),
    (PRESSURE, f"{C}=8480-6$120||mmHg", True),
    (PRESSURE, f"{C}=8480-6$120||kPa", False),
    (PRESSURE, f"{C}=8480-6$120|urn:x|mm[Hg]", False),
    (PRESSURE, f"{C}=|8480-6$120", False),
    (PRESSURE, f"{C}=urn:x|8480-6$120", False),
    (PRESSURE, f"{C}=8480-6$80,8462-4$80", True),
    (PRESSURE, f"{C}=8480-6$80,8462-4$120", False),
    (PRESSURE, f"{C}=8480-6$120&{C}=8462-4$80", True),
    (PRESSURE, f"{C}=85354-9$120", False),
    (PRESSURE, "combo-code-value-quantity=8480-6$120", True),
    (PRESSURE, "combo-code-value-quantity=8480-6$80", False),
    (PRESSURE, "code-value-quantity=8480-6$120", False),
    (TWICE, f"{C}=urn:a|1$5", True),
    (TWICE, f"{C}=urn:b|1$5", False),
    (TWICE, f"{C}=1$7", True),
    (TWICE, f"{C}=|2$9", True),
    (TWICE, f"{C}=|1$5", False),
    (POTASSIUM, f"code-value-quantity={LOINC}|2823-3$gt5.3|{UCUM}|mmol/L", True),
    (POTASSIUM, f"code-value-quantity={LOINC}|2823-3$gt5.4|{UCUM}|mmol/L", False),
    (POTASSIUM, r"code-value-quantity=urn:lab|K\$$5.4", True),
    (POTASSIUM, r"combo-code-value-quantity=K\$$5.4||mmol/L", True),
    (POTASSIUM, f"code-value-quantity={LOINC}|$5.4", True),
    (POTASSIUM, f"{C}=2823-3$5.4", False),
    (BELOW, "code-value-quantity=troponin$lt2", True),
    (BELOW, "code-value-quantity=troponin$ge3", False),
    (GROUP, f"code-value-concept=883-9${SCT}|112144000", True),
    (GROUP, "code-value-concept=883-9$112144000", True),
    (GROUP, "code-value-concept=883-9$|112144000", False),
    (GROUP, "combo-code-value-concept=883-9$112144000", True),
    (GENES, "component-code-value-concept=gene$BRCA1", True),
    (GENES, "component-code-value-concept=gene$positive", False),
    (GENES, f"component-code-value-concept={LOINC}|gene$urn:gene|BRCA1", True),
    (GENES, "component-code-value-concept=gene$urn:gene|BRCA1", True),
    (GENES, f"component-code-value-concept={LOINC}|gene$BRCA1", True),
    (GENES, "component-code-value-concept=urn:x|gene$BRCA1", False),
    (GENES, "component-code-value-concept=gene$urn:x|BRCA1", False),
    (GENES, "combo-code-value-concept=result$urn:answer|positive", True),
    (GENES, "code-value-concept=result$positive", False),
    (READ, "code-value-string=18782-3$gay xuong", True),
    (READ, "code-value-string=18782-3$xương đòn", True),
    (READ, "code-value-string=18782-3$phai", False),
    (READ, "code-value-string=other$gay", False),
    (BORN, "code-value-date=11778-8$2024-05", True),
    (BORN, "code-value-date=11778-8$ge2024-05-10", True),
    (BORN, "code-value-date=11778-8$gt2024-05-10", False),
    (BORN, "code-value-date=other$2024-05", False),
    (DURING, "code-value-date=period$2024", True),
    (DURING, "code-value-date=period$sa2024-04", True),
    (FOCUS, f"context-type-value=focus${SCT}|a", True),
    (FOCUS, f"context-type-value=focus${SCT}|b", False),
    (FOCUS, "context-type-value=urn:use|venue$b", True),
    (FOCUS, "context-type-quantity=age$ge10||a", True),
    (FOCUS, "context-type-quantity=focus$ge10||a", False),
    (FOCUS, "context-type-quantity=age$gt12||a", False),
    (FOCUS, "context-type-quantity=age$sa5", True),
    (FAMILY, "characteristic-value=gender$mixed", True),
    (FAMILY, "characteristic-value=owner$true", True),
    (FAMILY, "characteristic-value=gender$true", False),
    (REPLACED, "relationship=DocumentReference/1$replaces", True),
    (REPLACED, "relationship=1$replaces", True),
    (REPLACED, "relationship=1$http://hl7.org/fhir/document-relationship-type|replaces", True),
    (REPLACED, "relationship=1$appends", False),
    (SEQUENCE, "chromosome-variant-coordinate=7$128$130", True),
    (SEQUENCE, "chromosome-variant-coordinate=7$128$501", False),
    (SEQUENCE, "chromosome-variant-coordinate=7$ge100$lt140", True),
    (SEQUENCE, "chromosome-variant-coordinate=7$gt500$lt600", False),
    (SEQUENCE, "chromosome-variant-coordinate=7$ne128$130", False),
    (SEQUENCE, "chromosome-variant-coordinate=7$700$700", False),
    (SEQUENCE, "chromosome-variant-coordinate=8$128$130", False),
    (SEQUENCE, "referenceseqid-variant-coordinate=NC_000007.14$500$501", True),
    (SEQUENCE, "chromosome-window-coordinate=7$lt200$gt500", True),
    (SEQUENCE, "referenceseqid-window-coordinate=NC_000007.14$ge100$le900", True),
    (SEQUENCE, "referenceseqid-window-coordinate=other$ge100$le900", False),
    (PRESSURE, "combo-value-quantity=120", True),
    (PRESSURE, "combo-code=8462-4", True),
    (PRESSURE, "combo-code=85354-9", True),
    (PRESSURE, "combo-code:not=8462-4", False),
    (POTASSIUM, "combo-value-quantity=5.4||mmol/L", True),
    (GENES, "combo-value-concept=urn:gene|", True),
    (GENES, "combo-value-concept:missing=false", True),
    (PRESSURE, "combo-value-concept:missing=true", True),
    (PRESSURE, f"{C}:missing=false", True),
    (PRESSURE, "code-value-quantity:missing=true", True),
    (PRESSURE, "combo-code-value-quantity:missing=true", False),
    (POTASSIUM, f"{C}:missing=true", True),
    (POTASSIUM, "combo-code-value-quantity:missing=false", True),
    (GENES, "component-code-value-concept:missing=false", True),
    (READ, "code-value-string:missing=false", True),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "text", "is_found"), TABLE)
def test_values_are_found_together_where_they_stand_together(resource, text, is_found) -> None:
    assert found(resource, text) is is_found


def composites() -> list:
    known = parameters()
    return [
        parameter
        for type in sorted(known.definitions.resource_types)
        for parameter in known.of(type).values()
        if parameter.type == "composite"
    ]


def test_every_composite_of_r4_can_be_asked() -> None:
    # 14 types share two, so that 46 definitions are 72 parameters of types
    assert len(composites()) == 72
    assert all(one.supported and composite.answerable(parameters(), one) for one in composites())


def test_what_one_composite_writes_no_other_writes_again() -> None:
    assert len(pairs(PRESSURE)) == 2 * 3  # each value with each way to name its unit
    assert len([k for k in indexer().rows(GENES).keys if k.v >> 50 in own_numbers()]) == 2
    assert pairs(POTASSIUM) == []  # a resource's one code and one value need no pairs
    assert len(pairs(SEQUENCE)) == 2


def test_what_is_the_sum_of_two_parameters_has_no_rows_of_its_own() -> None:
    combos = {p.number for c, p in parameters().of("Observation").items() if c in SUMS}
    assert len(combos) == len(SUMS)
    for resource in (PRESSURE, POTASSIUM, GENES, GROUP):
        rows = indexer().rows(resource)
        numbers = {row.v >> 50 for row in rows.keys} | {row.param for row in rows.quantities}
        assert not combos & numbers


def pairs(resource: dict) -> list:
    return [row for row in indexer().rows(resource).quantities if row.param in own_numbers()]


def own_numbers() -> set[int]:
    return {p.number for one in composites() for p in pairings(parameters(), one) if p.paired}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"{C}=8480-6", "2 values joined by `$`"),
        (f"{C}=8480-6$", "2 values joined by `$`"),
        (f"{C}=8480-6$120$5", "2 values joined by `$`"),
        (f"{C}=8480-6$abc", "is no prefix"),
        (f"{C}=8480-6$1..2", "A number is written"),
        (f"{C}=a|b|c$5", "A token is written"),
        (r"code-value-quantity=a\$5", "joined by"),
        (f"{C}=8480-6$120|mmHg", "A quantity is written"),
        ("code-value-date=a$2024-13", "A date is real"),
    ],
)
def test_a_malformed_composite_says_how_it_is_written(text, told) -> None:
    with pytest.raises(Invalid) as refused:
        query("Observation", text)
    assert told in str(refused.value)


def test_a_system_alone_is_refused_where_pairs_are_kept_by_their_codes() -> None:
    with pytest.raises(NotSupported, match="system alone"):
        query("Observation", f"{C}={LOINC}|$120")


def test_no_modifier_but_missing_goes_with_a_composite() -> None:
    with pytest.raises(NotSupported):
        query("Observation", f"{C}:not=8480-6$120")
    with pytest.raises(Invalid):
        query("Observation", f"{C}:shoe=8480-6$120")


def test_more_pairs_than_can_be_indexed_are_refused_before_they_are_made() -> None:
    many = {"coding": [{"system": f"urn:{n}", "code": "a"} for n in range(1000)]}
    resource = observed(concept("x"), component=[part(many, valueCodeableConcept=many)])
    with pytest.raises(TooLarge, match=str(index.MAX_ROWS)):
        indexer().rows(resource)
