"""shelf — resources that are known by their place, packed, until they are asked for.

https://hl7.org/fhir/R4/packages.html

A package of 100 MB must not sit in memory. Each resource is packed by itself; the first few
megabytes stay in memory, the rest goes to a temporary file without a name, read by position, so
that threads and forked workers may share it.
"""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from collections.abc import Callable
from functools import lru_cache, partial
from typing import IO

import zstandard

from fhir_server.foundation import wire
from fhir_server.foundation.resource import Resource

IN_MEMORY = 8_000_000
KEPT = 64  # resources as they were parsed


class Shelf:
    """Where the resources of one package stand."""

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self._in_memory = in_memory
        self._places: list[bytes | tuple[int, int]] = []  # packed, or where in the file
        self._file: IO[bytes] | None = None
        self._packer = zstandard.ZstdCompressor(level=3)
        self._reading = threading.Lock()
        self._parsed = lru_cache(maxsize=KEPT)(self._parse)

    def put(self, resource: bytes) -> Callable[[], Resource]:
        """Keep a resource's JSON; what is returned loads it. Raises OSError."""
        packed = self._packer.compress(resource)
        self._in_memory -= len(packed)
        self._places.append(packed if self._in_memory >= 0 else self._written(packed))
        return partial(self._parsed, len(self._places) - 1)

    def _written(self, packed: bytes) -> tuple[int, int]:
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the shelf
            weakref.finalize(self, self._file.close)
        start = self._file.seek(0, os.SEEK_END)
        self._file.write(packed)
        self._file.flush()
        return start, len(packed)

    def _parse(self, index: int) -> Resource:
        place = self._places[index]
        packed = place if isinstance(place, bytes) else self._read(*place)
        return wire.parse(zstandard.ZstdDecompressor().decompress(packed))

    def _read(self, start: int, length: int) -> bytes:
        assert self._file is not None
        if os.name != "nt":
            return os.pread(self._file.fileno(), length, start)
        with self._reading:
            self._file.seek(start)
            return self._file.read(length)
