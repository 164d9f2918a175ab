"""write — a resource becomes XML, its elements in R4's order.

https://hl7.org/fhir/R4/xml.html
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NoReturn

from fhir_server.conformance.definitions import XML_ATTRIBUTE, Definitions, Field
from fhir_server.conformance.xml.narrative import ESCAPES, NOT_XML, division
from fhir_server.foundation.outcome import NotAcceptable
from fhir_server.foundation.resource import Resource

FHIR = "http://hl7.org/fhir"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
MAX_DEPTH = 120  # of what is written: deeper than anything that is read


def to_xml(definitions: Definitions, resource: Resource, *, pretty: bool = False) -> bytes:
    """The resource as an XML document in UTF-8."""
    writer = _Writer(definitions, pretty=pretty)
    writer.resource(resource, "", root=True)
    return "".join([DECLARATION, *writer.parts, "\n"]).encode()


class _Writer:
    """The text so far, and how deep it is."""

    def __init__(self, definitions: Definitions, *, pretty: bool) -> None:
        self.definitions = definitions
        self.pretty = pretty
        self.parts: list[str] = []
        self.depth = 0

    def write(self, text: str) -> None:
        if self.pretty:
            self.parts.append("\n" + "  " * self.depth)
        self.parts.append(text)

    def refuse(self, path: str, why: str) -> NoReturn:
        raise NotAcceptable(
            f"`{path}` {why}, so the resource cannot be written as XML. Ask for JSON.",
            expression=path,
        )

    def resource(self, resource: Any, path: str, *, root: bool = False) -> None:
        type = resource.get("resourceType") if isinstance(resource, dict) else None
        if not isinstance(type, str) or type not in self.definitions.resource_types:
            self.refuse(path or "resourceType", "names no resource type of R4")
        start = f'{type} xmlns="{FHIR}"' if root else type
        self.complex(start, type, resource, path or type, type)

    def complex(self, start: str, tag: str, value: Any, path: str, node: str) -> None:
        """An element with children: `start` is its tag with the attributes so far."""
        if not isinstance(value, dict):
            self.refuse(path, "should have elements of its own")
        if self.depth > MAX_DEPTH:
            self.refuse(path, "is nested too deep")
        fields = self.definitions.children(node)
        order = {name: place for place, name in enumerate(fields)}
        names = {name.removeprefix("_") for name in value}
        if node in self.definitions.resource_types:
            names.discard("resourceType")  # the tag says it; ExampleScenario.instance has its own
        if not names <= order.keys():
            self.refuse(f"{path}.{min(names - order.keys())}", "is no element of R4")
        children = []
        for name in sorted(names, key=order.__getitem__):
            if fields[name].element.flags & XML_ATTRIBUTE:
                start += f' {name}="{self.text(value.get(name), f"{path}.{name}")}"'
            else:
                children.append(name)
        if not children:
            self.write(f"<{start}/>")
            return
        self.write(f"<{start}>")
        self.depth += 1
        for name in children:
            self.field(fields[name], value.get(name), value.get("_" + name), f"{path}.{name}")
        self.depth -= 1
        self.write(f"</{tag}>")

    def field(self, field: Field, value: Any, beside: Any, path: str) -> None:
        """All of an element's repetitions; `beside`: what JSON keeps under `_name`."""
        if not isinstance(value, list) and not isinstance(beside, list):
            self.one(field, value, beside, path)
            return
        values = value if isinstance(value, list) else []
        besides = beside if isinstance(beside, list) else []
        for index in range(max(len(values), len(besides))):
            one = values[index] if index < len(values) else None
            other = besides[index] if index < len(besides) else None
            self.one(field, one, other, f"{path}[{index}]")

    def one(self, field: Field, value: Any, beside: Any, path: str) -> None:
        name, node = field.name, field.node
        if node == "xhtml":
            if not isinstance(value, str) or (written := division(value)) is None:
                self.refuse(path, "is not a well-formed XHTML `div`")
            self.write(written)
        elif node in self.definitions.primitive_types:
            start = name if value is None else f'{name} value="{self.text(value, path)}"'
            self.primitive(start, name, beside, path)
        elif node in self.definitions.any_resource:
            self.write(f"<{name}>")
            self.depth += 1
            self.resource(value, path)
            self.depth -= 1
            self.write(f"</{name}>")
        else:
            self.complex(name, name, value, path, node)

    def primitive(self, start: str, tag: str, beside: Any, path: str) -> None:
        if beside is None:
            self.write(f"<{start}/>")
            return
        # `value` is an attribute of a primitive's definition, but stands beside it in JSON
        if not isinstance(beside, dict) or not beside.keys() <= {"id", "extension"}:
            self.refuse(path, "has beside it what is neither `id` nor `extension`")
        self.complex(start, tag, beside, path, "Element")

    def text(self, value: Any, path: str) -> str:
        """A primitive as an attribute's value."""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | Decimal | float):
            return str(value)
        if not isinstance(value, str):
            self.refuse(path, "should be a single value")
        if NOT_XML.search(value):
            self.refuse(path, "has a character that XML does not allow")
        return value.translate(ESCAPES)
