"""test_invariant — every invariant is asked, quickly and as FHIRPath has it, and never for ever.

https://hl7.org/fhir/R4/conformance-rules.html#constraints
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from fhir_server.conformance.definitions import load
from fhir_server.foundation import wire
from fhir_server.foundation.fhirpath.items import Model
from fhir_server.foundation.outcome import Invalid
from fhir_server.validation.invariant import Env, Invariant, Invariants, Unusable
from tests.validation.invariants import PROFILED, changed, places

R4 = load()
MODEL = Model(R4)
INVARIANTS = Invariants(R4)
FOLDER = Path(__file__).parents[3] / "shared/testdata/r4-examples"
EXAMPLES = [path for path in sorted(FOLDER.glob("*.json")) if path.stat().st_size < 60_000]
SEEDS = range(12)  # how often each example is changed
ELEMENTS = [element for type in R4.all_types for element in R4.type(type).elements]

needs_examples = pytest.mark.skipif(not EXAMPLES, reason="HL7's examples are not beside this")


@cache
def profiled(node: str) -> tuple[Invariant, ...]:
    return tuple(
        INVARIANTS.compiled({"key": "x-1", "severity": "error", "expression": text}, node)
        for text in PROFILED.get(node, ())
    )


def told(holds: Callable[[], bool]) -> bool | str:
    try:
        return holds()
    except (Invalid, Unusable):
        return "unusable"


def disagreements(resource: dict[str, Any]) -> list[str]:
    """Where the short way and the engine do not say the same."""
    found = []
    for path, item in places(MODEL, MODEL.root(resource)):
        around = item
        while around.parent is not None and around.type not in R4.resource_types:
            around = around.parent
        env = Env(around.value, resource)
        asked = [*INVARIANTS.of(item.node), *profiled(item.node)]
        if path and path != item.node:
            asked += INVARIANTS.of_element(path, item.node)
        for each in asked:
            if each.fast is None or (item.value is None and item.beside is None):
                continue
            fast = each.fast
            try:
                short = told(lambda: fast(item.value, item.beside, env))  # noqa: B023
            except (AttributeError, TypeError, KeyError, ValueError):
                continue  # not the structure: the engine is asked
            long = told(lambda: each.by_engine(item, env))  # noqa: B023
            if short != long:
                found.append(f"{item.path}: {each.expression}: {short}, not {long}")
    return found


@needs_examples
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_the_short_way_says_what_the_engine_says(example: Path) -> None:
    resource = wire.parse(example.read_bytes())
    assert disagreements(resource) == []
    if example.stat().st_size < 20_000:
        for seed in SEEDS:
            assert disagreements(changed(resource, seed)) == [], seed
