"""named — versions that references name, many at once.

https://hl7.org/fhir/R4/search.html#versions
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fhir_server.foundation.resource import Key
from fhir_server.store.codec import Codec
from fhir_server.store.contract import Position, Stored, parse_version_id, rid
from fhir_server.store.row import halves, stored


def marks(wanted: Sequence[tuple[Key, str]]) -> tuple[list[int], list[int]]:
    """What versions are looked for by: the resources' numbers, and halves of the digests."""
    named = [(rid(key), parse_version_id(version)) for key, version in wanted]
    found = [(number, halves(parsed[1])[0]) for number, parsed in named if parsed is not None]
    return sorted({number for number, _ in found}), sorted({half for _, half in found})


def those(
    rows: Iterable[Sequence[Any]],
    codec: Codec,
    wanted: Sequence[tuple[Key, str]],
) -> list[Stored]:
    """Of what was found by `marks`, what was wanted."""
    asked = frozenset(wanted)
    found = (stored(row, codec, owner=row[13]) for row in rows)
    told: dict[tuple[Key, str], Stored] = {}
    for version in found:
        name = (version.key, version.version_id)
        if name in asked and (name not in told or rank(version) > rank(told[name])):
            told[name] = version
    return list(told.values())


def rank(version: Stored) -> tuple[bool, Position]:
    """Of rows that name one version, which is asked for: one with its body, then the latest."""
    return version.tail is not None, version.position
