"""reading — a FHIR package, a folder, or a file with one definition or a Bundle of them.

https://hl7.org/fhir/R4/packages.html
https://hl7.org/fhir/R4/bundle.html

A package is a .tgz in which `package/package.json` says its name, its version and what it depends
on, and `package/*.json` are its resources. Whatever is wrong is told as a Problem; what can be
used is used. Reading never raises for what it reads.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fhir_server.conformance.canonicals import CONFORMANCE_TYPES, Canonical, of_resource
from fhir_server.conformance.definitions import Definitions, load
from fhir_server.conformance.package.archive import Bounds, Broken, Member, members
from fhir_server.conformance.package.shelf import Shelf
from fhir_server.conformance.problem import Problem
from fhir_server.conformance.shape import wrong_shape
from fhir_server.conformance.xml import from_xml
from fhir_server.foundation import wire
from fhir_server.foundation.outcome import FhirError, Invalid
from fhir_server.foundation.resource import Resource

MANIFEST = "package.json"
# Files of a package's folder that are its own books, not resources.
BOOKS = frozenset({MANIFEST, "package-lock.json", "validation-summary.json"})
FHIR_VERSIONS = ("fhirVersions", "fhir-version-list", "fhirVersion")
NAME_LENGTH = 200
# Names that may safely become part of a path or of a table.
NAME = re.compile(r"(@[A-Za-z0-9][\w.\-]*/)?[A-Za-z0-9][\w.\-]*", re.ASCII)
VERSION = re.compile(r"[A-Za-z0-9][\w.+\-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Package:
    """Definitions that came together. A loose file or folder is one too: it has no version."""

    name: str
    version: str
    fhir_versions: tuple[str, ...]
    dependencies: Mapping[str, str]  # name -> the version asked for
    entries: tuple[Canonical, ...]
    problems: tuple[Problem, ...]

    @property
    def identity(self) -> str:
        """`name#version`."""
        return f"{self.name}#{self.version}" if self.version else self.name


def read_package(
    path: Path, definitions: Definitions | None = None, bounds: Bounds | None = None
) -> Package:
    """What is at a path: a .tgz, a folder with a package or with loose files, a JSON or XML file.

    Its problems say what could not be used. Raises nothing but MemoryError.
    """
    bounds = bounds or Bounds()
    reader = Reader(path.name, definitions or load(), bounds)
    try:
        if path.is_dir():
            top = path / "package" if (path / "package" / MANIFEST).is_file() else path
            reader.add_all(files(top, bounds, deep=not (top / MANIFEST).is_file()))
        elif path.name.endswith((".tgz", ".tar.gz")):
            reader.add_all(members(path, bounds), packed=True)
        else:
            reader.add_all([one_file(path, path.name, bounds)])
    except OSError as error:
        reader.tell("package-unreadable.system", path.name, reason=error.strerror or "?")
    return reader.package()


def files(folder: Path, bounds: Bounds, *, deep: bool) -> Iterator[Member]:
    """The JSON and XML files of a folder, in the order of their names."""
    chosen: list[Path] = []
    for place, below, names in os.walk(folder):
        below[:] = [name for name in below if deep and not name.startswith(".")]
        chosen += (Path(place) / n for n in names if is_resource_file(n))
    if len(chosen) > bounds.files:
        raise Broken("package-too-large.files", most=bounds.files)
    for file in sorted(chosen):
        yield one_file(file, file.relative_to(folder).as_posix(), bounds)


def is_resource_file(name: str) -> bool:
    return name.endswith((".json", ".xml")) and not name.startswith(".")


def one_file(path: Path, name: str, bounds: Bounds) -> Member:
    """A file with its content, or with what is wrong with it."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return Member(name, None, "package-unreadable.no-file")
        if path.stat().st_size > bounds.file:
            return Member(name, None, "package-too-large.file")
        return Member(name, path.read_bytes())
    except OSError:
        return Member(name, None, "package-unreadable.file")


