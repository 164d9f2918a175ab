"""systems — the code systems that are known, in all their versions.

https://hl7.org/fhir/R4/codesystem.html
https://hl7.org/fhir/R4/terminologies.html#system
"""

from __future__ import annotations

import datetime as dt
from collections import ChainMap
from collections.abc import MutableMapping, Sequence
from typing import Protocol

from fhir_server.conformance.canonicals import Canonical, Canonicals
from fhir_server.foundation.resource import Resource
from fhir_server.terminology.code_system import ListedSystem
from fhir_server.terminology.concept import Concept
from fhir_server.terminology.syntax import SYNTAXES
from fhir_server.terminology.system import System, in_force

Entries = tuple[Canonical, ...]
LISTED = frozenset(["complete", "fragment", "example"])  # contents that have concepts


class Files(Protocol):
    """Code systems that lie in files of their own, because they are large."""

    def versions(self, url: str, /) -> Sequence[System]:
        """All of one URL, the newest first."""
        ...

    def look(self) -> int:
        """Take up what has changed: another number whenever there are other files."""
        ...


class NoFiles:
    def versions(self, _url: str) -> Sequence[System]:
        return ()

    def look(self) -> int:
        return 0


class Systems:
    """Every code system, compiled when first asked for."""

    def __init__(
        self, canonicals: Canonicals, files: Files | None = None, before: Systems | None = None
    ) -> None:
        self.canonicals = canonicals
        self.files: Files = files or NoFiles()
        self._of: dict[str, tuple[System, ...]] = {}
        self._local: _Local | None = None
        # What was compiled from the very same entries is taken over. A key: a system's entry, and
        # those of the supplements it was compiled with.
        kept = before._compiled if before is not None else {}
        self._compiled: MutableMapping[Entries, System] = {
            entries: system
            for entries, system in kept.items()
            if entries[0] in canonicals.versions(entries[0].url)
        }

    def with_one(self, entry: Canonical) -> Systems:
        """These and one definition more, for one question: nothing made for it stays."""
        more = Systems(self.canonicals.above([entry]), self.files)
        more._compiled = ChainMap({}, self._compiled)
        return more

    def forget(self) -> None:
        """The files have changed."""
        self._of.clear()

    def versions(self, url: str) -> tuple[System, ...]:
        """All versions of a system that tell their concepts, the one to prefer first."""
        found = self._of.get(url)
        if found is None:
            found = (*self._listed(url), *self.files.versions(url), *_syntax(url))
            if found:  # what is asked for and unknown is not worth keeping
                self._of[url] = found
        return found

    def version(self, url: str, version: str | None, at: dt.date) -> System | None:
        """One version: that of the name, or the one in force on a day.

        A version may also name an edition of SNOMED CT, of which the newest release is meant.
        """
        found = self.versions(url)
        if version is None:
            return next((each for each in found if in_force(each, at)), None)
        exact = [each for each in found if each.version == version]
        within = [each for each in found if (each.version or "").startswith((f"{version}/",))]
        newest = [each for each in found if (each.version or "").startswith(f"{version}.")]
        return next(iter(exact or within or newest), None)

    def find(self, url: str, code: str, version: str | None, at: dt.date) -> Concept | None:
        """A concept by the version named, or in force; else by any version that has it."""
        system = self.version(url, version, at)
        found = system.find(code) if system is not None else None
        if found is None and version is None:
            every = (each.find(code) for each in self.versions(url))
            found = next((each for each in every if each is not None), None)
        return found

    def all_codes_of(self, value_set: str) -> str | None:
        """The system whose CodeSystem.valueSet this is, among what is not R4's own."""
        return self._locally().value_sets.get(value_set)

    def _listed(self, url: str) -> list[System]:
        return [
            self._compile(entry)
            for entry in self.canonicals.versions(url)
            if entry.type == "CodeSystem" and entry.load().get("content", "complete") in LISTED
        ]

    def _compile(self, entry: Canonical) -> System:
        supplements = self._locally().supplements.get(entry.url, ())
        more = [each for each in supplements if _of_version(each.load(), entry)]
        key = (entry, *more)
        found = self._compiled.get(key)
        if found is None:
            found = ListedSystem(entry.load(), [each.load() for each in more])
            self._compiled[key] = found
        return found

    def _locally(self) -> _Local:
        if self._local is None:
            self._local = _Local(self.canonicals)
        return self._local


class _Local:
    """What can only be known by a look at every CodeSystem: R4's own, a thousand, are left out.

    (Its one supplement is an example, and its value sets are ValueSets.)
    """

    def __init__(self, canonicals: Canonicals) -> None:
        self.supplements: dict[str, list[Canonical]] = {}
        self.value_sets: dict[str, str] = {}
        for entry in canonicals.of_type("CodeSystem"):
            if entry.source == "R4":
                continue
            resource = entry.load()
            if resource.get("content") == "supplement":
                base = str(resource.get("supplements")).partition("|")[0]
                self.supplements.setdefault(base, []).append(entry)
            elif isinstance(resource.get("valueSet"), str):
                self.value_sets[resource["valueSet"]] = entry.url


def _of_version(supplement: Resource, entry: Canonical) -> bool:
    version = str(supplement.get("supplements")).partition("|")[2]
    return not version or version == entry.version


def _syntax(url: str) -> tuple[System, ...]:
    make = SYNTAXES.get(url)
    made = make() if make is not None else None
    return (made,) if made is not None else ()
