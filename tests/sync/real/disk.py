"""disk — a server's own disk, which can be filled to the last byte, and freed again.

A tmpfs, so that what is refused is refused by the system itself. Where nothing may be mounted it is
a folder, and never full.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Protocol

SIZE = 512  # MB; a tmpfs takes only what is written


class Fills(Protocol):
    """What can be full."""

    can_be_full: bool

    @property
    def name(self) -> str: ...

    @property
    def is_full(self) -> bool: ...

    def fill(self, leave: int = 0) -> None: ...

    def free(self) -> None: ...

    def end(self) -> None: ...


class Disk:
    """`folder` is on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        told = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}m", "fhir-test", str(folder)]
        try:
            self.can_be_full = (
                subprocess.run(told, capture_output=True, check=False).returncode == 0
            )
        except FileNotFoundError:
            self.can_be_full = False
        self._filler = folder / "filler"

    @property
    def name(self) -> str:
        return self.folder.name

    def fill(self, leave: int = 0) -> None:
        """But for so many bytes, and what is free in files that are there already."""
        assert self.can_be_full, "a folder of a real disk is not filled"
        told = os.statvfs(self.folder)
        size = told.f_bavail * told.f_frsize - leave
        if size > 0:
            with suppress(OSError), self._filler.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)

    def free(self) -> None:
        self._filler.unlink(missing_ok=True)

    @property
    def is_full(self) -> bool:
        return self._filler.exists()

    def end(self) -> None:
        """What is on it is gone."""
        if self.can_be_full:
            told = ["umount", "--lazy", str(self.folder)]
            subprocess.run(told, capture_output=True, check=False)
            self.can_be_full = False
