"""references — what the entries of a transaction call each other, and what they will be called.

https://hl7.org/fhir/R4/http.html#trules
https://hl7.org/fhir/R4/bundle.html#references

R4 http#trules: "Servers SHALL replace all matching links in the bundle, whether they are found in
the resource ids, resource references, elements of type uri, url, oid, uuid, and <a href="" &
<img src="" in the narrative. Elements of type canonical are not replaced."
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from fhir_server.conformance.definitions import Definitions
from fhir_server.foundation.resource import Key, Resource, literal

REPLACED = {"uri", "url", "oid", "uuid"}
# R4 http#trules, Conditional References:  [type]?parameters...
CONDITIONAL = re.compile(r"(?P<type>[A-Z][A-Za-z]+)\?(?P<query>.+)")
LINK = re.compile(r"""(\b(?:href|src)\s*=\s*)("|')(.*?)\2""")
VERSION = "/_history/"

NewName = Callable[[str], str | None]


class Names:
    """Old names of the Bundle's resources -> their keys on this server."""

    def __init__(self) -> None:
        self._keys: dict[str, Key] = {}

    def learn(self, full_url: str | None, resource: Resource | None, key: Key) -> None:
        """An entry's fullUrl and, where it has none, its `Type/id`."""
        if full_url:
            self._keys[full_url] = key
        elif resource and resource.get("id"):
            self._keys[f"{key.type}/{resource['id']}"] = key

    def seen_from(self, full_url: str | None, version_of: Callable[[Key], str]) -> NewName:
        """How names are read in one entry: its fullUrl is the base of its relative references.

        version_of: the id a resource's new version will have, for version-specific references.
        """
        place = literal(full_url) if full_url else None
        base = place.base if place else ""
        keys = self._keys

        def new_name(text: str) -> str | None:
            key = keys.get(text) or (keys.get(base + text) if base else None)
            if key is not None:
                return str(key)
            if VERSION in text:
                plain = text.partition(VERSION)[0]
                key = keys.get(plain) or (keys.get(base + plain) if base else None)
                if key is not None:
                    return f"{key}{VERSION}{version_of(key)}"
            return None

        return new_name

    def __bool__(self) -> bool:
        return bool(self._keys)


def conditional(resource: Any) -> Iterator[str]:
    """Every conditional reference in a resource."""
    if resource.__class__ is dict:
        reference = resource.get("reference")
        if reference.__class__ is str and "?" in reference and CONDITIONAL.fullmatch(reference):
            yield reference
        for value in resource.values():
            if value.__class__ is dict or value.__class__ is list:
                yield from conditional(value)
    elif resource.__class__ is list:
        for value in resource:
            yield from conditional(value)


def renamed(definitions: Definitions, resource: Resource, new_name: NewName) -> Resource:
    """The resource with every matching link replaced; the same object where nothing matched."""
    changed: Resource = _Walk(definitions, new_name).value(resource, ())
    return changed


class _Walk:
    """Copies only what changes. The path leads to the element's type when a name matches."""

    def __init__(self, definitions: Definitions, new_name: NewName) -> None:
        self.definitions = definitions
        self.new_name = new_name

    def value(self, value: Any, path: tuple[str, ...]) -> Any:
        if value.__class__ is list:
            items = [self._item(item, path) for item in value]
            same = all(new is old for new, old in zip(items, value, strict=True))
            return value if same else items
        if "resourceType" in value:  # the resource itself, contained, or in an entry
            path = (value["resourceType"],)
        changes: dict[str, Any] = {}
        for name, item in value.items():
            if item.__class__ is str:
                new = self._text(item, (*path, name)) if len(item) > 8 or "/" in item else item
            elif item.__class__ is dict or item.__class__ is list:
                new = self.value(item, (*path, name))
            else:
                continue
            if new is not item:
                changes[name] = new
        return {**value, **changes} if changes else value

    def _item(self, item: Any, path: tuple[str, ...]) -> Any:
        if item.__class__ is str:
            return self._text(item, path)
        if item.__class__ is dict or item.__class__ is list:
            return self.value(item, path)
        return item

    def _text(self, text: str, path: tuple[str, ...]) -> str:
        if path[-1] == "div":
            return self._narrative(text)
        new = self.new_name(text)
        if new is None:
            return text
        return new if self._is_link(path) else text

    def _narrative(self, text: str) -> str:
        if "href" not in text and "src" not in text:
            return text
        changed = LINK.sub(self._link, text)
        return text if changed == text else changed

    def _link(self, found: re.Match[str]) -> str:
        new = self.new_name(found[3])
        return found[0] if new is None else f"{found[1]}{found[2]}{new}{found[2]}"

    def _is_link(self, path: tuple[str, ...]) -> bool:
        """Whether the element is a Reference.reference or a uri that is no canonical."""
        node = path[0]
        for name in path[1:-1]:
            field = self.definitions.children(node).get(name)
            if field is None:
                return False
            node = field.node
        field = self.definitions.children(node).get(path[-1])
        if field is None:
            return False
        return field.type.code in REPLACED or (node == "Reference" and path[-1] == "reference")
