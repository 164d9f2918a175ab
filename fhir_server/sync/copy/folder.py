"""folder — a copy as it lies on a stick: files of lines, each a piece, in folders of their own.

https://hl7.org/fhir/R4/security.html

A file is only ever written at its end, and a line is whole once its end is there. So what breaks
off, or is pulled out, costs the last line at most; and what is not whole is told, not guessed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from fhir_server.sync.copy.piece import MOST, BadPiece, Head, head_of

SUFFIX = ".pieces"
FILES = 50_000  # of one folder that are looked at
PIECES = 1_000_000


class Unreadable(Exception):
    """The folder is none, or has more in it than a copy has."""


class Piece(NamedTuple):
    """Where a piece lies. digest: of the line."""

    head: Head
    path: Path
    at: int
    size: int
    digest: bytes

    def line(self) -> str:
        """Raises OSError."""
        with self.path.open("rb") as opened:
            opened.seek(self.at)
            return opened.read(self.size).decode("ascii")


@dataclass
class Copy:
    """One copy of a node. torn: lines that are no whole piece."""

    node: str
    name: str
    pieces: list[Piece] = field(default_factory=list)

    @property
    def last(self) -> Head:
        return self.pieces[-1].head

    @property
    def versions(self) -> int:
        numbers = {(each.head.first, each.head.count) for each in self.pieces}
        return sum(count for _, count in numbers)

    @property
    def missing(self) -> list[int]:
        """The pieces that were still needed when the last was written, and are not there."""
        there = {each.head.piece for each in self.pieces}
        wanted = range(self.last.low, self.last.piece)
        if len(wanted) > PIECES:  # whoever wrote that was no node
            return [self.last.low]
        return [number for number in wanted if number not in there]


class Found(NamedTuple):
    """What lies in a folder. torn: which lines are no whole piece, as `file:line`."""

    copies: tuple[Copy, ...]
    torn: tuple[str, ...]


def appended(path: Path, line: str) -> None:
    """Write a piece at the end of a file, durably. Raises OSError."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
    is_new = not path.exists()
    handle = os.open(path, flags, 0o600)
    try:
        ahead = memoryview(line.encode("ascii") + b"\n")
        while ahead:
            ahead = ahead[os.write(handle, ahead) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    if is_new:
        durable(path.parent)


def durable(folder: Path) -> None:
    """What was made or removed in it, too. Not every system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def found(folder: Path) -> Found:
    """Everything that looks like a copy below it, in the order of its making. Raises Unreadable,
    OSError."""
    copies: dict[tuple[str, str], Copy] = {}
    torn: list[str] = []
    seen: set[bytes] = set()
    for path in _files(folder):
        for number, (at, line, is_whole) in enumerate(_lines(path), 1):
            piece = _piece(path, at, line) if is_whole else None
            if piece is None:
                torn.append(f"{path.relative_to(folder)}:{number}")
            elif piece.digest not in seen:
                seen.add(piece.digest)
                of = (piece.head.node, piece.head.copy)
                copies.setdefault(of, Copy(*of)).pieces.append(piece)
            if len(seen) > PIECES:
                raise Unreadable(f"`{folder}` has more than {PIECES:,} pieces in it.")
    for copy in copies.values():
        copy.pieces.sort(key=lambda one: (one.head.piece, one.head.at))
    ordered = sorted(copies.values(), key=lambda one: (one.node, one.pieces[0].head.at))
    return Found(tuple(ordered), tuple(torn))


def _piece(path: Path, at: int, line: bytes) -> Piece | None:
    try:
        head, _ = head_of(line.decode("ascii"))
    except (BadPiece, UnicodeDecodeError):
        return None
    return Piece(head, path, at, len(line), hashlib.sha256(line).digest())


def _files(folder: Path) -> Sequence[Path]:
    if not folder.is_dir():
        raise Unreadable(f"`{folder}` is no folder.")
    paths: list[Path] = []
    for here, _, names in os.walk(folder, onerror=_raise):
        paths += (Path(here, name) for name in names if name.endswith(SUFFIX))
        if len(paths) > FILES:
            raise Unreadable(f"`{folder}` has more than {FILES:,} files of pieces in it.")
    return sorted(paths)


def _raise(error: OSError) -> None:
    raise error


def _lines(path: Path) -> Iterator[tuple[int, bytes, bool]]:
    """Where each begins, what it says, and whether it is whole; of what is too long to be a piece
    the first part."""
    with path.open("rb") as opened:
        at = 0
        while line := opened.readline(MOST + 1):
            is_whole = line.endswith(b"\n")
            yield at, line.removesuffix(b"\n"), is_whole
            while not is_whole and line:
                line = opened.readline(MOST + 1)
                is_whole = line.endswith(b"\n")
            at = opened.tell()