@dataclass(slots=True)
class Reader:
    """A package while it is read."""

    origin: str  # its file's name
    definitions: Definitions
    bounds: Bounds
    manifest: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    entries: list[Canonical] = field(default_factory=list)
    shelf: Shelf = field(default_factory=Shelf)
    seen: set[tuple[str, str, str | None]] = field(default_factory=set)
    untold: int = 0

    def tell(self, key: str, file: str, **said: Any) -> None:
        if len(self.problems) < self.bounds.problems:
            self.problems.append(Problem(key, file, said))
        else:
            self.untold += 1

    def add_all(self, found: Iterable[Member], *, packed: bool = False) -> None:
        """Take in files, until there are no more or the rest cannot be read."""
        try:
            for member in found:
                file = member.name.removeprefix("package/") if packed else member.name
                if member.wrong is not None:
                    self.tell(member.wrong, _shown(file), most=self.bounds.file // 1_000_000)
                elif member.content is not None:
                    self.add(file, member.content, packed=packed)
        except Broken as broken:
            self.tell(broken.key, self.origin, **broken.said)

    def add(self, file: str, content: bytes, *, packed: bool = False) -> None:
        """Take in a file: the manifest, a resource, or a Bundle of resources."""
        try:
            if file.endswith(".xml"):
                self._resource(_shown(file), from_xml(self.definitions, content), packed=packed)
            elif file == MANIFEST:
                self._manifest(wire.parse_json(content))
            elif file.rpartition("/")[2] not in BOOKS:
                self._json(_shown(file), wire.parse_json(content), packed=packed)
        except FhirError as error:
            self.tell("package-file.unreadable", _shown(file), reason=str(error))

    def _manifest(self, value: Any) -> None:
        if isinstance(value, dict):
            self.manifest = value
        else:
            raise Invalid(f"`{MANIFEST}` is not a JSON object.")

    def _json(self, file: str, value: Any, *, packed: bool) -> None:
        if isinstance(value, dict) and isinstance(value.get("resourceType"), str):
            self._resource(file, value, packed=packed)
        elif isinstance(value, dict) or packed:
            self.tell("package-file.no-resource", file)
        # A list that lies in a folder is somebody's data, never a resource gone wrong.

    def _resource(self, file: str, resource: Resource, *, packed: bool) -> None:
        type = resource["resourceType"]
        if type == "Bundle" and not packed:
            for index, entry in enumerate(_items(resource.get("entry"))):
                inner = entry.get("resource") if isinstance(entry, dict) else None
                if isinstance(inner, dict):
                    self._definition(f"{file}, entry {index}", inner)
        elif type in CONFORMANCE_TYPES:
            self._definition(file, resource)
        elif type not in self.definitions.resource_types:
            self.tell("package-file.type", file, type=type)

    def _definition(self, file: str, resource: Resource) -> None:
        if resource.get("resourceType") not in CONFORMANCE_TYPES:
            return
        wrong = wrong_shape(self.definitions, resource)
        if wrong is not None:
            self.tell(f"package-shape.{wrong.wanted}", file, path=wrong.path)
            return
        version = resource.get("fhirVersion")
        if resource["resourceType"] == "StructureDefinition" and version and not _is_r4(version):
            self.tell("package-fhir-version.definition", file, version=version)
            return
        entry = of_resource(resource, self.origin)
        if entry is None:
            self.tell("package-url", file, type=resource["resourceType"])
            return
        identity = entry.type, entry.url, entry.version
        if identity in self.seen:
            told = f"{entry.url}|{entry.version}" if entry.version else entry.url
            self.tell("package-duplicate", file, type=entry.type, url=told)
            return
        self.seen.add(identity)
        load = self.shelf.put(wire.render(resource))
        self.entries.append(Canonical(entry.type, entry.url, entry.version, entry.source, load))

    def package(self, *, may_be_empty: bool = False) -> Package:
        """What was read. Refused as a whole where it is for another FHIR than R4."""
        name = self._named("name", NAME) or self.origin
        version = self._named("version", VERSION)
        given: Any = next(
            (self.manifest[key] for key in FHIR_VERSIONS if self.manifest.get(key)), []
        )
        versions = tuple(_word(item) for item in (given if isinstance(given, list) else [given]))
        if versions and not any(map(_is_r4, versions)):
            self.tell("package-fhir-version", self.origin, name=name, versions=list(versions))
            self.entries.clear()
        elif not self.entries and not may_be_empty:
            self.tell("package-empty", self.origin)
        if self.untold:
            self.problems.append(Problem("package-more", self.origin, {"count": self.untold}))
        asked = self.manifest.get("dependencies")
        dependencies = asked if isinstance(asked, dict) else {}
        source = f"{name}#{version}" if version else name
        return Package(
            name,
            version,
            versions,
            {_word(of): _word(wanted) for of, wanted in dependencies.items() if _word(of)},
            tuple(Canonical(e.type, e.url, e.version, source, e.load) for e in self.entries),
            tuple(self.problems),
        )

    def _named(self, element: str, allowed: re.Pattern[str]) -> str:
        """The name or version the manifest gives, where it can be used."""
        given = self.manifest.get(element, "")
        if given == "" or (
            isinstance(given, str) and len(given) <= NAME_LENGTH and allowed.fullmatch(given)
        ):
            return str(given)
        self.tell("package-unsafe.name", MANIFEST, element=element, value=given)
        return ""


def _is_r4(version: str) -> bool:
    """4.0.0 and 4.0.1 are R4; 4.0 is how some write it; 4.1.0 and 4.3.0 are R4B."""
    return version == "4.0" or version.startswith("4.0.")


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _word(value: Any) -> str:
    return value[:NAME_LENGTH] if isinstance(value, str) else ""


def _shown(name: str) -> str:
    """A file's name as a sentence can hold it."""
    return name.encode("utf-8", "replace").decode("utf-8")[:NAME_LENGTH]
