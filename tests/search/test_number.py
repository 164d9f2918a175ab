"""number, quantity: a value to the precision it is asked with, and its unit."""

from __future__ import annotations

from decimal import Decimal

import pytest

from fhir_server.foundation.outcome import Invalid

from .ask import found, query

UCUM = "http://unitsofmeasure.org"


def risk(value: object) -> dict:
    return {"resourceType": "RiskAssessment", "prediction": [{"probabilityDecimal": value}]}


def dose(number: int) -> dict:
    return {
        "resourceType": "ImmunizationRecommendation",
        "recommendation": [{"doseNumberPositiveInt": number}],
    }


def sequence(start: int) -> dict:
    return {"resourceType": "MolecularSequence", "variant": [{"start": start}]}


BETWEEN = {
    "resourceType": "RiskAssessment",
    "prediction": [{"probabilityRange": {"low": {"value": 10}, "high": {"value": 20}}}],
}


def weight(value: object, **more: object) -> dict:
    quantity = {"value": value, "unit": "kilo", "system": UCUM, "code": "kg", **more}
    return {"resourceType": "Observation", "valueQuantity": quantity}


BILL = {"resourceType": "Invoice", "totalGross": {"value": Decimal("120000.50"), "currency": "VND"}}
AGE = {
    "resourceType": "Condition",
    "onsetRange": {"low": {"value": 40, "system": UCUM, "code": "a"}},
}
CURVE = {
    "resourceType": "Observation",
    "valueSampledData": {
        "origin": {"value": 10, "system": UCUM, "code": "uV"},
        "period": 1,
        "dimensions": 1,
        "factor": Decimal("0.5"),
        "data": "2 E 4 -2",
    },
}

# what is stored           what is asked                        found?
TABLE = [
    (risk(Decimal("100")), "probability=100", True),
    (risk(Decimal("99.5")), "probability=100", True),
    (risk(Decimal("100.5")), "probability=100", False),
    (risk(Decimal("99.4")), "probability=100", False),
    (risk(Decimal("100.004")), "probability=100.00", True),
    (risk(Decimal("100.005")), "probability=100.00", False),
    (risk(Decimal("95")), "probability=1e2", True),
    (risk(Decimal("105")), "probability=1e2", False),
    (risk(Decimal("99.4")), "probability=1.00e2", False),
    (risk(Decimal("99.9")), "probability=lt100", True),
    (risk(Decimal("100")), "probability=lt100", False),
    (risk(Decimal("100")), "probability=le100", True),
    (risk(Decimal("100")), "probability=ge100", True),
    (risk(Decimal("100")), "probability=gt100", False),
    (risk(Decimal("100.1")), "probability=gt100", True),
    (risk(Decimal("100.4")), "probability=ne100", False),
    (risk(Decimal("101")), "probability=ne100", True),
    (risk(Decimal("109")), "probability=ap100", True),
    (risk(Decimal("112")), "probability=ap100", False),
    (risk(Decimal("0.8")), "probability=0.8", True),
    (risk(Decimal("0.8")), "probability=8e-1", True),
    (risk(Decimal("-5")), "probability=-5", True),
    (risk(Decimal("0")), "probability=0", True),
    (BETWEEN, "probability=gt15", True),
    (BETWEEN, "probability=sa15", False),
    (BETWEEN, "probability=sa9", True),
    (BETWEEN, "probability=eb21", True),
    (BETWEEN, "probability=15", False),
    (BETWEEN, "probability=lt5", False),
    (sequence(2), "variant-start=2", True),
    (sequence(20), "variant-start=20", True),
    (sequence(21), "variant-start=20", False),
    (sequence(2), "variant-start=2.0", True),
    (sequence(2), "variant-start=2.5", False),
    (sequence(2), "variant-start=ne2.5", True),
    (weight(Decimal("5.4")), "value-quantity=5.4", True),
    (weight(Decimal("5.44")), "value-quantity=5.4", True),
    (weight(Decimal("5.45")), "value-quantity=5.4", False),
    (weight(Decimal("5.4")), f"value-quantity=5.4|{UCUM}|kg", True),
    (weight(Decimal("5.4")), f"value-quantity=5.4|{UCUM}|g", False),
    (weight(Decimal("5.4")), "value-quantity=5.4|urn:other|kg", False),
    (weight(Decimal("5.4")), "value-quantity=5.4||kg", True),
    (weight(Decimal("5.4")), "value-quantity=5.4||kilo", True),
    (weight(Decimal("5.4")), "value-quantity=5.4||g", False),
    (weight(Decimal("5.4")), "value-quantity=5.4||", True),
    (weight(Decimal("5.4")), f"value-quantity=gt5|{UCUM}|kg", True),
    (weight(Decimal("5.4")), f"value-quantity=le5.4|{UCUM}|kg", True),
    (weight(5, comparator="<"), "value-quantity=lt4", True),
    (weight(5, comparator="<"), "value-quantity=ge5", False),
    (weight(5, comparator="<="), "value-quantity=ge5", True),
    (weight(5, comparator=">"), "value-quantity=gt100", True),
    (weight(5, comparator=">"), "value-quantity=5", False),
    (BILL, "totalgross=120000.50|urn:iso:std:iso:4217|VND", True),
    (BILL, "totalgross=120000.50||VND", True),
    (BILL, "totalgross=120000.50||USD", False),
    (AGE, "onset-age=ge90||a", True),
    (AGE, "onset-age=lt40||a", False),
    (CURVE, "combo-value-quantity=lt10||uV", True),
    (CURVE, "combo-value-quantity=gt12||uV", False),
    (weight(Decimal("1e400")), "value-quantity=gt1", True),
    ({"resourceType": "Observation", "valueQuantity": {"unit": "kg"}},
     "value-quantity:missing=true", False),
    ({"resourceType": "Observation"}, "value-quantity:missing=true", True),
    (weight(1), "value-quantity:missing=false", True),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "text", "is_found"), TABLE)
def test_a_number_is_found_to_the_precision_it_is_asked_with(resource, text, is_found) -> None:
    assert found(resource, text) is is_found


@pytest.mark.parametrize(
    "text",
    ["5.4|kg", "5.4|http://x|", "x", "", "ge", "5..4", "1e9999", "zz5", "5|a|b|c", "NaN", "0x10"],
)
def test_what_is_no_quantity_is_refused(text) -> None:
    with pytest.raises(Invalid):
        query("Observation", f"value-quantity={text}")
