"""call — an operation as it is asked for: where, and with which parameters.

https://hl7.org/fhir/R4/operations.html#executing
https://hl7.org/fhir/R4/parameters.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fhir_server.foundation.outcome import FhirError, Invalid
from fhir_server.foundation.resource import Resource
from fhir_server.interaction.context import Answer, Circumstances, Server


@dataclass(frozen=True, slots=True)
class Given:
    """One parameter: a value under its type's name (`valueCode`), a resource, or parts.

    A parameter of a query is text; `type` is then None.
    """

    name: str
    value: Any = None
    type: str | None = None  # `code`, `Coding`, ...: the suffix of value[x]
    resource: Resource | None = None
    parts: tuple[Given, ...] = ()
    place: str | None = None  # `Parameters.parameter[0]`; None where it came in a query


@dataclass(frozen=True, slots=True)
class Call:
    """A request for an operation.

    level: system, type or instance; type and id where it has them. body: what was POSTed where it
    was not Parameters. text: the bytes it was read from and what they are written in (`json`,
    `xml`), so that an issue can tell a line; None where there were none. unreadable: why they are
    no resource, for an operation that judges.
    """

    name: str
    level: str
    method: str = "POST"
    type: str | None = None
    id: str | None = None
    given: tuple[Given, ...] = ()
    body: Resource | None = None
    text: tuple[bytes, str] | None = None
    unreadable: FhirError | None = None

    def all(self, name: str) -> list[Given]:
        return [one for one in self.given if one.name == name]

    def one(self, name: str) -> Given | None:
        """The parameter of this name. Raises Invalid where there are several."""
        found = self.all(name)
        if len(found) > 1:
            raise Invalid(f"`{name}` is given more than once.", expression=f"http.{name}")
        return found[0] if found else None

    def text_of(self, name: str) -> str | None:
        """A parameter that is a text (string, code, uri, ...). Raises Invalid where it is not."""
        found = self.one(name)
        if found is None:
            return None
        if not isinstance(found.value, str) or not found.value:
            raise Invalid(f"`{name}` must be a text.", expression=f"http.{name}")
        return found.value


Perform = Callable[[Server, Call, Circumstances], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Operation:
    """A line of the table of operations; the CapabilityStatement tells of these and no other.

    types: None: every type. parameters: the names it takes; another is refused; None: it judges
    them itself. get: whether GET
    is offered beside POST (it changes nothing and its parameters are simple). bodies: the types of
    resource it takes as they are, without Parameters. delete: whether DELETE is offered besides, to
    break off what its place tells of. judges: it takes content in whatever state,
    because that is what it is asked about; others are given valid R4 only. ability: what the
    caller must be able to do by the policy, where it is not about records.
    """

    name: str  # without `$`
    definition: str  # the canonical of its OperationDefinition
    levels: frozenset[str]
    types: frozenset[str] | None
    parameters: frozenset[str] | None
    perform: Perform
    get: bool = True
    delete: bool = False
    bodies: frozenset[str] = frozenset()
    judges: bool = False
    ability: str | None = None
