"""anchors — the ends of the audit's chains, written to a file outside the database now and then.

https://hl7.org/fhir/R4/security.html#audit

Whoever can change the database could make all seals of a chain anew. What a line of this file says
can then no longer be found there. Keep the file where the database's owner cannot write, or send
its lines elsewhere as they come: each is whole in itself.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from fhir_server.store.contract import Head

MOST = 1000  # bytes of a line


class BadAnchors(Exception):
    """A line of the file is not one that was written by `Anchors`."""


class Anchor(NamedTuple):
    line: int
    head: Head


class Anchors:
    """Appends to the file what has moved since it was last told."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._told: dict[int, Head] = {}

    def tell(self, heads: Iterable[Head]) -> int:
        """Write what is new, durably; how many lines. Raises OSError."""
        new = [head for head in heads if self._told.get(head.chain) != head]
        if not new:
            return 0
        self.file.parent.mkdir(parents=True, exist_ok=True)
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        text = b"".join(written(head, at) for head in new)
        # Several processes append: each writes its lines by one call, which O_APPEND keeps whole.
        number = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            os.write(number, text)
            os.fsync(number)
        finally:
            os.close(number)
        self._told.update((head.chain, head) for head in new)
        return len(new)


def written(head: Head, at: str) -> bytes:
    told = {
        "at": at,
        "chain": f"{head.chain:x}",
        "number": head.number,
        "seal": head.seal.hex(),
        "ended": head.ended,
    }
    return json.dumps(told).encode() + b"\n"


def read(file: Path) -> Iterator[Anchor]:
    """Every line. Raises BadAnchors, OSError."""
    with file.open("rb") as opened:
        for line, text in enumerate(opened, start=1):
            if text.strip():
                yield Anchor(line, head_of(text, f"{file}:{line}"))


def head_of(text: bytes, place: str) -> Head:
    try:
        told = json.loads(text[:MOST])
        head = Head(
            int(told["chain"], 16),
            int(told["number"]),
            bytes.fromhex(told["seal"]),
            bool(told["ended"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BadAnchors(f"`{place}` is not an anchor of the audit: it was changed.") from error
    return head
