"""scope — what an expression is asked of while it is evaluated, and how far it may go.

http://hl7.org/fhirpath/N1/#environment-variables
https://hl7.org/fhir/R4/fhirpath.html#variables
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from fhir_server.foundation.fhirpath.items import Item, Model, made, plain
from fhir_server.foundation.outcome import Invalid
from fhir_server.foundation.resource import Resource

Resolve = Callable[[str], Resource | None]
Truth = bool | None  # N1, three-valued logic; None: it cannot be told


class Services(Protocol):
    """What only the layers above know. None: it cannot be told, and the function raises Invalid."""

    def member_of(self, value_set: str, item: Item) -> bool | None:
        """Whether a code, Coding or CodeableConcept is in a value set."""
        ...

    def subsumes(self, system: str, code: str, other: str) -> bool | None:
        """Whether `code` is `other`, or stands above it."""
        ...

    def conforms_to(self, item: Item, profile: str) -> bool | None:
        """Whether a resource or an element is valid against a profile."""
        ...

    def in_slice(self, item: Item, structure: str, name: str) -> bool | None:
        """Whether an element is of a slice that a StructureDefinition defines."""
        ...

    def html_problems(self, div: str) -> bool:
        """Whether a narrative's `div` says what R4 does not let it say."""
        ...

    def element_definition(self, item: Item) -> Resource | None:
        """The ElementDefinition of an element; None where it has none."""
        ...


MAX_TOGETHER = 1_000_000
ENGINE_STEP = 5  # a step of the engine is like so many values looked at in plain Python


class Exhausted(Exception):
    """What is done together took more steps than it may."""


class Meter:
    """The steps that several evaluations take together, and the most they may."""

    __slots__ = ("most", "steps")

    def __init__(self, most: int = MAX_TOGETHER) -> None:
        self.most = most
        self.steps = 0

    def spend(self, steps: int) -> None:
        """Raises Exhausted."""
        self.steps += steps
        if self.steps > self.most:
            raise Exhausted


class Run:
    """One evaluation, from its beginning to its end."""

    __slots__ = (
        "context",
        "max_steps",
        "model",
        "now",
        "resolve",
        "services",
        "steps",
        "variables",
    )

    def __init__(
        self,
        model: Model,
        context: Item,
        resolve: Resolve | None,
        variables: Mapping[str, Any],
        *,
        max_steps: int,
        now: dt.datetime | None,
        services: Services | None = None,
    ) -> None:
        self.model = model
        self.context = context
        self.resolve = resolve
        self.variables = variables
        self.max_steps = max_steps
        self.now = now or dt.datetime.now(dt.UTC).astimezone()
        self.services = services
        self.steps = 0

    def spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > self.max_steps:
            raise Invalid(f"FHIRPath: the expression takes more than {self.max_steps} steps.")

    @property
    def root(self) -> Item:
        """The outermost resource."""
        item = self.context
        while item.parent is not None:
            item = item.parent
        return item

    @property
    def resource(self) -> Item:
        """The resource the context is in: a contained one, where it is in that."""
        item = self.context
        while item.parent is not None and item.type not in self.model.definitions.resource_types:
            item = item.parent
        return item

    def variable(self, name: str) -> list[Item]:
        if name in self.variables:
            value = self.variables[name]
            values = value if isinstance(value, list) else [] if value is None else [value]
            return [self._item(each) for each in values]
        match name:
            case "context":
                return [self.context]
            case "resource":
                return [self.resource]
            case "rootResource":
                # R4: the resource that contains %resource, or itself
                item = self.resource
                return [item.parent if item.name == "contained" and item.parent else item]
        raise Invalid(f"FHIRPath: there is no variable `%{name[:50]}`.")

    def _item(self, value: Any) -> Item:
        if isinstance(value, Item):
            return value
        return self.model.root(value) if isinstance(value, dict) else made(value)


class Scope:
    """What `$this`, `$index` and `$total` are, and what a name without a base belongs to."""

    __slots__ = ("index", "run", "this", "total")

    def __init__(
        self,
        run: Run,
        this: list[Item],
        index: int | None = None,
        total: list[Item] | None = None,
    ) -> None:
        self.run = run
        self.this = this
        self.index = index
        self.total = total or []

    def within(self, item: Item, index: int) -> Scope:
        """The scope of an argument that is asked of each item."""
        self.run.spend(1)
        return Scope(self.run, [item], index, self.total)


Evaluated = Callable[[Scope], list[Item]]


def one(items: list[Item], of: str) -> Item | None:
    """The single item, or None. Raises Invalid where there are more: N1, singleton evaluation."""
    if not items:
        return None
    if len(items) > 1:
        raise Invalid(f"FHIRPath: {of} needs a single value, and there are {len(items)}.")
    return items[0]


def value_of(items: list[Item], of: str) -> Any:
    """The single value, or None: also for a primitive that has nothing but extensions."""
    item = one(items, of)
    return None if item is None else plain(item)


def truth(value: Truth) -> list[Item]:
    return [] if value is None else [made(value)]


def boolean(items: list[Item]) -> Truth:
    """What a collection means as a condition: a single thing that is no boolean is true."""
    item = one(items, "a condition")
    if item is None:
        return None
    value = plain(item)
    return value if isinstance(value, bool) else True
