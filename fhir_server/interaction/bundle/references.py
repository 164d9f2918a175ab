"""references — what the entries of a transaction call each other, and what they will be called.

https://hl7.org/fhir/R4/http.html#trules
https://hl7.org/fhir/R4/bundle.html#references
"""

from __future__ import annotations

from collections.abc import Callable

from fhir_server.conformance.links import NewName
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
