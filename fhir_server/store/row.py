"""row — rows as both databases have them: of the version table, and of the index.

https://hl7.org/fhir/R4/http.html#versioning
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from fhir_server.foundation.resource import Key
from fhir_server.store.codec import Codec
from fhir_server.store.contract import (
    FIRST,
    LAST,
    IndexRows,
    KeyRow,
    Position,
    Stored,
    parse_version_id,
    version_id,
)
from fhir_server.store.types import METHODS, NAMES

# The tables of the index, and the columns of each in the order of its own index.
INDEX = {
    "index_key": ("v", "main", "rid", "w"),
    "index_string": ("param", "word", "rid", "whole"),
    "index_date": ("param", "lo", "hi", "rid"),
    "index_quantity": ("param", "unit", "lo", "hi", "rid"),
    "uri": ("param", "uri", "v", "w"),
}
SHARED = "uri"  # the table whose rows are no one resource's, and stay
ENDS = FIRST | LAST
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def packed_id(id: str) -> bytes:
    """An id as it is kept: a UUID, which servers give, as its 16 bytes; any other as written, with
    a NUL after it where it would be taken for one."""
    if UUID.fullmatch(id):
        return bytes.fromhex(id.replace("-", ""))
    text = id.encode()
    return text + b"\0" if len(text) == 16 else text


def id_of(kept: bytes) -> str:
    if len(kept) != 16:
        return kept.removesuffix(b"\0").decode(errors="replace")  # damage is told, not raised
    text = kept.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def halves(digest: bytes) -> tuple[int, int]:
    """A digest as the two signed integers it is stored as."""
    return int.from_bytes(digest[:8], signed=True), int.from_bytes(digest[8:], signed=True)


def packed_revs(revs: Iterable[str]) -> bytes:
    """Version ids as they are kept: 20 bytes each."""
    parsed = [parse_version_id(rev) for rev in revs]
    if None in parsed:
        raise ValueError("A parent is no version id of this server.")
    return b"".join(told[0].to_bytes(4) + told[1] for told in parsed if told is not None)


def revs_of(kept: bytes) -> tuple[str, ...]:
    return tuple(
        version_id(int.from_bytes(kept[at : at + 4]), kept[at + 4 : at + 20])
        for at in range(0, len(kept), 20)
    )


def whole_digest(high: int, low: int) -> bytes:
    return high.to_bytes(8, signed=True) + low.to_bytes(8, signed=True)


def bits(keys: Iterable[KeyRow]) -> int:
    """`current.keys`: a bit for each dominant row."""
    found = 0
    for key in keys:
        if key.dominant:
            found |= 1 << key.dominant - 1
    return found


def stored(row: Sequence[Any], codec: Codec, main: int = 0, owner: int = 0) -> Stored:
    """A version, from the columns of Dialect.columns, which come first."""
    _, seq, num, updated, high, low, generation, type, dictionary, method, id, body = row[:12]
    return Stored(
        Key(NAMES[type - 1], id_of(id)),
        Position(seq, num),
        generation,
        whole_digest(high, low),
        updated,
        METHODS[method - 1],
        None if body is None else codec.unpack(dictionary, body),
        main,
        owner,
    )


def by_patient(patients: Iterable[int], rows: Iterable[Sequence[int]]) -> dict[int, frozenset[int]]:
    """The facilities of rows of a patient and a facility; whoever has none has none."""
    found: dict[int, set[int]] = {patient: set() for patient in patients}
    for patient, facility in rows:
        found[patient].add(facility)
    return {patient: frozenset(places) for patient, places in found.items()}


def moves(before: IndexRows, after: IndexRows) -> bool:
    """Whether a resource stands elsewhere in an order that is walked (select/page)."""
    return (
        before.main[0] != after.main[0]
        or before.dates != after.dates
        or (before.strings != after.strings and _ends(before) != _ends(after))
    )


def _ends(rows: IndexRows) -> set[tuple[int, str, int]]:
    """The smallest and the greatest value of each string."""
    return {(row.param, row.word, row.whole & ENDS) for row in rows.strings if row.whole & ENDS}
