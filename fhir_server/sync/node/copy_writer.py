"""copy_writer — pieces are added to a copy, and let go again once the hub has what is in them.

https://hl7.org/fhir/R4/bundle.html#history

All of it waits for a disk that may be slow, full or gone, so it is done in a thread of its own. A
line that broke off is written again as it was, to another file: its numbers mean nothing else.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from fhir_server.security.tokens.keys import Jwk
from fhir_server.sync.copy.folder import SUFFIX, appended, durable
from fhir_server.sync.copy.piece import MOST, Head, sealed
from fhir_server.sync.node.life import Name
from fhir_server.sync.node.own import Own
from fhir_server.sync.words import Push, Pushed
from fhir_server.sync.words import push as words

FULL = 1024 * 1024  # bytes after which another file is begun


class Sealing(NamedTuple):
    """By which key pieces are signed, and for which they are sealed. offset: how far this clock is
    ahead of the hub's, in milliseconds."""

    own: Jwk
    to: Jwk
    offset: int = 0


class TooLarge(Exception):
    """A version that no piece can hold."""


@dataclass
class File:
    """first: its first piece. names: the versions in it."""

    path: Path
    first: int
    size: int = 0
    names: list[Name] = field(default_factory=list)


class Writer:
    """One copy of a node, from its first piece on. inside: the versions that are in it, durably."""

    def __init__(self, folder: Path, node: str, name: str) -> None:
        self.node, self.name = node, name
        self.inside: set[Name] = set()
        self.files: list[File] = []
        self._top, self._folder = folder, folder / node / name
        self._pieces = self._numbers = self._made = 0
        self._pending: tuple[str, Sequence[Name]] | None = None
        self._is_broken = False

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(file.size for file in self.files)

    def begin(self) -> None:
        """The folder itself is not made: where the stick is pulled out, it is not there. Raises
        OSError."""
        if not self._top.is_dir():
            raise FileNotFoundError(2, "The folder is not there", str(self._top))
        self._folder.mkdir(parents=True)
        durable(self._folder.parent)
        durable(self._top)

    def add(self, versions: Sequence[Own], sealing: Sealing) -> None:
        """Durably. None: only a mark of how things stand. Raises OSError, TooLarge."""
        self.settle()
        self._write(versions, sealing, self.files[0].first if self.files else self._pieces + 1)

    def settle(self) -> None:
        """What broke off is written again. Raises OSError."""
        if self._pending is None:
            return
        line, names = self._pending
        if self._is_broken or not self.files or self.files[-1].size > FULL:
            self._made += 1
            path = self._folder / f"{self._made:06}{SUFFIX}"
            self.files.append(File(path, self._pieces))
        self._is_broken = True
        appended(self.files[-1].path, line)
        self._is_broken = False
        self.files[-1].size += len(line) + 1
        self.files[-1].names += names
        self.inside.update(names)
        self._pending = None

    def let_go(self, many: int, sealing: Sealing) -> None:
        """The first files hold nothing any more that the hub has not. A mark says so first: else
        they would be missed. Raises OSError."""
        self.settle()
        gone, left = self.files[:many], self.files[many:]
        self.files = left
        try:
            self._write((), sealing, left[0].first if left else self._pieces + 1)
        except OSError:
            self.files = gone + self.files
            raise
        for file in gone:
            file.path.unlink(missing_ok=True)
            self.inside.difference_update(file.names)
        durable(self._folder)

    def _write(self, versions: Sequence[Own], sealing: Sealing, low: int) -> None:
        first, at = self._numbers + 1, int(time.time() * 1000)
        many, latest = len(versions), max((one.recorded for one in versions), default=0)
        place = (self._pieces + 1, low, first, many)
        head = Head(self.node, self.name, *place, at, sealing.offset, latest)
        body = words.written(_push(head, versions)) if versions else b"{}"
        line = sealed(head, body, sealing.own, sealing.to)
        if len(line) > MOST:
            raise TooLarge
        self._pieces += 1
        self._numbers += many
        self._pending = line, [each.name for each in versions]
        self.settle()


def removed(folder: Path, node: str, name: str) -> None:
    """A copy that another has taken the place of. Raises OSError."""
    path = folder / node / name
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
        durable(path.parent)


def _push(head: Head, versions: Sequence[Own]) -> Push:
    entries = tuple(
        Pushed(
            number=number,
            group=number,
            key=one.key,
            rev=one.rev,
            parents=one.parents,
            method=one.method,
            recorded=one.recorded,
            body=one.resource,
            stubs=one.stubs,
        )
        for number, one in enumerate(versions, head.first)
    )
    return Push(head.node, head.copy, head.first, "", entries, head.at)
