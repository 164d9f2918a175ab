"""quick — an expression as plain Python over JSON, where that surely gives what the engine gives.

http://hl7.org/fhirpath/N1
https://hl7.org/fhir/R4/fhirpath.html

Types are known from the definitions, so choices are spelled out, nothing is looked for that cannot
be there, and no item is made. What is not known to be the same raises NotQuick while it is written.
A resource must have its type's structure; where it has not, the function may raise TypeError,
AttributeError, KeyError or ValueError, and then the engine is to be asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from fhir_server.foundation.fhirpath.items import Model
from fhir_server.foundation.fhirpath.parse import parse
from fhir_server.foundation.fhirpath.quick import runtime
from fhir_server.foundation.fhirpath.quick.block import Block, NotQuick
from fhir_server.foundation.fhirpath.quick.found import Here, Spot
from fhir_server.foundation.fhirpath.quick.functions import FUNCTIONS
from fhir_server.foundation.fhirpath.quick.operators import BINARY
from fhir_server.foundation.fhirpath.quick.tidy import tidy
from fhir_server.foundation.fhirpath.quick.writing import At, Writer

__all__ = ["NotQuick", "Quick", "quick"]

RUNTIME = {
    name: getattr(runtime, name)
    for name in (
        "MAX_STEPS",
        "compare",
        "costly",
        "key",
        "arithmetic",
        "moment",
        "moment_order",
        "moved",
        "pairs",
        "quantity_order",
        "same",
        "time_order",
        "today",
        "too_long",
        "too_many",
        "tried",
        "turnedmoment_order",
        "weight",
    )
}


# Where loops are counted, so are those of the other invariants of a resource.
COUNTING = (
    " meter = env.meter",
    " steps, most = (0, MAX_STEPS) if meter is None else (meter.steps, meter.most)",
    " try:",
)
COUNTED = (" finally:", "  if meter is not None:", "   meter.steps = steps")


class Quick(NamedTuple):
    """holds(value, beside, env): whether the expression is true; env has resource, root, now
    and meter, which may be None.

    of_resource: it asks env for them.
    """

    holds: Callable[[Any, Any, Any], bool]
    of_resource: bool
    source: str


def quick(expression: str, model: Model, node: str, *, counted: bool = False) -> Quick:
    """An invariant of a type, or of a BackboneElement's path.

    counted: whoever wrote it is not known, so all that it takes is counted, not only the loops
    within loops. Raises NotQuick, and Invalid if it is no FHIRPath.
    """
    primitive = node in model.definitions.primitive_types
    type = node if "." not in node else "BackboneElement"
    any_resource = node in model.definitions.any_resource
    beside = "b" if primitive else None
    focus = Spot("v", type, node, beside, always=not primitive, any_resource=any_resource)
    block = Block.outermost(counted=counted)
    writer = Writer(model, focus, FUNCTIONS, BINARY)
    try:
        truth = writer.truth(parse(expression), At(block, Here(focus)))
    except RecursionError:
        raise NotQuick("It goes too deep.") from None
    lines = [*tidy(block.lines), f" told = {truth.code} is True"]
    if any("steps += " in line for line in lines):
        lines = [*COUNTING, *(f" {line}" for line in lines), *COUNTED]
    source = "\n".join(["def holds(v, b, env):", *lines, " return told"])
    names: dict[str, Any] = {**RUNTIME, **{n: k for n, k in block.names.items() if k is not None}}
    try:
        exec(compile(source, "<FHIRPath>", "exec"), names)  # noqa: S102 - every name in it is ours
    except (SyntaxError, MemoryError, RecursionError) as error:
        raise NotQuick(f"Python has its bounds: {error}.") from None
    return Quick(names["holds"], writer.of_resource, source)
