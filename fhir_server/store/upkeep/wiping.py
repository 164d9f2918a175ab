"""wiping — all records of a database go, and that they went is written down where they were.

https://hl7.org/fhir/R4/security.html

The mark comes first, and is on the disk before anything is erased: whatever ends the program
meanwhile, the next one goes on. It stays, so that nobody takes what is left for a new database.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fhir_server.store.schema import SQLITE, dialect_of, sqlite_path

MARK = "wiped"  # a setting, and how the name of a file ends
# Beside a database's file: its log, the lock of who writes, the anchors of its audit, and what a
# backup or a restore has made there.
ENDINGS = (
    *("", "-wal", "-shm", "-journal", "-writer", "-writer-journal", "-anchors.jsonl"),
    *(".part", ".part-journal", ".replaced", ".replaced-wal", ".replaced-shm"),
)

Facts = Mapping[str, Any]


class Wiped(Exception):
    """The database was wiped, or is to be. facts: as they were given with the mark."""

    def __init__(self, facts: Facts) -> None:
        super().__init__("The records of this database were wiped.")
        self.facts = facts


def demand_none(url: str) -> None:
    """Raises Wiped."""
    facts = marked(url)
    if facts is not None:
        raise Wiped(facts)


def marked(url: str) -> Facts | None:
    """What is told of the wiping of this database; None: it is none that was, or is to be."""
    if dialect_of(url) == SQLITE:
        try:
            told = _mark(url).read_text("utf-8")
        except FileNotFoundError:
            return None
    else:
        from fhir_server.store.upkeep import wiping_tables

        found = wiping_tables.marked(url, MARK)
        if found is None:
            return None
        told = found
    try:
        facts = json.loads(told)
    except ValueError:
        facts = None
    return facts if isinstance(facts, dict) else {}


def mark(url: str, facts: Facts) -> None:
    """Write it down, durably. Once more: what is told of it."""
    told = json.dumps(facts, ensure_ascii=False)
    if dialect_of(url) == SQLITE:
        _write(_mark(url), told)
        return
    from fhir_server.store.upkeep import wiping_tables

    wiping_tables.mark(url, MARK, told)


def erase(url: str) -> None:
    """All that is in it; nothing where it was erased before. Raises OSError, a driver's error."""
    if dialect_of(url) == SQLITE:
        path = sqlite_path(url)
        for ending in ENDINGS:
            path.with_name(path.name + ending).unlink(missing_ok=True)
        _durable(path.parent)
        return
    from fhir_server.store.upkeep import wiping_tables

    wiping_tables.erase(url, MARK)


def unmark(url: str) -> None:
    """A new database may begin here."""
    if dialect_of(url) == SQLITE:
        _mark(url).unlink(missing_ok=True)
        return
    from fhir_server.store.upkeep import wiping_tables

    wiping_tables.unmark(url, MARK)


def _mark(url: str) -> Path:
    path = sqlite_path(url)
    return path.with_name(f"{path.name}-{MARK}")


def _write(path: Path, told: str) -> None:
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as opened:
        opened.write(told)
        opened.flush()
        os.fsync(opened.fileno())
    part.replace(path)
    _durable(path.parent)


def _durable(folder: Path) -> None:
    """What names there are is on the disk, and not only on its way there."""
    if os.name == "nt" or not folder.is_dir():
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
