"""block — the entries of the audit that one transaction wrote: one row, packed and sealed once.

https://hl7.org/fhir/R4/auditevent.html

    body = 1 as a byte + zstd of a MessagePack array: of each entry its subjects and its body

A row's number is that of its last entry, its time the latest of theirs. What was written before
there were blocks is a row for each entry: such a body begins otherwise.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Final

import msgspec
import zstandard

from fhir_server.store.contract.audit import Entered, Entry

BLOCK: Final = b"\x01"
LARGEST = 256 * 1024 * 1024  # bytes of one block, unpacked: more is damage
LEVEL = 1

Parts = list[tuple[tuple[int, ...], bytes]]

_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE: Callable[[bytes], Parts] = msgspec.msgpack.Decoder(Parts).decode


class _Packers(threading.local):
    """A packer has a state of its own, so each thread has one."""

    @cached_property
    def pack(self) -> Callable[[bytes], bytes]:
        return zstandard.ZstdCompressor(level=LEVEL).compress

    @cached_property
    def unpack(self) -> zstandard.ZstdDecompressor:
        return zstandard.ZstdDecompressor()


_PACKERS = _Packers()


def packed(entries: Sequence[Entry]) -> bytes:
    told = [(entry.subjects, entry.body) for entry in entries]
    return BLOCK + _PACKERS.pack(_ENCODE(told))


def parts(body: bytes) -> Parts | None:
    """What a block holds; None: it is no block, or was damaged."""
    if body[:1] != BLOCK:
        return None
    try:
        if not 0 < zstandard.frame_content_size(body[1:]) <= LARGEST:
            return None
        return _DECODE(_PACKERS.unpack.decompress(body[1:], max_output_size=LARGEST)) or None
    except (msgspec.MsgspecError, zstandard.ZstdError):
        return None


def entries(row: Entered, subjects: Sequence[int] = ()) -> list[Entered]:
    """The entries of a row that are of all these subjects, in their order. A row that is no block
    is one entry, which is found by its rows of audit_subject alone."""
    held = parts(row.body)
    if held is None:
        return [row]
    first = row.number - len(held) + 1
    wanted = set(subjects)
    return [
        row._replace(number=number, body=body)
        for number, (of, body) in enumerate(held, start=first)
        if wanted.issubset(of)
    ]


def count(row: Entered) -> int:
    """How many entries a row holds."""
    held = parts(row.body)
    return 1 if held is None else len(held)
