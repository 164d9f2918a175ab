"""codec — how a version's body lies in the store, and how it becomes bytes to send.

https://hl7.org/fhir/R4/resource.html#Meta
https://hl7.org/fhir/R4/json.html

A body is kept as its *tail*: the JSON that follows `meta.lastUpdated`, without what the row knows
(resourceType, id, versionId, lastUpdated). Sending it is putting a head before it; no model
stands between. Tails are compressed with a dictionary, which saves five sixths of a small one.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import zstandard

from fhir_server.foundation import wire
from fhir_server.foundation.bundle import instant
from fhir_server.foundation.resource import Resource
from fhir_server.store.contract import Stored

DICTIONARIES = Path(__file__).parent / "dictionaries"
LEVEL = 3
DEEPEST = 1000  # what was accepted once is read again, whatever the bound is now
LARGEST = 128 * 1024 * 1024  # bytes a body may unpack to: more is damage, not a resource
MANY = 4  # bodies that are worth a call for several
MAGIC = b"\x28\xb5\x2f\xfd"  # begins every frame, so it is not kept
SERVERS = ("versionId", "lastUpdated")  # of meta: what only the server says


class Damaged(Exception):
    """A stored body that cannot be read: its bytes, or its dictionary, are not what was written."""


# --- a resource and its tail ---------------------------------------------------------------------


def tail_of(resource: Resource) -> bytes:
    """The JSON that follows `meta.lastUpdated`: the rest of meta, then the other elements."""
    meta = {k: v for k, v in resource.get("meta", {}).items() if k not in SERVERS}
    others = {k: v for k, v in resource.items() if k not in ("resourceType", "id", "meta")}
    return _continued(meta) + _continued(others)


def whole(stored: Stored) -> bytes:
    """The resource as JSON, ready to send. A deletion has none."""
    if stored.tail is None:
        raise ValueError(f"`{stored.key}` is deleted: there is nothing to send.")
    type, id = stored.key
    head = (
        f'{{"resourceType":"{type}","id":"{id}","meta":{{"versionId":"{stored.version_id}",'
        f'"lastUpdated":"{instant(stored.updated)}"'
    )
    return head.encode() + stored.tail


def resource_of(stored: Stored) -> Resource:
    """The resource as a dict, its decimals as written."""
    return wire.parse(whole(stored), max_depth=DEEPEST)


def elements_of(stored: Stored) -> Resource:
    """What it says beside what the row knows, for its texts: numbers are not kept as written."""
    if stored.tail is None:
        raise ValueError(f"`{stored.key}` is deleted: it says nothing.")
    found: Resource = orjson.loads(b'{"meta":{"lastUpdated":null' + stored.tail)
    return found


def _continued(members: Mapping[str, Any]) -> bytes:
    """What follows inside an object that already has a member, and its closing brace."""
    return b"," + wire.render(members)[1:] if members else b"}"


# --- the version's name --------------------------------------------------------------------------


def digest_of(
    type: str, id: str, parents: Iterable[str], *, deleted: bool, resource: Resource | None
) -> bytes:
    """The first 128 bits of SHA-256 over canonical JSON: what a version is, on every server."""
    content = None if deleted or resource is None else _without_servers(resource)
    canonical = {
        "type": type,
        "id": id,
        "parents": sorted(parents),
        "deleted": deleted,
        "resource": content,
    }
    return hashlib.sha256(_canonical(canonical)).digest()[:16]


def _canonical(value: object) -> bytes:
    """Compact JSON with its keys sorted, every number as it was written."""
    try:
        return orjson.dumps(value, default=_digits, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # an integer beyond 64 bits, which wire knows how to write
        return wire.render(_sorted(value))


def _digits(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    raise TypeError(f"{value!r} has no JSON")


def _sorted(value: object) -> object:
    match value:
        case dict():
            return {name: _sorted(value[name]) for name in sorted(value)}
        case list():
            return [_sorted(item) for item in value]
        case _:
            return value


def _without_servers(resource: Resource) -> Resource:
    meta = {k: v for k, v in resource.get("meta", {}).items() if k not in SERVERS}
    rest = {k: v for k, v in resource.items() if k != "meta"}
    return {**rest, "meta": meta} if meta else rest


# --- compression ---------------------------------------------------------------------------------


def shipped_dictionaries() -> dict[int, bytes]:
    """The dictionaries that come with the program, by number."""
    found = sorted(DICTIONARIES.glob("*.zstd-dict"))
    return {int(path.name.partition(".")[0]): path.read_bytes() for path in found}


class _Pair(threading.local):
    """A thread's own compressors and decompressors: they hold state while they work."""

    def __init__(self) -> None:
        self.pack: dict[int, zstandard.ZstdCompressor] = {}
        self.unpack: dict[int, zstandard.ZstdDecompressor] = {}


class Codec:
    """Packs with the newest dictionary; unpacks with whichever a body names (0: none)."""

    def __init__(self, dictionaries: Mapping[int, bytes] | None = None) -> None:
        given = shipped_dictionaries() if dictionaries is None else dictionaries
        self.newest = max(given, default=0)
        self._dictionaries = {
            number: zstandard.ZstdCompressionDict(body) for number, body in given.items()
        }
        self._parameters = zstandard.ZstdCompressionParameters.from_level(
            LEVEL, write_content_size=True, write_checksum=False, write_dict_id=False
        )
        if self.newest:
            self._dictionaries[self.newest].precompute_compress(compression_params=self._parameters)
        self._own = _Pair()

    def pack(self, tail: bytes) -> tuple[int, bytes]:
        """The dictionary's number, and the packed bytes."""
        return self.newest, self._packer().compress(tail)[len(MAGIC) :]

    def _packer(self) -> zstandard.ZstdCompressor:
        known = self._own.pack.get(self.newest)
        if known is None:
            known = zstandard.ZstdCompressor(
                dict_data=self._dictionaries.get(self.newest), compression_params=self._parameters
            )
            self._own.pack[self.newest] = known
        return known

    def pack_all(self, tails: Sequence[bytes | None]) -> list[tuple[int, bytes | None]]:
        """Many at once: each call lets go of the interpreter's lock, and waits to have it back."""
        given: list[bytes | bytearray | memoryview] = [t for t in tails if t is not None]
        if len(given) < MANY:
            return [(0, None) if tail is None else self.pack(tail) for tail in tails]
        found = self._packer().multi_compress_to_buffer(given)
        packed = (found[number].tobytes()[len(MAGIC) :] for number in range(len(given)))
        return [(0, None) if tail is None else (self.newest, next(packed)) for tail in tails]

    def unpack(self, dictionary: int, body: bytes) -> bytes:
        """The tail. Raises Damaged where the bytes are not what `pack` made."""
        frame = MAGIC + body
        try:
            size = zstandard.frame_content_size(frame)
            if not 0 <= size <= LARGEST:
                raise Damaged(f"A stored body claims to be {size} bytes long.")
            return self._unpacker(dictionary).decompress(frame)
        except zstandard.ZstdError as error:
            raise Damaged(f"A stored body cannot be unpacked: {error}.") from error

    def _unpacker(self, dictionary: int) -> zstandard.ZstdDecompressor:
        known = self._own.unpack.get(dictionary)
        if known is None:
            if dictionary and dictionary not in self._dictionaries:
                raise Damaged(f"A stored body names dictionary {dictionary}, which is missing.")
            known = zstandard.ZstdDecompressor(dict_data=self._dictionaries.get(dictionary))
            self._own.unpack[dictionary] = known
        return known
