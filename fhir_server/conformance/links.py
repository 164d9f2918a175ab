"""links — where resources name other resources: in references, uris and narrative.

https://hl7.org/fhir/R4/http.html#trules
https://hl7.org/fhir/R4/references.html

R4 http#trules: "Servers SHALL replace all matching links in the bundle, whether they are found in
the resource ids, resource references, elements of type uri, url, oid, uuid, and <a href="" &
<img src="" in the narrative. Elements of type canonical are not replaced."
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from fhir_server.conformance.definitions import Definitions
from fhir_server.foundation.resource import Resource

REPLACED = {"uri", "url", "oid", "uuid"}
# R4 http#trules, Conditional References:  [type]?parameters...
CONDITIONAL = re.compile(r"(?P<type>[A-Z][A-Za-z]+)\?(?P<query>.+)")
LINK = re.compile(r"""(\b(?:href|src)\s*=\s*)("|')(.*?)\2""")

NewName = Callable[[str], str | None]


class Links:
    """Where links may stand, by the names of elements: most strings need no look at all.

    sure: every element of this name that is a primitive is a link. perhaps: some are, so the path
    decides.
    """

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        linking: set[str] = {"reference", "div"}
        other: set[str] = set()
        for type in definitions.all_types:
            for element in definitions.type(type).elements[1:]:
                for choice in element.types:
                    suffix = choice.code[0].upper() + choice.code[1:] if element.is_choice else ""
                    if choice.code in definitions.primitive_types:
                        place = linking if choice.code in REPLACED else other
                        place.add(element.name + suffix)
        other.discard("reference")  # only Reference.reference is a string
        self.sure = frozenset(linking - other)
        self.perhaps = frozenset(linking & other)
        self.names = self.sure | self.perhaps

    def renamed(self, resource: Resource, new_name: NewName) -> Resource:
        """The resource with every link replaced; the same object where nothing matched.

        new_name is asked of every string that may be a link, and answers None for what is not to
        be replaced.
        """
        changed: Resource = self._value(resource, new_name, (resource["resourceType"],))
        return changed

    def _value(self, value: Any, new_name: NewName, path: tuple[str, ...]) -> Any:
        """Copies only what changes."""
        if value.__class__ is list:
            return self._items(value, new_name, path)
        if "resourceType" in value:  # the resource itself, contained, or in a Bundle
            type = value["resourceType"]
            if type.__class__ is str and type in self.definitions.resource_types:
                path = (type,)
        changes: dict[str, Any] | None = None
        names = self.names
        for name, item in value.items():
            kind = item.__class__
            if kind is str:
                if name not in names:
                    continue
                new = self._text(item, new_name, path, name)
            elif kind is dict or kind is list:
                new = self._value(item, new_name, (*path, name))
            else:
                continue
            if new is not item:
                changes = changes or {}
                changes[name] = new
        return {**value, **changes} if changes else value

    def _items(self, value: list[Any], new_name: NewName, path: tuple[str, ...]) -> list[Any]:
        changed: list[Any] | None = None
        for index, item in enumerate(value):
            if item.__class__ is dict:
                new = self._value(item, new_name, path)
            elif item.__class__ is str and path[-1] in self.names:
                new = self._text(item, new_name, path[:-1], path[-1])
            else:
                continue
            if new is not item:
                changed = changed or list(value)
                changed[index] = new
        return changed or value

    def _text(self, text: str, new_name: NewName, path: tuple[str, ...], name: str) -> str:
        if name == "div":
            return _narrative(text, new_name)
        new = new_name(text)
        if new is None or not (name in self.sure or self._is_link(path, name)):
            return text
        return new

    def _is_link(self, path: tuple[str, ...], name: str) -> bool:
        """Whether the element at the path's end is a uri that is no canonical."""
        node = path[0]
        for step in path[1:]:
            field = self.definitions.children(node).get(step)
            if field is None:
                return False
            node = field.node
        field = self.definitions.children(node).get(name)
        return field is not None and field.type.code in REPLACED


def _narrative(text: str, new_name: NewName) -> str:
    if "href" not in text and "src" not in text:
        return text

    def link(found: re.Match[str]) -> str:
        new = new_name(found[3])
        return found[0] if new is None else f"{found[1]}{found[2]}{new}{found[2]}"

    changed = LINK.sub(link, text)
    return text if changed == text else changed
