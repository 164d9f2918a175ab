"""native — invariants of R4 that look everywhere below, as plain walks.

https://hl7.org/fhir/R4/codesystem.html#invs
https://hl7.org/fhir/R4/questionnaire.html#invs

What R4 asks of `descendants()` is asked of a tree of one kind: concepts, or items. A contained
resource is among the descendants too; where there is one, the engine is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fhir_server.foundation.fhirpath.quick.runtime import key

Native = Callable[[Any, Any, Any], bool]


def _unlike(below: str, name: str) -> Native:
    """Whether all in a tree have a name of their own. Raises KeyError where that is not all."""

    def holds(value: Any, _beside: Any, _env: Any) -> bool:
        if "contained" in value:
            raise KeyError("contained")
        seen, count, waiting = set(), 0, [value]
        while waiting:
            for child in waiting.pop().get(below) or ():
                waiting.append(child)
                if name in child or f"_{name}" in child:
                    count += 1
                    seen.add(key(child.get(name), child.get(f"_{name}"), "string"))
        return len(seen) == count

    return holds


# R4's expression -> the same, walked
NATIVE: dict[str, Native] = {
    "concept.code.combine($this.descendants().concept.code).isDistinct()": _unlike(
        "concept", "code"
    ),
    "descendants().linkId.isDistinct()": _unlike("item", "linkId"),
}
