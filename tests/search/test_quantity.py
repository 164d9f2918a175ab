"""quantity: a value to the precision it is asked with, and its unit."""

from __future__ import annotations

from decimal import Decimal

import pytest

from fhir_server.foundation.outcome import Invalid

from .ask import found, indexer, query
from .prefixes import cases

UCUM, ISO = "http://unitsofmeasure.org", "urn:iso:std:iso:4217"
KG = {"unit": "kilo", "system": UCUM, "code": "kg"}


def weight(value: object, **more: object) -> dict:
    quantity = {"value": Decimal(str(value)), **KG, **more}
    return {"resourceType": "Observation", "valueQuantity": quantity}


def onset(low: object, high: object) -> dict:
    ends = {"low": low, "high": high}
    told = {
        end: {"value": value, "unit": "a", "system": UCUM, "code": "a"}
        for end, value in ends.items()
        if value is not None
    }
    return {"resourceType": "Condition", "onsetRange": told}


def curve(data: str, factor: str = "1", origin: int = 0) -> dict:
    return {
        "resourceType": "Observation",
        "valueSampledData": {
            "origin": {"value": origin, "system": UCUM, "code": "uV"},
            "period": 1,
            "dimensions": 1,
            "factor": Decimal(factor),
            "data": data,
        },
    }


def bill(value: str, currency: str | None = "VND") -> dict:
    money = {"value": Decimal(value), **({"currency": currency} if currency else {})}
    return {"resourceType": "Invoice", "totalGross": money}


# of 5.4: the range of the search value is [5.35, 5.45)
WEIGHTS = [
    (weight("5.4"), "eq ge le ap"),
    (weight("5.40"), "eq ge le ap"),
    (weight("5.35"), "eq lt le eb ap"),
    (weight("5.44999"), "eq gt ge sa ap"),
    (weight("5.45"), "ne gt ge sa ap"),
    (weight("5.94"), "ne gt ge sa ap"),
    (weight("5.95"), "ne gt ge sa"),
    (weight("4.86"), "ne lt le eb ap"),
    (weight("4.85"), "ne lt le eb"),
    (weight("5", comparator="<"), "ne lt le eb ap"),
    (weight("4", comparator="<"), "ne lt le eb"),
    (weight("5.4", comparator="<"), "ne lt le eb ap"),
    (weight("5.4", comparator="<="), "ne lt ge le ap"),
    (weight("6", comparator="<"), "ne gt lt ge le ap"),
    (weight("5.4", comparator=">"), "ne gt ge sa ap"),
    (weight("5.4", comparator=">="), "ne gt ge le ap"),
    (weight("6", comparator=">"), "ne gt ge sa"),
    (weight("5", comparator=">="), "ne gt lt ge le ap"),
    (curve("54 53 54 E", "0.1"), "ne lt ge le ap"),
    (curve("54 54", "0.1"), "eq ge le ap"),
    (curve("1 2 3"), "ne lt le eb"),
    (curve("6 7 U"), "ne gt ge sa"),
    (curve("E U L"), ""),
    (curve("-3 10"), "ne gt lt ge le ap"),
    ({"resourceType": "Observation", "valueQuantity": {"unit": "kg"}}, ""),
    ({"resourceType": "Observation"}, ""),
]
ONSETS = [  # of 40 years
    (onset(40, 40), "eq ge le ap"),
    (onset(39.5, 40.4), "eq gt lt ge le ap"),
    (onset(30, 50), "ne gt lt ge le ap"),
    (onset(10, 20), "ne lt le eb"),
    (onset(60, 70), "ne gt ge sa"),
    (onset(40, None), "ne gt ge le ap"),
    (onset(41, None), "ne gt ge sa ap"),
    (onset(None, 40), "ne lt ge le ap"),
    (onset(None, 39), "ne lt le eb ap"),
    (onset(None, None), ""),
    ({"resourceType": "Condition",
      "onsetAge": {"value": 40, "unit": "years", "system": UCUM, "code": "a"}}, "eq ge le ap"),
    ({"resourceType": "Condition",
      "onsetAge": {"value": 4, "unit": "years", "system": UCUM, "code": "a"}}, "ne lt le eb"),
]  # fmt: skip
BILLS = [  # of 120000: [119999.5, 120000.5)
    (bill("120000"), "eq ge le ap"),
    (bill("120000.49"), "eq gt ge sa ap"),
    (bill("120000.50"), "ne gt ge sa ap"),
    (bill("132000"), "ne gt ge sa ap"),
    (bill("132001"), "ne gt ge sa"),
    (bill("108000"), "ne lt le eb ap"),
    (bill("107999"), "ne lt le eb"),
]
BARE = {"resourceType": "Observation", "valueQuantity": {"value": 5}}
SAID = {"resourceType": "Observation", "valueQuantity": {"value": 5, "unit": "viên"}}
CODED = {"resourceType": "Observation", "valueQuantity": {"value": 5, "code": "mg"}}

