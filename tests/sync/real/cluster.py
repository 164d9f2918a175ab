"""cluster — a PostgreSQL of a hub's own, whose disk can be filled: that of its data, or of its log.

Without room for data it refuses what needs some, and goes on. Without room for its log (pg_wal) it
gives up: all connections end, and it may not come up again before there is room. Somebody starts it
then, as a service manager does. It has each acknowledged write on its disk (fsync).
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fhir_server.store.migrate import migrate
from tests import postgresql
from tests.sync.real.disk import Disk

# Little of the log is made in advance: a log that is full is noticed before the round is over.
SETTINGS = {
    "fsync": "on", "max_wal_size": "8MB", "min_wal_size": "2MB", "wal_recycle": "off",
    "checkpoint_warning": "0", "max_connections": "100", "shared_buffers": "32MB",
}  # fmt: skip


class Drives:
    """What a hub's `disk` is: two of them, of which one is filled at a time."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._disks = (Disk(folder / "data"), Disk(folder / "log"))
        self._draw = random.Random(f"drives {seed}")
        self._full = self._disks[0]
        self.can_be_full = all(disk.can_be_full for disk in self._disks)
        data, log = (disk.folder for disk in self._disks)
        if user := postgresql.user():
            os.chown(log, user["user"], user["group"])
        told = ("--waldir", str(log / "wal"), "--wal-segsize=1")
        self.cluster = postgresql.Cluster(data / "c", SETTINGS, told)

    def fill(self, leave: int = 0) -> None:
        self._full = self._draw.choice(self._disks)
        self._full.fill(leave)

    @property
    def name(self) -> str:
        """Of the one that is full, or was."""
        return self._full.folder.name

    def free(self) -> None:
        """There is room again, and it runs."""
        self._full.free()
        self.again()

    def again(self) -> None:
        if self.cluster.has_ended:
            self.cluster.stop()
            self.cluster.start()

    @property
    def is_full(self) -> bool:
        return self._full.is_full

    def end(self) -> None:
        """It is the cluster's end, too."""
        self.cluster.stop(signal.SIGINT)
        for disk in self._disks:
            disk.end()


@contextmanager
def drives(seed: int) -> Iterator[Drives]:
    """PostgreSQL's user must see into the folder, and sees into no test's."""
    folder = Path(tempfile.mkdtemp(prefix="fhir-pg-"))
    folder.chmod(0o755)
    made = Drives(folder, seed)
    try:
        made.cluster.make()
        made.cluster.start()
        migrate(made.cluster.url)
        yield made
    finally:
        made.end()
        shutil.rmtree(folder, ignore_errors=True)
