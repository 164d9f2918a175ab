"""compression — bodies made smaller on the way, and a bound on how large they may become again.

https://hl7.org/fhir/R4/http.html#compression
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Generator, Iterator
from functools import lru_cache

import zstandard

from fhir_server.foundation.outcome import Invalid, TooLarge, UnsupportedMedia
from fhir_server.rest.formats import media, quality
from fhir_server.sync import wire

CHUNK = 256 * 1024
SLICE = 64 * 1024
MEMBERS = 16  # of one gzip body: each costs a copy of all that follows
WINDOW = 8 * 1024 * 1024  # RFC 8878 3.1.1.1.2 wants decoders to take 8 MB, and advises no more
SMALL = 1024 * 1024  # the ratio is judged only above this: a short text may well shrink 300 times


def _gzip(body: bytes) -> Iterator[bytes]:
    """The chunks of a gzip body, all of its members (RFC 1952 2.2)."""
    for _ in range(MEMBERS):
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        body = yield from _inflate(member, body)
        if not body:
            return
    raise EOFError


def _deflate(body: bytes) -> Iterator[bytes]:
    # RFC 9110 8.4.1.2: the zlib format is meant, but some senders leave its wrapper out.
    wrapped = len(body) > 1 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
    yield from _inflate(zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS), body)


def _inflate(stream: zlib._Decompress, body: bytes) -> Generator[bytes, None, bytes]:
    """The chunks of one zlib stream; gives back what comes after it."""
    for start in range(0, len(body), SLICE):  # in slices, because each unread tail is copied
        piece = body[start : start + SLICE]
        while True:
            chunk = stream.decompress(piece, CHUNK)
            piece = stream.unconsumed_tail
            if chunk:
                yield chunk
            if stream.eof:
                return stream.unused_data + body[start + SLICE :]
            if not piece and len(chunk) < CHUNK:
                break
    raise EOFError


def _zstd(body: bytes) -> Iterator[bytes]:
    # A cut-off end goes unnoticed here, but not by the parser that reads what came out.
    reader = zstandard.ZstdDecompressor(max_window_size=WINDOW).stream_reader(
        io.BytesIO(body), read_across_frames=True
    )
    while chunk := reader.read(CHUNK):
        yield chunk


CODINGS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "zstd": _zstd,
    wire.CODING: wire.chunks,
}


SPOKEN = "gzip, deflate, zstd"


def decompressed(coding: str, body: bytes, *, bound: int, ratio: int) -> bytes:
    """The body as it was before it was compressed. Raises TooLarge before the bound is passed."""
    chunks = CODINGS.get(coding)
    if chunks is None:
        raise UnsupportedMedia(
            f"`Content-Encoding: {coding[:40]}` is not spoken here. Send `gzip`, `deflate`,"
            " `zstd`, or the body as it is.",
            headers={"Accept-Encoding": SPOKEN},
        )
    whole = bytearray()
    try:
        for chunk in chunks(body):
            whole += chunk
            if len(whole) > bound:
                raise TooLarge(
                    f"Decompressed, the body is larger than the {bound} bytes of"
                    " `max_decompressed`. Send it in parts."
                )
            if len(whole) > SMALL and len(whole) > ratio * len(body):
                raise TooLarge(
                    f"Decompressed, the body is more than {ratio} times (`max_ratio`) as large as"
                    " it was sent. Send it without compression."
                )
    except wire.UnknownDictionary:
        raise UnsupportedMedia(
            "The dictionary the body was compressed with is not known here. Send plain `zstd`.",
            headers={"Accept-Encoding": SPOKEN},
        ) from None
    except (zlib.error, zstandard.ZstdError, EOFError):
        raise Invalid(
            f"The body is not whole `{coding}` data, as `Content-Encoding` says it is."
        ) from None
    return bytes(whole)


# --- answers -------------------------------------------------------------------------------------


def _to_gzip(body: bytes) -> bytes:
    return gzip.compress(body, compresslevel=4, mtime=0)


def _to_zstd(body: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=3).compress(body)


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    wire.CODING: wire.packed,
    "zstd": _to_zstd,
    "gzip": _to_gzip,
}


@lru_cache(maxsize=256)
def chosen(accept_encoding: bytes, available: bytes | None = None) -> str | None:
    """The coding the client likes best of those we speak; None: send it as it is.

    available: the dictionary it has (RFC 9842); another than ours is of no use."""
    weights = {}
    for part in accept_encoding[:1024].decode("latin-1").lower().split(","):
        name, parameters = media(part.strip())
        weights[name] = quality(parameters.get("q", "1"))
    rest = weights.get("*", 0.0)
    ranked = [
        (weights.get(name, weights.get(f"x-{name}", rest)), name)
        for name in COMPRESS
        if name != wire.CODING or (name in weights and _is_ours(available))
    ]
    weight, name = max(ranked, key=lambda pair: pair[0])
    return name if weight > 0 and weight >= weights.get("identity", 0.0) else None


def _is_ours(available: bytes | None) -> bool:
    return available is not None and available.strip() == wire.newest().available.encode()
