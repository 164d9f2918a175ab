"""patch_value — what a FHIRPath Patch puts into a resource: a value[x], parts, or a resource.

https://hl7.org/fhir/R4/fhirpatch.html
"""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

from fhir_server.conformance.definitions import Definitions, Field
from fhir_server.foundation.outcome import Invalid, Unprocessable
from fhir_server.interaction.json_patch import deep_copy

# What a Parameters resource has no value[x] for, and is given as; `id` is a string in some places.
GIVEN_AS = {("string", "xhtml"), ("string", "id"), ("id", "string")}


class Pair(NamedTuple):
    """A value, and what JSON keeps beside a primitive's, under `_name`."""

    value: Any
    beside: Any = None


def fields_named(definitions: Definitions, node: str, name: str) -> list[Field]:
    """The fields of a node a name may mean: for a choice, `value`, `value[x]`, `valueDate`."""
    fields = list(definitions.children(node).values())
    name = name.removesuffix("[x]")
    if node in definitions.primitive_types:
        fields = [field for field in fields if field.name != "value"]  # is not beside, but itself
    return [field for field in fields if name in (field.name, field.element.name)]


def read(definitions: Definitions, part: dict[str, Any], fields: list[Field]) -> tuple[Field, Pair]:
    """The value of a part, and as which of the fields it is to be put. Raises where none fits."""
    values = {name.removeprefix("_") for name in part if name.lstrip("_").startswith("value")}
    given = sorted(values | (part.keys() & {"part", "resource"}))
    if len(given) != 1:
        raise Invalid("give the value as one of `value[x]`, `part` or `resource`.")
    if given == ["part"]:
        return _built(definitions, part["part"], fields)
    if given == ["resource"]:
        return _resource(definitions, part["resource"], fields)
    known = definitions.children("Parameters.parameter").get(given[0])
    code = known.type.code if known else ""
    fitting = [f for f in fields if f.type.code == code or (code, f.type.code) in GIVEN_AS]
    if not code or not fitting:
        _refuse(definitions, f"`{given[0][:50]}`", fields)
    return fitting[0], Pair(deep_copy(part.get(given[0])), deep_copy(part.get("_" + given[0])))


def _refuse(definitions: Definitions, given: str, fields: list[Field]) -> NoReturn:
    """Say which value the place takes."""
    values = definitions.children("Parameters.parameter").values()
    names = {value.type.code: value.name for value in values if value.element.is_choice}
    wanted = [f"`{names[field.type.code]}`" for field in fields if field.type.code in names]
    one = "one of " if len(wanted) > 1 else ""
    takes = one + ", ".join(wanted) if wanted else "`part`s named after its elements"
    raise Unprocessable(f"`{fields[0].element.path}` takes {takes}, not {given}.")


def _resource(definitions: Definitions, resource: Any, fields: list[Field]) -> tuple[Field, Pair]:
    if fields[0].node not in definitions.any_resource or not isinstance(resource, dict):
        _refuse(definitions, "a resource", fields)
    return fields[0], Pair(deep_copy(resource))


def _built(definitions: Definitions, parts: Any, fields: list[Field]) -> tuple[Field, Pair]:
    """An element put together from parts that are named as its own elements."""
    field = fields[0]
    no_parts = definitions.primitive_types | definitions.any_resource
    if len(fields) > 1 or field.node in no_parts:
        _refuse(definitions, "parts", fields)
    if not isinstance(parts, list) or not parts:
        raise Invalid("`part` must be a list that is not empty.")
    element: dict[str, Any] = {}
    for part in parts:
        name = part.get("name") if isinstance(part, dict) else None
        if not isinstance(name, str):
            raise Invalid("each part needs a `name`.")
        among = fields_named(definitions, field.node, name)
        if not among:
            raise Unprocessable(f"`{name[:50]}` is no element of `{field.element.path}`.")
        chosen, pair = read(definitions, part, among)
        before = pairs(element, chosen.name)
        if before and not chosen.element.many:
            raise Unprocessable(f"`{chosen.element.path}` is given twice, and R4 allows one.")
        put(element, chosen, [*before, pair])
    return field, Pair(element)


# --- a property of an element as pairs, whether it repeats or not ---------------------------------


def pairs(container: dict[str, Any], name: str) -> list[Pair]:
    """What stands under a JSON name and its `_name`, side by side."""
    value, beside = container.get(name), container.get("_" + name)
    if value is None and beside is None:
        return []
    if not isinstance(value, list) and not isinstance(beside, list):
        return [Pair(value, beside)]
    values = value if isinstance(value, list) else []
    besides = beside if isinstance(beside, list) else []
    return [
        Pair(
            values[i] if i < len(values) else None,
            besides[i] if i < len(besides) else None,
        )
        for i in range(max(len(values), len(besides)))
    ]


def put(container: dict[str, Any], field: Field, content: list[Pair]) -> None:
    """Write the pairs back: no empty lists, and no list of nothing but nulls."""
    for name, column in (
        (field.name, [pair.value for pair in content]),
        ("_" + field.name, [pair.beside for pair in content]),
    ):
        if any(one is not None for one in column):
            container[name] = column if field.element.many else column[0]
        else:
            container.pop(name, None)
