"""within — which entry of a Bundle a reference within it means.

https://hl7.org/fhir/R4/bundle.html#references
"""

from __future__ import annotations

import re
from typing import NamedTuple

from fhir_server.foundation.resource import ID, Resource

# R4 references#literal: the regex of a RESTful URL, here with http(s) and a base in any case
RESTFUL = re.compile(
    rf"(?P<root>https?://[^\s?#]*/)(?P<type>[A-Z][A-Za-z]+)/(?P<id>{ID.pattern})"
    rf"(?:/_history/{ID.pattern})?"
)
RELATIVE = re.compile(rf"[A-Z][A-Za-z]+/{ID.pattern}")
VERSION = "/_history/"


class Found(NamedTuple):
    """An entry: its place among the entries and its resource."""

    place: int
    full_url: str | None
    resource: Resource


class Within:
    """The resources of a Bundle by what they can be called."""

    def __init__(self, bundle: Resource) -> None:
        self._named: dict[str, list[Found]] = {}
        entries = bundle.get("entry")
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            resource = entry.get("resource") if isinstance(entry, dict) else None
            if not isinstance(resource, dict):
                continue
            full_url = entry.get("fullUrl")
            if isinstance(full_url, str):
                found = Found(index, full_url, resource)
                self._named.setdefault(full_url, []).append(found)
            elif isinstance(resource.get("id"), str):
                # Not R4's, but entries without a fullUrl have no other name.
                name = f"{resource.get('resourceType')}/{resource['id']}"
                self._named.setdefault(name, []).append(Found(index, None, resource))

    def resolve(self, reference: str, from_full_url: str | None) -> Resource | None:
        """The resource a reference means, seen from the entry with the given fullUrl."""
        found = self.find(reference, from_full_url)
        return found.resource if found else None

    def find(self, reference: str, from_full_url: str | None) -> Found | None:
        """As resolve(), with the entry's place. A fragment of `#contained` is not looked at."""
        text = reference.partition("#")[0]
        if not text:
            return None
        name, _, version = text.partition(VERSION)
        named = self._named.get(name)
        if named is None and from_full_url and RELATIVE.fullmatch(name):
            # R4: a relative reference has the [root] of its own entry's fullUrl, if that is RESTful
            own = RESTFUL.fullmatch(from_full_url)
            named = self._named.get(own["root"] + name) if own else None
        if not named:
            return None
        if not version:
            return named[0]
        return next((f for f in named if _version(f.resource) == version), None)


def _version(resource: Resource) -> object:
    meta = resource.get("meta")
    return meta.get("versionId") if isinstance(meta, dict) else None
