"""large — code systems in files of their own, and the folder the files lie in.

https://hl7.org/fhir/R4/terminologies-systems.html

SNOMED CT, LOINC and ICD-10 may not be shipped. `fhir-server terminology load` makes a file of each
from its release; a running server takes up what is new in the folder within a second.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from fhir_server.store.concepts import SUFFIX, About, ConceptFile, Damaged
from fhir_server.terminology.concept import Concept
from fhir_server.terminology.moment import first_day
from fhir_server.terminology.system import Filter, System

LOOK = 1.0  # seconds between two looks at the folder
KEPT = 4_096  # concepts of one system that are kept at hand
STANDARD = frozenset(["parent", "child"])

log = logging.getLogger(__name__)


class Concepts(Protocol):
    """What a file of concepts answers (fhir_server/store/concepts)."""

    about: About
    count: int

    def find(self, code: str) -> dict[str, Any] | None: ...
    def codes(self) -> Iterator[str]: ...
    def parents(self, code: str) -> list[str]: ...
    def children(self, code: str) -> list[str]: ...
    def below(self, code: str) -> Iterator[str]: ...
    def subsumes(self, above: str, code: str) -> bool: ...
    def having(self, name: str, value: str) -> Iterator[str]: ...
    def matching(self, words: Sequence[str]) -> Iterator[str]: ...


class LargeSystem:
    """A code system whose concepts are read when they are asked for."""

    def __init__(self, concepts: Concepts) -> None:
        about = concepts.about
        self.url, self.version, self.name = about.url, about.version, about.name
        self.since, self.until, self.is_a = about.since, about.until, about.is_a
        self._about = about
        self._concepts = concepts
        self._pattern = re.compile(about.pattern) if about.pattern else None
        self.find = lru_cache(maxsize=KEPT)(self._find)

    def _find(self, code: str) -> Concept | None:
        found = self._concepts.find(code)
        if found is None:
            return None
        display, language = found["display"], self._about.language
        own = ((language, None, display),) if language and display else ()
        return Concept(
            system=self.url,
            version=self.version,
            code=code,
            display=display,
            definition=found["definition"],
            designations=(*own, *found["names"]),
            properties=found["properties"],
            abstract=found["abstract"],
            inactive=found["inactive"],
            since=first_day(found["since"]),
            until=first_day(found["until"]),
        )

    def lacks(self, code: str) -> bool:
        return self._about.complete and (
            self._pattern is None or self._pattern.fullmatch(code) is not None
        )

    def codes(self) -> Iterator[str]:
        return self._concepts.codes()

    def matching(self, words: Sequence[str]) -> Iterator[str]:
        return self._concepts.matching(words)

    def parents(self, code: str) -> Sequence[str]:
        return self._concepts.parents(code)

    def children(self, code: str) -> Sequence[str]:
        return self._concepts.children(code)

    def below(self, code: str) -> Iterator[str]:
        return self._concepts.below(code)

    def subsumes(self, above: str, code: str) -> bool:
        return self._concepts.subsumes(above, code)

    def having(self, filter: Filter) -> Iterator[str] | None:
        if filter.property == "parent" and filter.op == "=":
            return iter(self.children(filter.value))
        if filter.op == "=" and filter.property in self._about.properties:
            return self._concepts.having(filter.property, filter.value)
        return None

    def knows(self, property: str) -> bool:
        return property in STANDARD or property in self._about.properties

    def kind(self, property: str) -> str | None:
        return self._about.properties.get(property)

    def admits(self, _code: str, _filter: Filter) -> bool | None:
        return None


class Folder:
    """The files of a folder, found again when it changes. One for all threads of a process."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self.generation = 0
        self._clock = clock
        self._next_look = float("-inf")
        self._looking = threading.Lock()
        self._seen: object = None
        self._open: dict[tuple[str, int, int], ConceptFile] = {}
        self._retired: list[ConceptFile] = []  # may still be read by a question under way
        self._of: dict[str, tuple[System, ...]] = {}
        self.look()

    def versions(self, url: str) -> Sequence[System]:
        return self._of.get(url, ())

    def look(self) -> int:
        """Whether there are other files now, at most each second; the generation of what is."""
        now = self._clock()
        if now >= self._next_look and self._looking.acquire(blocking=False):
            try:
                self._next_look = now + LOOK
                self._take_up()
            finally:
                self._looking.release()
        return self.generation

    def _take_up(self) -> None:
        try:
            stamp = self.path.stat()
        except OSError:
            seen, files = None, []
        else:
            seen = (stamp.st_mtime_ns, stamp.st_ino)
            if seen == self._seen:
                return
            files = sorted(self.path.glob(f"*{SUFFIX}"))
        if seen == self._seen:
            return
        self._seen = seen
        self._replace({key: file for file in files if (key := _key(file)) is not None})

    def _replace(self, files: dict[tuple[str, int, int], Path]) -> None:
        opened: dict[tuple[str, int, int], ConceptFile] = {}
        for key, file in files.items():
            try:
                opened[key] = self._open.get(key) or ConceptFile(file)
            except Damaged as damaged:
                log.warning("%s", damaged)
        for retired in self._retired:
            retired.close()
        self._retired = [each for key, each in self._open.items() if key not in opened]
        if opened.keys() != self._open.keys():
            of: dict[str, list[ConceptFile]] = {}
            for each in opened.values():
                of.setdefault(each.about.url, []).append(each)
            self._open = opened
            self._of = {url: _newest_first(found) for url, found in of.items()}
            self.generation += 1

    def close(self) -> None:
        for each in (*self._open.values(), *self._retired):
            each.close()


def _key(file: Path) -> tuple[str, int, int] | None:
    try:
        stamp = file.stat()
    except OSError:
        return None
    return file.name, stamp.st_mtime_ns, stamp.st_ino


def _newest_first(files: list[ConceptFile]) -> tuple[System, ...]:
    ordered = sorted(files, key=lambda each: _order(each.about.version), reverse=True)
    return tuple(LargeSystem(each) for each in ordered)


def _order(version: str | None) -> list[tuple[int, str]]:
    """2.78 is newer than 2.9; 20260101 than 20250101."""
    return [(len(part), part) for part in re.findall(r"[0-9]+|[^0-9]+", version or "")]
