"""parameters — what an operation is given, read from a Parameters resource or a query, and back.

https://hl7.org/fhir/R4/parameters.html
https://hl7.org/fhir/R4/operations.html#request
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_server.foundation.outcome import Invalid
from fhir_server.foundation.primitive import VALID
from fhir_server.foundation.resource import Resource
from fhir_server.foundation.wire import render
from fhir_server.interaction.context import Answer, Pairs
from fhir_server.operation.call import Given

MAX_PARAMETERS = 1000  # of one request, parts included
MAX_DEPTH = 8  # of parts within parts
MEMBERS = frozenset({"name", "resource", "part", "id", "extension"})
# How a primitive is called in value[x]: `valueCode` has a `code`.
PRIMITIVES = {code[0].upper() + code[1:]: code for code in VALID}


def of_query(pairs: Pairs) -> tuple[Given, ...]:
    """The parameters of a URL: each a text, whatever its type."""
    return tuple(Given(name, value) for name, value in pairs)


def of_resource(resource: Resource) -> tuple[Given, ...]:
    """The parameters of a Parameters resource. Raises Invalid, naming the place."""
    return _Reading().several(resource.get("parameter", []), "Parameters.parameter", 1)


class _Reading:
    """One Parameters resource as it is read."""

    def __init__(self) -> None:
        self.count = 0

    def several(self, listed: Any, place: str, depth: int) -> tuple[Given, ...]:
        if not isinstance(listed, list):
            raise Invalid(f"`{place}` must be an array.", expression=place)
        if depth > MAX_DEPTH:
            raise Invalid(f"Parts are nested deeper than {MAX_DEPTH} levels.", expression=place)
        return tuple(
            self.one(entry, f"{place}[{index}]", depth) for index, entry in enumerate(listed)
        )

    def one(self, entry: Any, place: str, depth: int) -> Given:
        self.count += 1
        if self.count > MAX_PARAMETERS:
            raise Invalid(f"There are more than {MAX_PARAMETERS} parameters.", expression=place)
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name:
            raise Invalid("A parameter needs a `name`.", expression=f"{place}.name")
        values = [member for member in entry if member not in MEMBERS and member[:1] != "_"]
        held = values + [member for member in ("resource", "part") if member in entry]
        if len(held) != 1:
            raise Invalid(
                f"The parameter `{name[:64]}` needs one of `value[x]`, `resource` and `part`.",
                expression=place,
            )
        match held[0]:
            case "part":
                parts = self.several(entry["part"], f"{place}.part", depth + 1)
                return Given(name, parts=parts, place=place)
            case "resource":
                found = _resource(entry["resource"], f"{place}.resource")
                return Given(name, resource=found, place=place)
            case member:
                return _value(name, member, entry[member], place)


def _resource(found: Any, place: str) -> Resource:
    if not isinstance(found, dict) or not isinstance(found.get("resourceType"), str):
        raise Invalid("This must be a resource, with its `resourceType`.", expression=place)
    return found


def _value(name: str, member: str, value: Any, place: str) -> Given:
    """A primitive is checked here; the rest is an object, checked with the whole."""
    suffix = member.removeprefix("value")
    if suffix == member or not suffix[:1].isupper():
        told = f"{place}.{member[:64]}"
        raise Invalid(f"`{member[:64]}` is not a member of a parameter.", expression=told)
    type = PRIMITIVES.get(suffix, suffix)
    good = VALID[type](value) if type in VALID else isinstance(value, dict) and bool(value)
    if not good:
        raise Invalid(f"`{name[:64]}` is no `{type[:64]}`.", expression=f"{place}.value")
    return Given(name, value, type, place=place)


# --- answers -------------------------------------------------------------------------------------


def parameters(given: Sequence[Given]) -> Resource:
    """A Parameters resource that says this."""
    told: Resource = {"resourceType": "Parameters"}
    if given:
        told["parameter"] = [_told(one) for one in given]
    return told


def _told(given: Given) -> dict[str, Any]:
    told: dict[str, Any] = {"name": given.name}
    if given.resource is not None:
        told["resource"] = given.resource
    elif given.parts:
        told["part"] = [_told(part) for part in given.parts]
    else:
        type = given.type or "string"
        told[f"value{type[0].upper()}{type[1:]}"] = given.value
    return told


def answer(resource: Resource, status: int = 200) -> Answer:
    """The Answer of an operation: R4 operations#response, a Parameters or the one resource."""
    return Answer(status=status, body=render(resource))
