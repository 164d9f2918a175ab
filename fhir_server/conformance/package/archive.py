"""archive — the files of a .tgz, one after another, never more than is good for us.

https://hl7.org/fhir/R4/packages.html
https://docs.npmjs.com/cli/commands/npm-pack

A package comes from anywhere. It is read as a stream, once: nothing is written to disk under a
name it chose, links and devices are passed over, and what unpacks to more than the bounds ends
the reading. Python's own tar reader takes the size of a name from the file and reads that much,
so headers are taken apart by it but followed here.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

BLOCK = 512
MB = 1_000_000
MAX_NAME = 10_000  # bytes of a header that only names the next file
PAX = {tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE}
REGULAR = {tarfile.REGTYPE, tarfile.AREGTYPE}
PASSED_OVER = {tarfile.DIRTYPE, tarfile.XGLTYPE}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a package may be. R4's own core package unpacks to 52 MB in 4,600 files, 11:1."""

    unpacked: int = 1_000 * MB
    file: int = 32 * MB
    files: int = 100_000
    ratio: int = 200  # counted after the first 20 MB
    problems: int = 200


class Broken(Exception):
    """The rest of an archive cannot be read. Its text is the key of the message."""

    def __init__(self, key: str, **said: object) -> None:
        super().__init__(key)
        self.key = key
        self.said = said


class Member(NamedTuple):
    """A file of an archive. content is None where it is no regular file, or was not wanted."""

    name: str
    content: bytes | None
    wrong: str | None = None  # the key of what is wrong with it


def members(path: Path, bounds: Bounds) -> Iterator[Member]:
    """The JSON files of `package/`, and whatever is wrong with others. Raises Broken."""
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            raise Broken("package-unreadable.not-gzip")
        file.seek(0)
        allowed = min(bounds.unpacked, max(20 * MB, path.stat().st_size * bounds.ratio))
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield from _files(_Stream(unpacked, allowed), bounds)


class _Stream:
    """Unpacked bytes, counted."""

    def __init__(self, unpacked: gzip.GzipFile, allowed: int) -> None:
        self._unpacked = unpacked
        self._allowed = allowed
        self._left = allowed

    def take(self, size: int) -> bytes:
        """So many bytes. Raises Broken where there are fewer, or too many altogether."""
        self._spend(size)
        found = self._read(size)
        if len(found) < size:
            raise Broken("package-unreadable.damaged")
        return found

    def skip(self, size: int) -> None:
        while size:
            size -= len(self.take(min(size, MB)))

    def end(self) -> None:
        """Unpack what is left: only at its end does gzip tell whether all of it was whole."""
        while self._read(MB):
            self._spend(MB)

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise Broken("package-too-large.unpacked", most=self._allowed // MB)

    def _read(self, size: int) -> bytes:
        try:
            return self._unpacked.read(size)
        except (OSError, EOFError, zlib.error) as error:
            raise Broken("package-unreadable.damaged") from error


def _files(stream: _Stream, bounds: Bounds) -> Iterator[Member]:
    name = ""  # as a header before has given it
    for _ in range(bounds.files):
        block = stream.take(BLOCK)
        if not block.strip(b"\0"):
            stream.end()
            return
        header = _header(block)
        padding = -header.size % BLOCK
        if header.type in PAX or header.type == tarfile.GNUTYPE_LONGNAME:
            if header.size > MAX_NAME:
                raise Broken("package-unreadable.damaged")
            text = stream.take(header.size)
            stream.skip(padding)
            name = _pax_path(text) if header.type in PAX else _text(text.rstrip(b"\0"))
            continue
        member = _member(name or header.name, header, bounds)
        name = ""
        if member.content is not None:
            yield member._replace(content=stream.take(header.size))
            stream.skip(padding)
            continue
        if member.wrong:
            yield member
        stream.skip(header.size + padding)
    raise Broken("package-too-large.files", most=bounds.files)


def _header(block: bytes) -> tarfile.TarInfo:
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError) as error:
        raise Broken("package-unreadable.damaged") from error
    if header.size < 0:
        raise Broken("package-unreadable.damaged")
    return header


def _member(name: str, header: tarfile.TarInfo, bounds: Bounds) -> Member:
    """What to do with a file: content is empty, not None, where it is to be read."""
    if header.type in PASSED_OVER:
        return Member(name, None)
    if _is_outside(name):
        return Member(name, None, "package-unsafe.path")
    if header.type not in REGULAR:
        return Member(name, None, "package-unsafe.kind")
    path = PurePosixPath(name)
    wanted = (
        path.parent == PurePosixPath("package")
        and path.suffix == ".json"
        and not path.name.startswith(".")
    )
    if not wanted:
        return Member(name, None)
    if header.size > bounds.file:
        return Member(name, None, "package-too-large.file")
    return Member(name, b"")


def _is_outside(name: str) -> bool:
    """Whether a name would lead out of the folder it is unpacked in, on any system."""
    parts = name.replace("\\", "/").split("/")
    return ".." in parts or not parts[0] or ":" in parts[0] or "\0" in name


def _pax_path(text: bytes) -> str:
    """The path of a pax header, whose records are `<length> <name>=<value>\\n`."""
    while text:
        length, _, record = text.partition(b" ")
        if not length.isdigit() or len(length) > 5:
            raise Broken("package-unreadable.damaged")
        name, _, value = record[: int(length) - len(length) - 1].partition(b"=")
        # A size that differs from the header's is for files of more than 8 GB.
        if name == b"size" or name.startswith(b"GNU.sparse"):
            raise Broken("package-unreadable.damaged")
        if name == b"path":
            return _text(value.removesuffix(b"\n"))
        if not int(length):
            break
        text = text[int(length) :]
    return ""


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
