"""source — the files of a release: a zip, a folder or a file alone, read line by line.

https://hl7.org/fhir/R4/terminologies-systems.html

A release comes from anywhere. Nothing is unpacked to the disk; what unpacks to more than the bounds
ends the reading, and what is malformed is told with its file and its line.
"""

from __future__ import annotations

import csv
import gzip
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Protocol, cast

from fhir_server.store.concepts import About, Written

MB = 1_000_000
MAX_FILES = 20_000
MAX_UNPACKED = 20_000 * MB  # SNOMED CT with all its history is 6 GB
MAX_RATIO = 200  # counted after the first 20 MB
MAX_LINE = 1 * MB
MAX_WHOLE = 500 * MB  # of a file that is read as a whole
BOM = b"\xef\xbb\xbf"


class BadRelease(Exception):
    """A sentence that says what is wrong with a release, and where."""


@dataclass(slots=True)
class Meter:
    """How many bytes of a release were read, for who waits."""

    total: int = 0
    done: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a release, whose rows always come in the same order."""

    name: str
    rows: Callable[[], Iterator[Written]]


@dataclass(frozen=True, slots=True)
class Release:
    """What a release says, ready to be written."""

    about: About
    identity: str  # changes with the files
    parts: tuple[Part, ...]
    meter: Meter = field(default_factory=Meter)


class Files(Protocol):
    """The files a release consists of."""

    path: Path

    def names(self) -> Sequence[str]: ...
    def size(self, name: str) -> int: ...
    def identity(self, name: str) -> str: ...
    def open(self, name: str) -> IO[bytes]: ...


class ZipFiles:
    """Those of a zip. Raises BadRelease for one that unpacks to too much, or is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise BadRelease(f"`{path}` is not a zip that can be read: {error}.") from error
        listed = [each for each in self._zip.infolist() if not each.is_dir()]
        self._of = {each.filename: each for each in listed}
        unpacked = sum(each.file_size for each in listed)
        allowed = min(MAX_UNPACKED, max(20 * MB, path.stat().st_size * MAX_RATIO))
        if len(listed) > MAX_FILES or unpacked > allowed:
            raise BadRelease(
                f"`{path}` would unpack to {len(listed):,} files of {unpacked // MB:,} MB, which is"
                " more than any release has."
            )

    def names(self) -> Sequence[str]:
        return list(self._of)

    def size(self, name: str) -> int:
        return self._of[name].file_size

    def identity(self, name: str) -> str:
        return f"{name}:{self._of[name].CRC:08x}:{self._of[name].file_size}"

    def open(self, name: str) -> IO[bytes]:
        # Never more than the directory told: a reader stops at a member's file_size.
        try:
            return self._zip.open(name)
        except (RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
            raise BadRelease(f"`{name}` in `{self.path}` cannot be unpacked: {error}.") from error


class FolderFiles:
    """Those of a folder, or one file alone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        found = [path] if path.is_file() else list(islice(path.rglob("*"), MAX_FILES + 1))
        if len(found) > MAX_FILES:
            raise BadRelease(f"`{path}` has more than {MAX_FILES:,} files.")
        top = path.parent if path.is_file() else path
        named = sorted((each.relative_to(top).as_posix(), each) for each in found)
        self._of = {name: each for name, each in named if each.is_file()}

    def names(self) -> Sequence[str]:
        return list(self._of)

    def size(self, name: str) -> int:
        return self._of[name].stat().st_size

    def identity(self, name: str) -> str:
        stamp = self._of[name].stat()
        return f"{name}:{stamp.st_mtime_ns}:{stamp.st_size}"

    def open(self, name: str) -> IO[bytes]:
        file = self._of[name]
        try:
            return cast(IO[bytes], gzip.open(file)) if name.endswith(".gz") else file.open("rb")
        except OSError as error:
            raise BadRelease(f"`{name}` cannot be read: {error.strerror}.") from error


def files_of(path: Path) -> Files:
    """The files of a release. Raises BadRelease."""
    if not path.exists():
        raise BadRelease(f"There is no file `{path}`.")
    return ZipFiles(path) if path.is_file() and zipfile.is_zipfile(path) else FolderFiles(path)


# --- reading -------------------------------------------------------------------------------------


@contextmanager
def told(name: str) -> Iterator[None]:
    """Raise BadRelease for a file that is damaged."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise BadRelease(f"`{name}` is damaged: {error}.") from error


def lines(files: Files, name: str, meter: Meter) -> Iterator[tuple[int, str]]:
    """The lines of a file, with their numbers, from 1. Raises BadRelease."""
    packed = files.size(name) * MAX_RATIO if name.endswith(".gz") else MAX_UNPACKED
    allowed = min(MAX_UNPACKED, max(20 * MB, packed))
    with files.open(name) as stream:
        number, read = 0, 0
        while True:
            with told(name):
                line = stream.readline(MAX_LINE + 1)
            if not line:
                return
            number += 1
            read += len(line)
            meter.done += len(line)
            if len(line) > MAX_LINE:
                raise BadRelease(f"`{name}`, line {number}: it is too long to be a row.")
            if read > allowed:
                raise BadRelease(f"`{name}` unpacks to more than {allowed // MB:,} MB.")
            yield number, _text(line if number > 1 else line.removeprefix(BOM), name, number)


def _text(line: bytes, name: str, number: int) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRelease(f"`{name}`, line {number}: it is not UTF-8.") from error


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a table, by the names of its columns."""

    file: str
    number: int
    values: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.values.get(column, "")

    def bad(self, why: str) -> BadRelease:
        return BadRelease(f"`{self.file}`, line {self.number}: {why}")


def tabbed(files: Files, name: str, meter: Meter, needed: Sequence[str]) -> Iterator[Line]:
    """The rows of a table with tabs between, which are never quoted. Raises BadRelease."""
    header: list[str] = []
    for number, line in lines(files, name, meter):
        cells = line.rstrip("\r\n").split("\t")
        if not header:
            header = cells
            demand(name, header, needed)
        elif len(cells) == len(header):
            yield Line(name, number, dict(zip(header, cells, strict=True)))
        elif line.strip():
            raise BadRelease(
                f"`{name}`, line {number}: there are {len(cells)} columns, not {len(header)}."
            )


def with_commas(files: Files, name: str, meter: Meter) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file, their texts without blanks around. Raises BadRelease."""
    at = 0

    def texts() -> Iterator[str]:
        nonlocal at
        for number, line in lines(files, name, meter):
            at = number
            yield line

    rows = csv.reader(texts(), strict=True)
    while True:
        begins = at + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise BadRelease(f"`{name}`, line {begins}: {error}.") from error
        if any(row):
            yield begins, [cell.strip() for cell in row]


def by_column(files: Files, name: str, meter: Meter, needed: Sequence[str]) -> Iterator[Line]:
    """The rows of a CSV file by the names of its columns. Raises BadRelease."""
    header: list[str] = []
    for number, cells in with_commas(files, name, meter):
        if not header:
            header = cells
            demand(name, header, needed)
        elif len(cells) == len(header):
            yield Line(name, number, dict(zip(header, cells, strict=True)))
        else:
            raise BadRelease(
                f"`{name}`, line {number}: there are {len(cells)} columns, not {len(header)}."
            )


def demand(name: str, header: Sequence[str], needed: Sequence[str]) -> None:
    missing = [f"`{each}`" for each in needed if each not in header]
    if missing:
        raise BadRelease(f"`{name}`, line 1: the column {' and '.join(missing)} is missing.")


def whole(files: Files, name: str, meter: Meter) -> bytes:
    """All of a file. Raises BadRelease for one too large."""
    with files.open(name) as stream, told(name):
        found = stream.read(MAX_WHOLE + 1)
    if len(found) > MAX_WHOLE:
        raise BadRelease(f"`{name}` is larger than {MAX_WHOLE // MB} MB.")
    meter.done += len(found)
    return found
