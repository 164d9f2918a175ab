"""What search takes out of HL7's examples is what FHIRPath says each expression finds.

https://hl7.org/fhir/R4/searchparameter-definitions.html#SearchParameter.expression
"""

from __future__ import annotations

import json
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from fhir_server.conformance.definitions import Definitions, load
from fhir_server.foundation.fhirpath.evaluate import compile
from fhir_server.search.extract import compiled
from fhir_server.search.parameters import Parameter, Parameters

EXAMPLES = Path(__file__).parents[3] / "shared" / "testdata" / "r4-examples"
FILES = sorted(EXAMPLES.rglob("*.json"))

pytestmark = pytest.mark.skipif(not FILES, reason="HL7's examples are not beside this checkout")


@cache
def definitions() -> Definitions:
    return load()


@cache
def parameters() -> Parameters:
    return Parameters(definitions())


@cache
def extraction(type: str, code: str) -> Any:
    paths = parameters().of(type)[code].paths
    ways = [(path, [f"found.append(({path.type!r}, {{v}}))"]) for path in paths]
    return compiled("values(r, found)", ways, {})


def extracted(parameter: Parameter, resource: dict[str, Any]) -> list[str]:
    found: list[tuple[str, Any]] = []
    extraction(parameter.of, parameter.code)(resource, found)
    return told([value for _, value in found])


def evaluated(parameter: Parameter, resource: dict[str, Any]) -> list[str]:
    items = compile(parameter.expression, definitions()).evaluate(resource)
    return told([item.value for item in items if item.value is not None])


def told(values: list[Any]) -> list[str]:
    """Distinct, since `|` makes them so."""
    return sorted({json.dumps(value, sort_keys=True, default=str) for value in values})


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_parameter_finds_what_its_expression_finds(file: Path) -> None:
    resource = json.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)
    for parameter in parameters().of(resource["resourceType"]).values():
        if parameter.paths:
            found = extracted(parameter, resource)
            assert found == evaluated(parameter, resource), parameter.code
