"""known — all invariants of R4's types, and those of profiles compiled as they are met.

https://hl7.org/fhir/R4/conformance-rules.html#constraints
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fhir_server.conformance.definitions import Definitions
from fhir_server.foundation.fhirpath.evaluate import Expression, compile
from fhir_server.foundation.fhirpath.items import Model
from fhir_server.foundation.fhirpath.quick import NotQuick, quick
from fhir_server.foundation.fhirpath.scope import Services
from fhir_server.foundation.outcome import TRANSLATION, Invalid
from fhir_server.validation.invariant import r4
from fhir_server.validation.invariant.asked import Fast, Invariant
from fhir_server.validation.invariant.native import NATIVE

BEST_PRACTICE = "http://hl7.org/fhir/StructureDefinition/elementdefinition-bestpractice"
R4_TYPE = "http://hl7.org/fhir/StructureDefinition/"


class Invariants:
    """The invariants of all types. One for all threads; each is made when first asked for."""

    def __init__(self, definitions: Definitions, services: Services | None = None) -> None:
        self.definitions = definitions
        self.services = services
        self._model = Model(definitions)
        self._of: dict[tuple[str, str], tuple[Invariant, ...]] = {}

    def of(self, node: str) -> tuple[Invariant, ...]:
        """What R4 asks of a type or of a BackboneElement's path, but for what is structural."""
        return self.of_element(node, node)

    def of_element(self, path: str, node: str) -> tuple[Invariant, ...]:
        """What R4 asks of the values of one element, besides what it asks of their type.

        path: of the element, `Organization.telecom`. node: where the values' children are found.
        """
        found = self._of.get((path, node))
        if found is None:
            keys = r4.keys(self.definitions, path)
            found = tuple(self._known(path, node, key) for key in keys)
            self._of[path, node] = found
        return found

    def _known(self, path: str, node: str, key: str) -> Invariant:
        made = self.compiled(
            r4.constraint(self.definitions, path, key),
            node,
            source=R4_TYPE + path.partition(".")[0],
            counted=False,
        )
        said = r4.about(path, key)
        return replace(made, human_vi=said.vi, best_practice=said.best_practice)

    def compiled(
        self,
        constraint: Mapping[str, Any],
        type_of_focus: str,
        *,
        source: str | None = None,
        counted: bool = True,
    ) -> Invariant:
        """An ElementDefinition.constraint for elements of a type (or of a BackboneElement's path).

        counted: all it takes is counted; R4's own are known to take little.
        One that cannot be understood says so: its `unusable` tells why.
        """
        expression = _text(constraint, "expression")
        engine, why = self._engine(expression)
        fast, of_resource = None, True
        if engine is not None:
            fast, of_resource = self._fast(expression, type_of_focus, counted=counted)
        return Invariant(
            _text(constraint, "key"),
            "warning" if constraint.get("severity") == "warning" else "error",
            _text(constraint, "human"),
            _translated(constraint.get("_human")),
            expression,
            type_of_focus,
            best_practice=any(x.get("url") == BEST_PRACTICE for x in _extensions(constraint)),
            source=source or _text(constraint, "source") or None,
            unusable=why,
            of_resource=of_resource,
            fast=fast,
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
        except RecursionError:
            return None, "FHIRPath: the expression goes too deep."

    def _fast(self, expression: str, node: str, *, counted: bool) -> tuple[Fast | None, bool]:
        """The short way, if there is one, and whether it asks for more than the element."""
        if expression in NATIVE:
            return NATIVE[expression], False
        try:
            made = quick(expression, self._model, node, counted=counted)
        except (NotQuick, Invalid):
            return None, any(word in expression for word in ("esource", "resolve("))
        return made.holds, made.of_resource


def _text(constraint: Mapping[str, Any], name: str) -> str:
    value = constraint.get(name)
    return value if isinstance(value, str) else ""


def _extensions(value: Any) -> list[dict[str, Any]]:
    listed = value.get("extension") if isinstance(value, Mapping) else None
    return [x for x in listed if isinstance(x, dict)] if isinstance(listed, list) else []


def _translated(beside: Any) -> str | None:
    """The Vietnamese translation of `human`."""
    for extension in _extensions(beside):
        if extension.get("url") != TRANSLATION:
            continue
        parts = {part.get("url"): part for part in _extensions(extension)}
        content = parts.get("content", {}).get("valueString")
        if parts.get("lang", {}).get("valueCode") == "vi" and isinstance(content, str):
            return content
    return None
