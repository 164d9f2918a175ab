"""r4_resources — R4's own conformance resources, read from r4/resources.zip when asked for.

https://hl7.org/fhir/R4/conformance-module.html
https://hl7.org/fhir/R4/downloads.html

StructureDefinitions with snapshot and differential, ValueSets, CodeSystems, ConceptMaps and
SearchParameters, word for word but for prose. The archive is made by tools/build_definitions.py.
"""

from __future__ import annotations

import io
import threading
import zipfile
from functools import cache, lru_cache, partial

import orjson

from fhir_server.conformance.canonicals import Canonical, Canonicals
from fhir_server.conformance.definitions import R4_FOLDER
from fhir_server.foundation import wire
from fhir_server.foundation.resource import Resource

ARCHIVE = R4_FOLDER / "resources.zip"
SOURCE = "R4"


@cache
def canonicals_of_r4() -> Canonicals:
    """R4's own, by URL (about 15 ms; a resource is read when first asked for)."""
    # In memory, 1.7 MB: workers that are forks of one another would share a file's position.
    archive = _Archive(zipfile.ZipFile(io.BytesIO(ARCHIVE.read_bytes())))
    index = orjson.loads(archive.file("index.json"))
    return Canonicals(
        Canonical(type, url, version, SOURCE, partial(archive.resource, file, start, length))
        for type, listed in index.items()
        for url, version, file, start, length in listed
    )


class _Archive:
    """The open archive, for all threads. What is read is kept for a while: who needs a definition
    often (a compiled profile, a value set) keeps what it made of it."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._reading = threading.Lock()
        self._file = lru_cache(maxsize=8)(self._unpack)
        self.resource = lru_cache(maxsize=256)(self._parse)

    def file(self, name: str) -> bytes:
        with self._reading:  # a ZipFile has one position
            return self._file(name)

    def _unpack(self, name: str) -> bytes:
        return self._archive.read(name)

    def _parse(self, file: int, start: int, length: int) -> Resource:
        return wire.parse(self.file(f"{file}.ndjson")[start : start + length])
