"""marked — resources of every type in which every element holds a mark that is found again."""

from __future__ import annotations

import base64
import re
from typing import Any

from fhir_server.conformance.definitions import Definitions, Field
from fhir_server.foundation.resource import Resource

MARK = "canary7f3a9"
DATE, TIME, NUMBER = "1907-03-11", "03:07:11.907", 73190411
PACKED = base64.b64encode(MARK.encode() * 3).decode()
MARKS = (MARK, DATE, TIME, str(NUMBER), PACKED)
DEPTH = 4

PRIMITIVES: dict[str, Any] = {
    "string": MARK,
    "markdown": MARK,
    "code": MARK,
    "id": MARK,
    "uri": f"http://{MARK}.example/{MARK}",
    "url": f"http://{MARK}.example/{MARK}",
    "canonical": f"http://{MARK}.example/{MARK}",
    "oid": f"urn:oid:1.2.{NUMBER}",
    "uuid": "urn:uuid:73190411-1b2a-4c3d-8e4f-5a6b7c8d9e0f",
    "base64Binary": PACKED,
    "boolean": True,
    "integer": NUMBER,
    "positiveInt": NUMBER,
    "unsignedInt": NUMBER,
    "decimal": NUMBER,
    "date": DATE,
    "dateTime": f"{DATE}T{TIME}+07:00",
    "instant": f"{DATE}T{TIME}+07:00",
    "time": TIME,
    "xhtml": f'<div xmlns="http://www.w3.org/1999/xhtml">{MARK}</div>',
}
LEFT_OUT = {"contained", "modifierExtension", "implicitRules"}


def marked(known: Definitions, type: str, turn: int) -> Resource:
    """A resource of this type; `turn` says which of its types each choice takes."""
    filled = _filled(known, type, turn, DEPTH)
    return {"resourceType": type, **filled, "id": MARK}


def without(resource: Resource, expression: str | None) -> bool:
    """Take out the element a refusal names, as a whole; False where there is none to take."""
    names = re.findall(r"[A-Za-z]+", expression or "")[1:2]
    found = [
        name for each in names for name in resource if name == each or _is_choice_of(name, each)
    ]
    for name in found:
        if name not in ("resourceType", "id"):
            del resource[name]
    return bool(found)


def _is_choice_of(name: str, element: str) -> bool:
    return name.startswith(element) and name[len(element) :][:1].isupper()


def _filled(known: Definitions, node: str, turn: int, depth: int) -> dict[str, Any]:
    choices: dict[str, list[Field]] = {}
    for field in known.children(node).values():
        choices.setdefault(field.element.path, []).append(field)
    found: dict[str, Any] = {}
    for fields in choices.values():
        field = fields[turn % len(fields)]
        if field.name in LEFT_OUT or (field.name == "extension" and depth < DEPTH):
            continue
        value = _value(known, field, turn, depth)
        if value is not None:
            found[field.name] = [value] if field.element.many else value
    return found


def _value(known: Definitions, field: Field, turn: int, depth: int) -> Any:
    code = field.type.code
    binding = field.element.binding
    if code == "code" and binding is not None and binding.strength == "required":
        codes = known.codes(binding.value_set.partition("|")[0]) or {}
        return min((min(each) for each in codes.values() if each), default=MARK)
    if code in PRIMITIVES:
        return PRIMITIVES[code]
    if code in known.primitive_types:
        return MARK
    if code == "Reference":
        target = field.type.targets[0].rpartition("/")[2] if field.type.targets else "Patient"
        target = "Patient" if target == "Resource" else target
        return {"reference": f"{target}/{MARK}", "display": MARK}
    if code == "Extension":
        return {"url": PRIMITIVES["uri"], "valueString": MARK}
    if code == "Resource":
        return {"resourceType": "Basic", "code": {"text": MARK}}
    if depth == 0:
        return None
    return _filled(known, field.node, turn, depth - 1) or None
