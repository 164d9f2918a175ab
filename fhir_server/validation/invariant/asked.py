"""asked — one invariant: what it says, and whether it holds for an element.

https://hl7.org/fhir/R4/elementdefinition-definitions.html#ElementDefinition.constraint
https://hl7.org/fhir/R4/fhirpath.html
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fhir_server.foundation.fhirpath.evaluate import Expression
from fhir_server.foundation.fhirpath.items import Item, Model
from fhir_server.foundation.fhirpath.scope import (
    ENGINE_STEP,
    MAX_TOGETHER,
    Meter,
    Resolve,
    Services,
)
from fhir_server.foundation.outcome import Invalid, Issue
from fhir_server.foundation.resource import Resource
from fhir_server.validation.messages import issue

MAX_STEPS = 100_000  # of one invariant for one element: no more than 0.2 s
MAX_STEPS_TOGETHER = MAX_TOGETHER  # of all invariants of one resource


class Unusable(ValueError):
    """An invariant that cannot be asked: no FHIRPath, or more steps than it may take."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Env:
    """Where the element stands; one for each resource, for it counts what its invariants take.

    resource: `%resource`, the nearest resource around it. root: `%rootResource`, which contains
    that one, or the same. resolve: gives the resource that a reference
    names, or None.
    """

    resource: Resource | None = None
    root: Resource | None = None
    resolve: Resolve | None = None
    now: dt.datetime | None = None  # what today() and now() tell; None: the time it is
    meter: Meter | None = field(default_factory=Meter, compare=False)


NOWHERE = Env(meter=None)  # shared by all, so nothing is counted
Fast = Callable[[Any, Any, Env], bool]  # the value, what stands in its `_name`, and where


@dataclass(frozen=True, slots=True)
class Invariant:
    """One ElementDefinition.constraint, compiled for elements of one type.

    source: the URL of what makes it, R4's type or a profile. unusable: why it can never be asked.
    of_resource: it is about more than the element itself: `%resource`, resolve().
    """

    key: str
    severity: str  # error | warning
    human: str
    human_vi: str | None
    expression: str
    type: str  # the node of what it is asked of: `Identifier`, `Patient.contact`
    best_practice: bool = False
    source: str | None = None
    unusable: str | None = None
    of_resource: bool = False
    fast: Fast | None = None
    engine: Expression | None = None
    model: Model | None = None
    services: Services | None = None

    def holds(self, focus: Any, env: Env = NOWHERE, *, beside: Any = None) -> bool:
        """Whether it is true of an element. Raises Unusable where that cannot be told.

        focus: the JSON value, or an Item of it. beside: what stands in the `_name` of a primitive.
        """
        if self.fast is not None and not isinstance(focus, Item):
            try:
                return self.fast(focus, beside, env)
            except Invalid as refusal:
                raise Unusable(str(refusal)) from None
            except (AttributeError, TypeError, KeyError, IndexError, ValueError):
                pass  # not the shape its type has: the engine takes whatever there is
        return self.by_engine(focus, env, beside=beside)

    def by_engine(self, focus: Any, env: Env = NOWHERE, *, beside: Any = None) -> bool:
        """holds(), without the short way."""
        if self.engine is None or self.model is None:
            raise Unusable(self.unusable or "It has no expression.")
        item = focus if isinstance(focus, Item) else self._item(focus, beside, env)
        left = MAX_STEPS if env.meter is None else (env.meter.most - env.meter.steps) // ENGINE_STEP
        given = {"resource": env.resource, "rootResource": env.root or env.resource}
        try:
            return self.engine.is_true(
                item,
                resolve=env.resolve,
                variables={name: value for name, value in given.items() if value is not None},
                max_steps=min(MAX_STEPS, left),
                now=env.now,
                services=self.services,
                meter=env.meter,
            )
        except Invalid as refusal:
            raise Unusable(str(refusal)) from None
        except RecursionError:
            raise Unusable("FHIRPath: the resource goes too deep.") from None

    def by_engine_alone(self, focus: Any, beside: Any, env: Env) -> bool:
        """by_engine(), given as the short way is."""
        return self.by_engine(focus, env, beside=beside)

    def _item(self, focus: Any, beside: Any, env: Env) -> Item:
        """The element as an item that knows what it stands in."""
        assert self.model is not None
        around = root = None if env.root is None else self.model.root(env.root)
        if env.resource is not None and env.resource is not env.root:
            around = self.model.root(env.resource)
            around.parent, around.name = root, "contained" if root is not None else ""
        if env.resource is focus and around is not None:
            return around
        type = self.type if "." not in self.type else "BackboneElement"
        return Item(focus, type, self.type, parent=around, beside=beside)

    def issue(
        self,
        focus: Any,
        path: str,
        env: Env = NOWHERE,
        *,
        beside: Any = None,
        profile: str | None = None,
    ) -> Issue | None:
        """What is to be told of an element; None where the invariant holds."""
        try:
            if self.holds(focus, env, beside=beside):
                return None
        except Unusable as unusable:
            said = {"named": self.key, "why": unusable.why}
            return issue("invariant-unusable", path, profile=profile, **said)
        said = {"named": self.key, "human": self.human, "human_vi": self.human_vi or self.human}
        return issue(
            "invariant", path, severity=self.severity, rule=self.key, profile=profile, **said
        )
