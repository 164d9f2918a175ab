"""read — from XML to a resource, refusing whatever R4 does not say.

https://hl7.org/fhir/R4/xml.html

Nothing is declared and nothing is fetched: a DOCTYPE is refused, so there are no entities but
XML's own five.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn
from xml.parsers import expat

from fhir_server.conformance.definitions import XML_ATTRIBUTE, Definitions, Field
from fhir_server.conformance.xml.narrative import XHTML, XHTML_DIV, Division
from fhir_server.conformance.xml.write import FHIR
from fhir_server.foundation import wire
from fhir_server.foundation.outcome import Invalid
from fhir_server.foundation.resource import Resource

BOM = b"\xef\xbb\xbf"
# A schema's location may stand on the outermost element; this server needs no schema.
SCHEMA = "http://www.w3.org/2001/XMLSchema-instance"
IGNORED = (f"{SCHEMA} schemaLocation", f"{SCHEMA} noNamespaceSchemaLocation")
XML_SPACE = " \t\r\n"
INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
BOOLEANS = {"true": True, "false": False}


def from_xml(definitions: Definitions, body: bytes, *, max_depth: int = 100) -> Resource:
    """The resource an XML body holds. Raises Invalid, naming the element and the line."""
    body = bytes(body)
    reader = _Reader(definitions, body[len(BOM) :] if body.startswith(BOM) else body, max_depth)
    return reader.read()


def _is_utf8(body: bytes) -> bool:
    try:
        return "\0" not in body.decode()  # expat would take NULs for UTF-16
    except UnicodeDecodeError:
        return False


def _integer(text: str) -> int:
    if not INTEGER.fullmatch(text):
        raise Invalid(f"`{text[:50]}` is not an integer")
    return int(text)


def _boolean(text: str) -> bool:
    if text not in BOOLEANS:
        raise Invalid(f"`{text[:50]}` is neither `true` nor `false`")
    return BOOLEANS[text]


# The primitives that are no text in JSON.
CONVERT: dict[str, Callable[[str], Any]] = {
    "boolean": _boolean,
    "integer": _integer,
    "unsignedInt": _integer,
    "positiveInt": _integer,
    "decimal": wire.decimal,
}


@dataclass(slots=True)
class _Frame:
    """An element that has begun. `children`: what has ended in it, as (value, beside) pairs."""

    path: str
    field: Field | None  # None: a resource
    fields: dict[str, Field]
    type: str  # a resource's or a primitive's
    value: Any = None  # a primitive's, or the resource that `contained` and `resource` hold
    attributes: dict[str, str] = dataclasses.field(default_factory=dict)
    children: dict[str, list[tuple[Any, Any]]] = dataclasses.field(default_factory=dict)


class _Reader:
    """The elements that have begun and not yet ended, from the outermost."""

    def __init__(self, definitions: Definitions, body: bytes, max_depth: int) -> None:
        self.definitions = definitions
        self.body = body
        self.max_depth = max_depth
        self.frames: list[_Frame] = []
        self.division: Division | None = None
        self.result: Resource = {}
        self.parser = parser = expat.ParserCreate("utf-8", " ")
        parser.buffer_text = True
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.characters
        parser.StartDoctypeDeclHandler = self.doctype

    def read(self) -> Resource:
        if not self.body.strip():
            raise Invalid("The body is empty. Send a resource as XML.")
        if not _is_utf8(self.body):
            raise Invalid("The body is not UTF-8. Send XML in UTF-8.")
        try:
            self.parser.Parse(self.body, True)  # noqa: FBT003 - expat has no name for it
        except expat.ExpatError as error:
            reason = expat.errors.messages.get(error.code, "it cannot be read")
            raise Invalid(
                f"The body is not well-formed XML: {reason}, "
                f"at line {error.lineno}, column {error.offset + 1}."
            ) from None
        return self.result

    def refuse(self, why: str, path: str = "") -> NoReturn:
        path = path or (self.frames[-1].path if self.frames else "")
        place = f"`{path}`, " if path else ""
        line = self.parser.CurrentLineNumber
        raise Invalid(f"{why} ({place}line {line}).", expression=path or None)

    def doctype(self, *_: Any) -> None:
        self.refuse("A DOCTYPE has no place in FHIR, and nothing in it is read: remove it")

    def characters(self, text: str) -> None:
        if self.division is not None:
            self.division.characters(text)
        elif text.strip(XML_SPACE):
            self.refuse(f"The text `{text.strip()[:50]}` stands between elements; use `value`")

    # --- an element begins ---------------------------------------------------------------------

    def start(self, name: str, attributes: dict[str, str]) -> None:
        depth = len(self.frames) + (self.division.depth if self.division else 0)
        if depth >= self.max_depth:
            self.refuse(f"The body is nested deeper than {self.max_depth} levels")
        if self.division is not None:
            self.division.start(name, attributes)
        elif name == XHTML_DIV and self.frames and "div" in self.frames[-1].fields:
            if self.frames[-1].children.setdefault("div", []):
                self.refuse("`div` is given twice")
            self.division = Division(self.parser.CurrentByteIndex)
            self.division.start(name, attributes)
        else:
            frame = self.begun(name)
            self.frames.append(frame)
            for key, text in attributes.items():
                if len(self.frames) > 1 or key not in IGNORED:
                    self.attribute(frame, key, text)

    def begun(self, name: str) -> _Frame:
        uri, _, local = name.rpartition(" ")
        parent = self.frames[-1] if self.frames else None
        if uri != FHIR:
            self.refuse(
                f'`{local[:50]}` is not in the namespace of FHIR: write xmlns="{FHIR}" on the '
                f'outermost element, and xmlns="{XHTML}" on `div`'
            )
        if parent is None or parent.type in self.definitions.any_resource:
            return self.resource(local, parent)
        field = parent.fields.get(local)
        if field is None or field.element.flags & XML_ATTRIBUTE or field.node == "xhtml":
            self.refuse(f"`{local[:50]}` is no element of `{parent.type}`")
        before = parent.children.setdefault(local, [])
        if before and not field.element.many:
            self.refuse(f"`{local}` is given twice, and R4 allows one")
        path = f"{parent.path}.{local}" + (f"[{len(before)}]" if field.element.many else "")
        holds_resource = field.node in self.definitions.any_resource
        fields = {} if holds_resource else self.definitions.children(field.node)
        return _Frame(path, field, fields, field.node)

    def resource(self, type: str, parent: _Frame | None) -> _Frame:
        if type not in self.definitions.resource_types:
            self.refuse(f"`{type[:50]}` is no resource type of R4")
        if parent is not None and parent.value is not None:
            self.refuse(f"A second resource, `{type}`; each has an element of its own around it")
        path = parent.path if parent else type
        return _Frame(path, None, self.definitions.children(type), type)

    def attribute(self, frame: _Frame, name: str, text: str) -> None:
        field = frame.fields.get(name)
        if field is None or not field.element.flags & XML_ATTRIBUTE:
            self.refuse(f"`{name[:50]}` is no attribute of this element")
        if not text:
            self.refuse(f"The attribute `{name}` is empty; leave it out")
        if name != "value":
            frame.attributes[name] = text
            return
        try:
            frame.value = CONVERT.get(frame.type, str)(text)
        except Invalid as refusal:
            self.refuse(str(refusal).rstrip("."))

    # --- an element ends -----------------------------------------------------------------------

    def end(self, name: str) -> None:
        if self.division is not None:
            if self.division.end(name):
                self.end_division(self.division)
            return
        frame = self.frames.pop()
        content = {**frame.attributes, **_assembled(frame)}
        if frame.field is None:
            self.end_resource({"resourceType": frame.type, **content})
            return
        single = frame.type in self.definitions.primitive_types | self.definitions.any_resource
        if not content and frame.value is None:
            self.refuse("The element is empty; leave it out", frame.path)
        pair = (frame.value, content or None) if single else (content, None)
        self.frames[-1].children[frame.field.name].append(pair)

    def end_resource(self, resource: Resource) -> None:
        if self.frames:
            self.frames[-1].value = resource
        else:
            self.result = resource

    def end_division(self, division: Division) -> None:
        text = division.text(self.body, self.parser.CurrentByteIndex)
        if text is None:
            self.refuse(f"`{division.foreign}` in `div` is not in the namespace of XHTML")
        self.frames[-1].children["div"].append((text, None))
        self.division = None


def _assembled(frame: _Frame) -> dict[str, Any]:
    """The children as JSON has them: lists, and what stands beside a primitive under `_name`."""
    content: dict[str, Any] = {}
    for name, pairs in frame.children.items():
        values, besides = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        many = frame.fields[name].element.many
        if any(value is not None for value in values):
            content[name] = values if many else values[0]
        if any(beside is not None for beside in besides):
            content["_" + name] = besides if many else besides[0]
    return content
