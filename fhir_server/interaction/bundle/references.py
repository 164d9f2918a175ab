"""references — what the entries of a transaction call each other, and what they will be called.

https://hl7.org/fhir/R4/http.html#trules
https://hl7.org/fhir/R4/bundle.html#references
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from fhir_server.conformance.links import CONDITIONAL, NewName
from fhir_server.foundation.resource import Key, Resource, literal

VERSION = "/_history/"


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

    def seen_from(self, full_url: str | None) -> Reading:
        """How names are read in one entry: its fullUrl is the base of its relative references."""
        place = literal(full_url) if full_url else None
        return Reading(self._keys, place.base if place else "")


class Reading:
    """The links of one resource, read twice: first names, then what depends on other entries.

    later: conditional and version-specific references met in the first reading. A second one is
    needed only where there are any.
    """

    __slots__ = ("_base", "_keys", "later")

    def __init__(self, keys: dict[str, Key], base: str) -> None:
        self._keys, self._base = keys, base
        self.later: list[str] = []

    def first(self, text: str) -> str | None:
        """The new name of what the Bundle names without a version."""
        key = self._keys.get(text)
        if key is None and self._base:
            key = self._keys.get(self._base + text)
        if key is not None:
            return str(key)
        if "?" in text or VERSION in text:
            self.later.append(text)
        return None

    def conditional(self) -> Iterator[str]:
        return (text for text in self.later if CONDITIONAL.fullmatch(text))

    def second(self, linked: Mapping[str, str], version_of: Callable[[Key], str]) -> NewName:
        """linked: what conditional references mean. version_of: the id of a version to come."""

        def new_name(text: str) -> str | None:
            if VERSION not in text:
                return linked.get(text)
            plain = text.partition(VERSION)[0]
            key = self._keys.get(plain) or self._keys.get(self._base + plain)
            return f"{key}{VERSION}{version_of(key)}" if key else None

        return new_name
