"""A resource inside another whose type is no text, or none of R4's, is an error; never a crash."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fhir_server.validation.validator import Validator
from tests.validation.test_validator import DEFINITIONS

TYPES = [
    {"extension": "Parameters"},
    {},
    [],
    ["Patient"],
    1,
    True,
    None,
    "",
    "Element",
    "HumanName",
]


def in_a_transaction(inner: Any) -> dict[str, Any]:
    entry = {
        "fullUrl": {"extension": "urn:uuid:0"},
        "request": {"method": "PATCH", "url": "List/f201"},
        "resource": inner,
    }
    return {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}


PLACES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "transaction": in_a_transaction,
    "document": lambda inner: in_a_transaction(inner) | {"type": "document"},
    "contained": lambda inner: {"resourceType": "Patient", "contained": [inner]},
    "Parameters": lambda inner: {
        "resourceType": "Parameters",
        "parameter": [{"name": "operation", "part": [{"name": "a", "resource": inner}]}],
    },
    "nested": lambda inner: in_a_transaction(in_a_transaction(inner)),
}


@pytest.fixture(scope="module")
def validator() -> Validator:
    return Validator(DEFINITIONS)


@pytest.mark.parametrize("type", TYPES, ids=str)
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_a_type_that_is_none_is_an_error(
    validator: Validator, place: Callable[[Any], dict[str, Any]], type: Any
) -> None:
    parts = [{"name": "operation", "part": [{"name": "path", "valueString": "a.b("}]}]
    found = validator.check(place({"resourceType": type, "id": "a", "parameter": parts}))
    assert "error" in [each.severity for each in found]
