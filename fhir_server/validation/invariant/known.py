"""known — all invariants of R4's types, and those of profiles compiled as they are met.

https://hl7.org/fhir/R4/conformance-rules.html#constraints
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_server.conformance.definitions import Definitions
from fhir_server.foundation.fhirpath.evaluate import Expression, compile
from fhir_server.foundation.fhirpath.items import Model
from fhir_server.foundation.fhirpath.scope import Services
from fhir_server.foundation.outcome import Invalid
from fhir_server.validation.invariant.asked import Invariant

# What the structure's own check knows by heart, and tells under the same key.
STRUCTURAL = frozenset({"ele-1", "ext-1", "ref-1", "dom-2", "dom-3", "dom-4", "dom-5"}) | {
    "txt-1",
    "txt-2",
}
BEST_PRACTICE = "http://hl7.org/fhir/StructureDefinition/elementdefinition-bestpractice"


class Invariants:
    """The invariants of all types. One for all threads; each is made when first asked for."""

    def __init__(self, definitions: Definitions, services: Services | None = None) -> None:
        self.definitions = definitions
        self.services = services
        self._model = Model(definitions)
        self._of: dict[str, tuple[Invariant, ...]] = {}

    def of(self, node: str) -> tuple[Invariant, ...]:
        """What R4 asks of a type or of a BackboneElement's path, but for what is structural."""
        found = self._of.get(node)
        if found is None:
            found = self._of[node] = tuple(
                self._known(key, node) for key in self._keys(node) if key not in STRUCTURAL
            )
        return found

    def _keys(self, node: str) -> tuple[str, ...]:
        root = node.partition(".")[0]
        try:
            elements = self.definitions.type(root).elements
        except KeyError:
            return ()
        return next((e.constraints for e in elements if e.path == node), ())

    def _known(self, key: str, node: str) -> Invariant:
        severity, expression = self.definitions.constraints[key][:2]
        constraint = {"key": key, "severity": severity, "human": key, "expression": expression}
        return self.compiled(constraint, node)

    def compiled(
        self, constraint: Mapping[str, Any], type_of_focus: str, *, source: str | None = None
    ) -> Invariant:
        """An ElementDefinition.constraint for elements of a type (or of a BackboneElement's path).

        One that cannot be understood says so: its `unusable` tells why.
        """
        texts = {name: _text(constraint, name) for name in ("key", "human", "expression", "source")}
        engine, why = self._engine(texts["expression"])
        extensions = constraint.get("extension")
        return Invariant(
            texts["key"],
            "warning" if constraint.get("severity") == "warning" else "error",
            texts["human"],
            None,
            texts["expression"],
            type_of_focus,
            best_practice=isinstance(extensions, list)
            and any(isinstance(x, dict) and x.get("url") == BEST_PRACTICE for x in extensions),
            source=source or texts["source"] or None,
            unusable=why,
            engine=engine,
            model=self._model,
            services=self.services,
        )

    def _engine(self, expression: str) -> tuple[Expression | None, str | None]:
        if not expression:
            return None, "It has no expression."
        try:
            return compile(expression, self.definitions), None
        except Invalid as refusal:
            return None, str(refusal)


def _text(constraint: Mapping[str, Any], name: str) -> str:
    value = constraint.get(name)
    return value if isinstance(value, str) else ""