# what is stored           what is asked                        found?
TABLE = [
    *cases("value-quantity", "5.4", WEIGHTS),
    *cases("value-quantity", f"5.4|{UCUM}|kg", [row for row in WEIGHTS if "valueQ" in str(row)]),
    *cases("value-quantity", "5.4||kilo", [row for row in WEIGHTS if "valueQ" in str(row)]),
    *cases("value-quantity", f"5.4|{UCUM}|uV", [row for row in WEIGHTS if "Sampled" in str(row)]),
    *cases("onset-age", "40||a", ONSETS),
    *cases("onset-age", f"40|{UCUM}|a", ONSETS),
    *cases("totalgross", "120000", BILLS),
    *cases("totalgross", f"120000|{ISO}|VND", BILLS),
    *cases("totalgross", "120000||VND", BILLS),
    *cases("totalgross", "120000||USD", [(one, "") for one, _ in BILLS]),
    (weight("5.4"), f"value-quantity=5.4|{UCUM}|g", False),
    (weight("5.4"), "value-quantity=5.4|urn:other|kg", False),
    (weight("5.4"), f"value-quantity=5.4|{UCUM}|kilo", False),
    (weight("5.4"), "value-quantity=5.4||kg", True),
    (weight("5.4"), "value-quantity=5.4||g", False),
    (weight("5.4"), "value-quantity=5.4||", True),
    (weight("5.4"), "value-quantity=5.40e0", True),
    (weight("0.0054"), "value-quantity=5.40e-3", True),
    (weight("0.005405"), "value-quantity=5.40e-3", False),
    (weight("5.4"), "value-quantity=5.4||KG", False),
    (weight("5.4"), r"value-quantity=5.4||k\|g", False),
    (weight("5.4"), "value-quantity=1||kg,5.4||kg", True),
    (weight("5.4"), "value-quantity=gt5||kg&value-quantity=lt6||kg", True),
    (weight("1e400"), "value-quantity=gt1", True),
    (BARE, "value-quantity=5", True),
    (BARE, "value-quantity=5||kg", False),
    (SAID, "value-quantity=5||viên", True),
    (SAID, f"value-quantity=5|{UCUM}|viên", False),
    (CODED, "value-quantity=5||mg", True),
    (CODED, f"value-quantity=5|{UCUM}|mg", False),
    (bill("5", None), "totalgross=5", True),
    (bill("5", None), "totalgross=5||VND", False),
    (curve("2 E 4 -2", "0.5", 10), "combo-value-quantity=lt10||uV", True),
    (curve("2 E 4 -2", "0.5", 10), "combo-value-quantity=gt12||uV", False),
    ({"resourceType": "Observation", "valueQuantity": {"unit": "kg"}},
     "value-quantity:missing=true", False),
    ({"resourceType": "Observation"}, "value-quantity:missing=true", True),
    (weight(1), "value-quantity:missing=false", True),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "text", "is_found"), TABLE)
def test_a_quantity_is_found_by_its_value_and_its_unit(resource, text, is_found) -> None:
    assert found(resource, text) is is_found


def test_a_quantity_has_a_row_for_each_way_to_name_its_unit() -> None:
    own = indexer().rows(weight(1)).quantities
    assert len({row.unit for row in own}) == 3  # system and code, the code, what is displayed
    assert len({row.unit for row in indexer().rows(bill("1")).quantities}) == 2


@pytest.mark.parametrize(
    "text",
    ["5.4|kg", "5.4|http://x|", "x", "", "ge", "5..4", "1e9999", "zz5", "5|a|b|c", "NaN", "0x10",
     "|http://unitsofmeasure.org|kg", "||kg"],
)  # fmt: skip
def test_what_is_no_quantity_is_refused(text) -> None:
    with pytest.raises(Invalid):
        query("Observation", f"value-quantity={text}")
