"""number: a value, to the precision it is asked with."""

from __future__ import annotations

from decimal import Decimal

import pytest

from fhir_server.foundation.outcome import Invalid

from .ask import found, indexer, query
from .prefixes import cases


def risk(value: str) -> dict:
    prediction = {"probabilityDecimal": Decimal(value)}
    return {"resourceType": "RiskAssessment", "prediction": [prediction]}


def between(low: str | None, high: str | None) -> dict:
    ends = {"low": low, "high": high}
    told = {end: {"value": Decimal(value)} for end, value in ends.items() if value is not None}
    return {"resourceType": "RiskAssessment", "prediction": [{"probabilityRange": told}]}


def sequence(start: int) -> dict:
    return {"resourceType": "MolecularSequence", "variant": [{"start": start}]}


# R4 search#prefix, of 100: the range of the search value is [99.5, 100.5), of gt to eb just 100.
# what is stored           the prefixes that find it
DECIMALS = [
    (risk("100"), "eq ge le ap"),
    (risk("100.00000000001"), "eq gt ge sa ap"),
    (risk("99.5"), "eq lt le eb ap"),
    (risk("100.4999"), "eq gt ge sa ap"),
    (risk("100.5"), "ne gt ge sa ap"),
    (risk("99.4999"), "ne lt le eb ap"),
    (risk("90"), "ne lt le eb ap"),
    (risk("110"), "ne gt ge sa ap"),
    (risk("89.999"), "ne lt le eb"),
    (risk("110.001"), "ne gt ge sa"),
    (risk("-100"), "ne lt le eb"),
    (risk("1e300"), "ne gt ge sa"),
    (between("99.6", "100.4"), "eq gt lt ge le ap"),
    (between("100", "100"), "eq ge le ap"),
    (between("90", "110"), "ne gt lt ge le ap"),
    (between("50", "100"), "ne lt ge le ap"),
    (between("100", "200"), "ne gt ge le ap"),
    (between("0", "50"), "ne lt le eb"),
    (between("150", "200"), "ne gt ge sa"),
    (between("0", "95"), "ne lt le eb ap"),
    (between("105", "200"), "ne gt ge sa ap"),
    (between("100", None), "ne gt ge le ap"),
    (between("101", None), "ne gt ge sa ap"),
    (between("120", None), "ne gt ge sa"),
    (between(None, "100"), "ne lt ge le ap"),
    (between(None, "99"), "ne lt le eb ap"),
    (between(None, "50"), "ne lt le eb"),
    (between(None, "200"), "ne gt lt ge le ap"),
    (between(None, None), ""),
    ({"resourceType": "RiskAssessment"}, ""),
]
# An integer is matched exactly; R4 search#number: "the significance issues cancel out"
INTEGERS = [
    (sequence(20), "eq ge le ap"),
    (sequence(19), "ne lt le eb ap"),
    (sequence(21), "ne gt ge sa ap"),
    (sequence(22), "ne gt ge sa ap"),
    (sequence(23), "ne gt ge sa"),
    (sequence(17), "ne lt le eb"),
]
HALVES = [(sequence(2), "ne lt le eb"), (sequence(3), "ne gt ge sa")]  # of 2.5: no integer is it

# what is stored           what is asked                        found?
TABLE = [
    *cases("probability", "100", DECIMALS),
    *cases("variant-start", "20", INTEGERS),
    *cases("variant-start", "20.0", INTEGERS),
    *(case for case in cases("variant-start", "2.5", HALVES) if "=ap" not in case[1]),
    (risk("100.004"), "probability=100.00", True),
    (risk("100.005"), "probability=100.00", False),
    (risk("99.995"), "probability=100.00", True),
    (risk("95"), "probability=1e2", True),
    (risk("94.9"), "probability=1e2", False),
    (risk("105"), "probability=1e2", False),
    (risk("99.4"), "probability=1.00e2", False),
    (risk("99.5"), "probability=1.00e2", True),
    (risk("0.8"), "probability=0.8", True),
    (risk("0.8"), "probability=8e-1", True),
    (risk("0.81"), "probability=gt0.8", True),
    (risk("0.80"), "probability=gt8e-1", False),
    (risk("-5"), "probability=-5", True),
    (risk("-5"), "probability=lt-4.9", True),
    (risk("-109"), "probability=ap-100", True),
    (risk("-111"), "probability=ap-100", False),
    (risk("0"), "probability=0", True),
    (risk("0"), "probability=ap0", True),
    (risk("0.4"), "probability=0", True),
    (risk("0.4"), "probability=ap0", True),
    (risk("0.6"), "probability=ap0", False),
    (risk("2.4"), "probability=ap2", True),
    (risk("0.11"), "probability=ap0.10", True),
    (risk("100"), "probability=99,100", True),
    (risk("100"), "probability=gt99&probability=lt101", True),
    (sequence(20), "variant-start=2e1", True),
    (sequence(22), "variant-start=2e1", False),
    (risk("100"), "probability:missing=false", True),
    (between(None, None), "probability:missing=false", True),
    ({"resourceType": "RiskAssessment"}, "probability:missing=true", True),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "text", "is_found"), TABLE)
def test_a_number_is_found_to_the_precision_it_is_asked_with(resource, text, is_found) -> None:
    assert found(resource, text) is is_found


def test_a_range_without_an_end_has_no_number() -> None:
    assert indexer().rows(between(None, None)).quantities == frozenset()


@pytest.mark.parametrize("text", ["5.4|kg", "x", "", "ge", "5..4", "1e9999", "zz5", "NaN", "0x10"])
def test_what_is_no_number_is_refused(text) -> None:
    with pytest.raises(Invalid):
        query("RiskAssessment", f"probability={text}")
