"""clock — a server's own clock, which can be set while it runs.

The program has no seam for it, and needs none: what it asks the system for is answered with an
offset (clock.c, loaded before the process). Only the time of day moves, as when somebody sets it.
Without a C compiler the clocks stay right.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("clock.c")
YEAR = 365 * 86_400


def built(folder: Path) -> Path | None:
    """What is loaded before a process; None: there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    found = folder / "clock.so"
    told = [compiler, "-shared", "-fPIC", "-O1", "-o", str(found), str(SOURCE), "-ldl"]
    return found if subprocess.run(told, capture_output=True, check=False).returncode == 0 else None


class Clock:
    """By which a server goes. library: what `built` made."""

    def __init__(self, file: Path, library: Path | None) -> None:
        self.library = library
        self.ahead = 0
        self._file = file
        self.set(0)

    def set(self, ahead: int) -> None:
        """So many seconds ahead of the right time, from now on."""
        self.ahead = ahead
        with self._file.open("r+b" if self._file.exists() else "w+b") as file:
            file.write(struct.pack("q", ahead))

    @property
    def environment(self) -> dict[str, str]:
        if self.library is None:
            return {}
        return {"LD_PRELOAD": str(self.library), "CLOCK_FILE": str(self._file)}
