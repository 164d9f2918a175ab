"""packets — what is read of an IPv4 packet with TCP in it, and the reset that answers one.

RFC 791, RFC 9293
"""

from __future__ import annotations

import struct
from typing import NamedTuple

TCP = 6
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10

# A connection, the same from both ends.
Flow = frozenset[tuple[bytes, int]]


class Segment(NamedTuple):
    """of: address and port; seq, ack: numbers of bytes; size: of what it carries."""

    of: tuple[bytes, int]
    to: tuple[bytes, int]
    seq: int
    ack: int
    flags: int
    size: int

    @property
    def says(self) -> bool:
        """More than that something has arrived."""
        return bool(self.size or self.flags & (SYN | FIN))

    @property
    def flow(self) -> Flow:
        return frozenset((self.of, self.to))


def segment(packet: bytes) -> Segment | None:
    """None: something else than TCP over IPv4."""
    if len(packet) < 40 or packet[0] >> 4 != 4 or packet[9] != TCP:
        return None
    begins = (packet[0] & 15) * 4
    of, to, seq, ack, offset, flags = struct.unpack_from("!HHIIBB", packet, begins)
    size = len(packet) - begins - (offset >> 4) * 4
    return Segment((packet[12:16], of), (packet[16:20], to), seq, ack, flags, size)


def resets(of: Segment) -> tuple[bytes, bytes]:
    """As if each end had ended the connection: what its sender is told, and what the other is."""
    follows = (of.seq + of.size + bool(of.flags & (SYN | FIN))) % 2**32
    to_sender = _reset(of.to, of.of, of.ack if of.flags & ACK else 0, follows)
    return to_sender, _reset(of.of, of.to, of.seq, of.ack)


def _reset(of: tuple[bytes, int], to: tuple[bytes, int], seq: int, ack: int) -> bytes:
    def written(checksum: int) -> bytes:
        return struct.pack("!HHIIBBHHH", of[1], to[1], seq, ack, 5 << 4, RST | ACK, 0, checksum, 0)

    around = of[0] + to[0] + struct.pack("!BBH", 0, TCP, 20)
    body = written(_checksum(around + written(0)))
    head = struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0, 64, TCP, 0) + of[0] + to[0]
    return head[:10] + struct.pack("!H", _checksum(head)) + head[12:] + body


def _checksum(text: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(text) // 2}H", text))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
