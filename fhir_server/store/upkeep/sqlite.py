"""sqlite — what a person should know of a database that is one file.

https://hl7.org/fhir/R4/http.html#versioning
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

from fhir_server.store.migrate import sqlite_schema
from fhir_server.store.schema import SCHEMA
from fhir_server.store.sqlite_connection import connect_writer
from fhir_server.store.upkeep.findings import Finding, Grade, compare, disk

NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "glusterfs", "ceph"}
MOUNTS = Path("/proc/self/mounts")
OLDEST = (3, 37, 0)  # STRICT tables


def examine(path: Path) -> list[Finding]:
    """Findings on the file, its folder and the library; the file need not be there yet."""
    folder = nearest(path.absolute().parent)
    usage = shutil.disk_usage(folder)
    found = [library(), disk(usage.free, usage.total), place(folder)]
    if not path.exists():
        told = f"`{path}` is not there yet: `fhir-server serve` makes it"
        return [Finding("database", told, Grade.NOTE), *found]
    schema = sqlite_schema(path)
    known = Finding("database", f"`{path}`, schema {schema}, {path.stat().st_size:,} bytes")
    if schema != SCHEMA:
        advice = "Run `fhir-server migrate`."
        known = Finding("database", f"`{path}` has schema {schema}", Grade.UNSAFE, advice)
    return [known, *found, mode(path), *journal(path)]


def nearest(folder: Path) -> Path:
    """The folder itself, or the nearest above it that exists."""
    while not folder.exists():
        folder = folder.parent
    return folder


def library() -> Finding:
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info >= OLDEST:
        return Finding("SQLite", version)
    needed = ".".join(map(str, OLDEST))
    return Finding("SQLite", version, Grade.UNSAFE, f"SQLite {needed} or newer is needed.")


def journal(path: Path) -> list[Finding]:
    """How a commit reaches the disk, as the server's own writer has it."""
    with closing(connect_writer(path)) as connection:
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
        level = connection.execute("PRAGMA synchronous").fetchone()[0]
        broken = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
    return [
        compare(
            "journal_mode",
            mode,
            good=("wal",),
            why="readers and the writer wait for each other",
            advice="Put the file on a local disk.",
        ),
        compare(
            "synchronous",
            {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}[level],
            good=("FULL", "EXTRA"),
            why="a power cut loses what was acknowledged",
            advice="This program sets FULL; something else has changed it.",
        ),
        compare(
            "pages",
            "; ".join(broken),
            good=("ok",),
            why="the file is damaged",
            advice="Stop the server and restore the newest backup: `fhir-server restore FILE`.",
        ),
    ]


def mode(path: Path) -> Finding:
    """Whether other users of the machine may read the records."""
    bits = stat.S_IMODE(path.stat().st_mode)
    if os.name == "nt" or not bits & 0o077 or not stat.S_IMODE(path.parent.stat().st_mode) & 0o077:
        return Finding("permissions", "only the file's owner may read it")
    return Finding(
        "permissions",
        f"other users of this machine may read `{path}`",
        Grade.NOTE,
        f"For real records: chmod 700 {path.parent}",
    )


def place(folder: Path) -> Finding:
    """A write-ahead log needs shared memory, which a network folder does not have."""
    best, kind = "", "unknown"
    lines = MOUNTS.read_text(errors="replace").splitlines() if MOUNTS.exists() else []
    for line in lines:
        _, mount, type = line.split()[:3]
        inside = str(folder) == mount or str(folder).startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, type
    if kind in NETWORK:
        advice = "Put the file on a local disk, or use PostgreSQL."
        return Finding("file system", f"{kind}: locks cannot be relied on", Grade.UNSAFE, advice)
    if kind in ("tmpfs", "ramfs"):
        advice = "Put the file on a disk."
        return Finding("file system", f"{kind}: gone at the next start", Grade.UNSAFE, advice)
    return Finding("file system", kind)
