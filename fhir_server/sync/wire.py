"""wire — what hub and node send, compressed against a dictionary that both have.

https://hl7.org/fhir/R4/http.html#compression

RFC 9842 (`dcz`): eight bytes, the SHA-256 of the dictionary, a zstd frame. For answers the RFC says
how a client tells what it has (`Available-Dictionary`); of bodies that are sent it does not speak,
and they are written in the same way: who does not know the dictionary answers 415, and is sent
plain zstd, then gzip, and last the body as it is. A dictionary that was released is never changed:
a new one gets the next number.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import zstandard

CODING, ZSTD, GZIP, IDENTITY = "dcz", "zstd", "gzip", "identity"
CODINGS = (CODING, ZSTD, GZIP, IDENTITY)  # in the order in which they are tried
MAGIC = b"\x5e\x2a\x4d\x18\x20\x00\x00\x00"
FOLDER = Path(__file__).parent / "dictionaries"
WINDOW = 8 * 1024 * 1024  # RFC 9842 5: a decoder takes 8 MB at least
CHUNK = 256 * 1024  # bytes of one step
QUICK, SMALL = 3, 19  # levels: of a hub that answers many, of a node whose line is slow
SHORT = 4096  # bytes of a body that costs little at any level


class UnknownDictionary(Exception):
    """It was compressed with a dictionary that is not here."""


class Dictionary(NamedTuple):
    """available: what a client that has it says in `Available-Dictionary`."""

    hash: bytes
    data: zstandard.ZstdCompressionDict
    available: str


@lru_cache(maxsize=1)
def dictionaries() -> dict[bytes, Dictionary]:
    """Those that came with the program, by hash, the newest last."""
    return {one.hash: one for one in map(_read, sorted(FOLDER.glob("*.zstd-dict"), key=_number))}


def newest() -> Dictionary:
    return list(dictionaries().values())[-1]


@lru_cache(maxsize=8)
def _compressor(level: int) -> zstandard.ZstdCompressionDict:
    """Its tables are made once for a level, and shared by all compressors of it."""
    found = zstandard.ZstdCompressionDict(newest().data.as_bytes())
    found.precompute_compress(level=level)
    return found


def packed(body: bytes, level: int = 0, coding: str = CODING) -> bytes:
    """The body in one of CODINGS. level: 0: quick, but for short bodies."""
    level = level or (SMALL if len(body) <= SHORT else QUICK)
    if coding == ZSTD:
        return zstandard.ZstdCompressor(level=level).compress(body)
    if coding == GZIP:
        return gzip.compress(body, mtime=0)
    if coding == IDENTITY:
        return body
    compressor = zstandard.ZstdCompressor(level=level, dict_data=_compressor(level))
    return MAGIC + newest().hash + compressor.compress(body)


def chunks(body: bytes) -> Iterator[bytes]:
    """What was packed as `dcz`, step by step, so that who takes it can stop.

    Raises UnknownDictionary, ZstdError, EOFError."""
    if not body.startswith(MAGIC) or len(body) < len(MAGIC) + 32:
        raise EOFError
    at = len(MAGIC) + 32
    known = dictionaries().get(body[len(MAGIC) : at])
    if known is None:
        raise UnknownDictionary
    yield from _steps(zstandard.ZstdDecompressor(known.data, max_window_size=WINDOW), body[at:])


def _steps(decompressor: zstandard.ZstdDecompressor, frame: bytes) -> Iterator[bytes]:
    reader = decompressor.stream_reader(io.BytesIO(frame), read_across_frames=False)
    while chunk := reader.read(CHUNK):
        yield chunk


def unpacked(body: bytes, coding: str = CODING, *, at_most: int) -> bytes:
    """What was packed as `dcz` or `zstd`. Raises UnknownDictionary; ValueError where it is more,
    or damaged."""
    plain = zstandard.ZstdDecompressor(max_window_size=WINDOW)
    whole = bytearray()
    try:
        for chunk in chunks(body) if coding == CODING else _steps(plain, body):
            whole += chunk
            if len(whole) > at_most:
                raise ValueError(f"It is larger than {at_most} bytes.")
    except (zstandard.ZstdError, EOFError) as error:
        raise ValueError(f"It is not whole `{coding}` data.") from error
    return bytes(whole)


def _number(path: Path) -> int:
    return int(path.name.partition(".")[0])


def _read(path: Path) -> Dictionary:
    body = path.read_bytes()
    digest = hashlib.sha256(body).digest()
    available = f":{base64.b64encode(digest).decode()}:"
    return Dictionary(digest, zstandard.ZstdCompressionDict(body), available)
