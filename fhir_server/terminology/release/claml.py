"""claml — ICD-10 from the ClaML file of the WHO and of its translators.

https://hl7.org/fhir/R4/icd.html

Nothing is declared and nothing is fetched: the DOCTYPE that ClaML has may name its DTD, and no
entity may be declared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn
from xml.parsers import expat

from fhir_server.store.concepts import About, Row, Written
from fhir_server.terminology.release.source import (
    BadRelease,
    Files,
    Meter,
    Part,
    Release,
    lines,
)

URL = "http://hl7.org/fhir/sid/icd-10"
CHUNK = 1 << 16
MAX_TEXT = 100_000
MAX_DEPTH = 50
PREFERRED = ("preferred", "preferredLong")
NAMES = {"preferred": None, "preferredLong": None, "inclusion": "inclusion"}
DOCUMENT = re.compile(rb"<ClaML[\s>]")


def is_one(files: Files) -> bool:
    return any(name.lower().endswith((".xml", ".xml.gz")) for name in files.names())


def release(files: Files, *, version: str | None, system: str | None, meter: Meter) -> Release:
    """Raises BadRelease where there is no ClaML file, or more than one, or no version in it."""
    found = [name for name in files.names() if name.lower().endswith((".xml", ".xml.gz"))]
    found = [name for name in found if _is_claml(files, name)]
    if len(found) != 1:
        raise BadRelease(f"`{files.path}` has {len(found)} ClaML files; there must be one.")
    title = next((each for each in _classes(files, found[0], Meter()) if each.title), None)
    version = version or (title.version if title else None)
    if not version:
        raise BadRelease(f"`{found[0]}` does not say its version. Say it with --version.")
    meter.total += files.size(found[0])
    return Release(
        About(
            url=system or URL,
            version=version,
            name=(title.title if title else None) or "ICD_10",
            source=files.path.name,
            language=title.language if title else None,
            properties={"kind": "code", "usage": "code"},
        ),
        files.identity(found[0]),
        (Part("classes", lambda: _rows(files, found[0], meter)),),
        meter,
    )


def _is_claml(files: Files, name: str) -> bool:
    with files.open(name) as stream:
        return DOCUMENT.search(stream.read(CHUNK)) is not None


@dataclass(slots=True)
class _Class:
    """A Class as it is read; or the Title, which has no code."""

    code: str = ""
    kind: str = ""
    usage: str = ""
    parents: list[str] = field(default_factory=list)
    names: list[tuple[str | None, str, str]] = field(default_factory=list)  # language, kind, text
    title: str | None = None
    version: str | None = None
    language: str | None = None
    line: int = 0


class _Reader:
    """The handlers of one reading. What is complete waits in `ready`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready: list[_Class] = []
        self._class: _Class | None = None
        self._rubric = ""
        self._language: str | None = None
        self._text: list[str] | None = None
        self._length = self._depth = 0
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.EntityDeclHandler = self._entity
        self.parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)

    def bad(self, why: str) -> NoReturn:
        raise BadRelease(f"`{self.name}`, line {self.parser.CurrentLineNumber}: {why}")

    def _entity(self, *_: object) -> None:
        self.bad("an entity is declared, which is not allowed.")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self.bad(f"elements are nested deeper than {MAX_DEPTH} levels.")
        match tag:
            case "Title":
                self._class = _Class(version=attributes.get("version"))
                self._class.title = attributes.get("name") or "ICD_10"
                self.ready.append(self._class)
                self._class = None
            case "Class":
                if not attributes.get("code"):
                    self.bad("a `Class` has no `code`.")
                self._class = _Class(attributes["code"], attributes.get("kind", ""))
                self._class.usage = attributes.get("usage", "")
                self._class.line = self.parser.CurrentLineNumber
            case "SuperClass" if self._class is not None and attributes.get("code"):
                self._class.parents.append(attributes["code"])
            case "Rubric":
                self._rubric = attributes.get("kind", "")
            case "Label" if self._class is not None and self._rubric in NAMES:
                self._language = attributes.get("xml:lang")
                self._text, self._length = [], 0

    def _characters(self, text: str) -> None:
        if self._text is not None:
            self._length += len(text)
            if self._length > MAX_TEXT:
                self.bad("a label is too long.")
            self._text.append(text)

    def _end(self, tag: str) -> None:
        self._depth -= 1
        if tag == "Label" and self._text is not None and self._class is not None:
            text = " ".join("".join(self._text).split())
            if text:
                self._class.names.append((self._language, self._rubric, text))
            self._text = None
        elif tag == "Class" and self._class is not None:
            self.ready.append(self._class)
            self._class = None


def _classes(files: Files, name: str, meter: Meter) -> Iterator[_Class]:
    """The classes in their order, and the title before them. Raises BadRelease."""
    reader = _Reader(name)
    parse = reader.parser.Parse
    try:
        for _, line in lines(files, name, meter):
            parse(line.encode())
            yield from reader.ready
            reader.ready.clear()
        parse(b"", True)  # noqa: FBT003 - expat has no name for it: this is the end
    except expat.ExpatError as error:
        raise BadRelease(f"`{name}`, line {error.lineno}: the XML is not well-formed.") from error


def _rows(files: Files, name: str, meter: Meter) -> Iterator[Written]:
    for each in _classes(files, name, meter):
        if not each.code:
            yield None
            continue
        preferred = next((text for _, kind, text in each.names if kind in PREFERRED), None)
        yield Row(
            each.code,
            preferred,
            abstract=each.kind in ("chapter", "block"),
            names=tuple((language, NAMES[kind], text) for language, kind, text in each.names),
            properties=tuple(
                (key, value) for key, value in (("kind", each.kind), ("usage", each.usage)) if value
            ),
            parents=tuple(each.parents),
        )
