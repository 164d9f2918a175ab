"""schema — the databases there are, and the schema this program knows.

https://hl7.org/fhir/R4/http.html#versioning
"""

from __future__ import annotations

from pathlib import Path

SCHEMA = "0013"  # the newest step under migrations/versions
KEEP_DAYS = 7  # how long an answer under an Idempotency-Key is kept, and where a resource stood
DAY, HOUR = 24 * 3600 * 1000, 3600 * 1000  # milliseconds
SQLITE, POSTGRESQL = "sqlite", "postgresql"


def dialect_of(url: str) -> str:
    """Which database a URL speaks of. Raises ValueError for one that is not supported."""
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme in (POSTGRESQL, "postgres"):
        return POSTGRESQL
    if scheme == SQLITE:
        return SQLITE
    raise ValueError(f"`{url}` is neither `sqlite:///path` nor `postgresql://...`.")


def anchors_file(url: str, named: str) -> Path | None:
    """Where the audit of a database is anchored: the file that is named, or one beside it."""
    if named:
        return Path(named)
    if dialect_of(url) != SQLITE:
        return None
    path = sqlite_path(url)
    return path.with_name(path.name + "-anchors.jsonl")


def key_file(url: str, named: str) -> Path:
    """Where a node has its key: the file that is named, or one beside its database."""
    if named:
        return Path(named)
    if dialect_of(url) != SQLITE:
        return Path("./data/hub-key.json")
    path = sqlite_path(url)
    return path.with_name(path.name + "-hub-key.json")


def sqlite_path(url: str) -> Path:
    """The file of `sqlite:///relative` or `sqlite:////absolute`."""
    path = url.partition("://")[2].removeprefix("/")
    if not path:
        raise ValueError(f"`{url}` names no file. Write `sqlite:///data/fhir.db`.")
    return Path(path)
