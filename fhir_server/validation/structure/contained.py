"""contained — resources within a resource, and the `#` references that tie them to it.

https://hl7.org/fhir/R4/references.html#contained
"""

from __future__ import annotations

from typing import Any

from fhir_server.foundation.resource import Resource
from fhir_server.validation.messages import tellable
from fhir_server.validation.structure.report import Report


class Scope:
    """One resource that may contain others: what they are called and who names them."""

    def __init__(self, root: Resource) -> None:
        type = root.get("resourceType")
        self.type = type if isinstance(type, str) else None
        listed = root.get("contained")
        self.contained: list[Any] = listed if isinstance(listed, list) else []
        self.types: dict[str, str | None] = {
            entry["id"]: named if isinstance(named := entry.get("resourceType"), str) else None
            for entry in self.contained
            if isinstance(entry, dict) and isinstance(entry.get("id"), str)
        }
        self.named: set[str] = set()  # the ids that a `#id` somewhere names
        self.tied: set[int] = set()  # the places in `contained` that name the container, by `#`
        self.within: int | None = None  # the place in `contained` being walked

    def note(self, text: str) -> None:
        """Take note of a reference, canonical or uri that begins with `#`."""
        if text == "#":
            if self.within is not None:
                self.tied.add(self.within)
        else:
            self.named.add(text[1:])

    def check_entry(self, report: Report, entry: Resource, path: str) -> None:
        """What R4 asks of a contained resource beyond what it asks of any."""
        if "contained" in entry:
            report.add("dom-2", f"{path}.contained")
        if "id" not in entry:
            report.add("contained-id.missing", path)
        meta = entry.get("meta")
        if not isinstance(meta, dict):
            return
        for name, rule in (("versionId", "dom-4"), ("lastUpdated", "dom-4"), ("security", "dom-5")):
            if name in meta:
                report.add(rule, f"{path}.meta.{name}", name=name)

    def check_ties(self, report: Report, path: str) -> None:
        """R4 dom-3: each is named from elsewhere, or names the container; and ids are unique."""
        seen: set[str] = set()
        for index, entry in enumerate(self.contained):
            id = entry.get("id") if isinstance(entry, dict) else None
            if not isinstance(id, str):
                continue
            if id in seen:
                report.add("contained-id.twice", f"{path}.contained[{index}].id", found=id)
            seen.add(id)
            if id not in self.named and index not in self.tied:
                report.add("dom-3", f"{path}.contained[{index}]", id=tellable(id))
