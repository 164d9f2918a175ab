"""https://hl7.org/fhir/R4/http.html#compression"""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
import zstandard

from fhir_server.foundation.outcome import Invalid, TooLarge, UnsupportedMedia
from fhir_server.rest import compression
from fhir_server.sync import wire

TEXT = b'{"resourceType":"Patient","id":"1"}' * 5000
BOUNDS = {"bound": 1_000_000, "ratio": 1000}


def raw_deflate(body):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


PACKED = [
    ("gzip", gzip.compress(TEXT)),
    ("gzip", gzip.compress(TEXT, 0)),
    ("x-gzip", gzip.compress(TEXT)),
    ("gzip", gzip.compress(TEXT[:1000]) + gzip.compress(TEXT[1000:])),
    ("deflate", zlib.compress(TEXT)),
    ("deflate", raw_deflate(TEXT)),
    ("zstd", zstandard.compress(TEXT)),
    ("zstd", zstandard.ZstdCompressor(write_content_size=False).compress(TEXT)),
    ("zstd", zstandard.compress(TEXT[:1000]) + zstandard.compress(TEXT[1000:])),
    ("dcz", wire.packed(TEXT)),
    ("dcz", wire.packed(TEXT, wire.SMALL)),
]


@pytest.mark.parametrize(("coding", "body"), PACKED)
def test_what_was_packed_is_unpacked(coding, body):
    assert compression.decompressed(coding, body, **BOUNDS) == TEXT


BROKEN = [
    ("gzip", b"not gzip"),
    ("gzip", gzip.compress(TEXT)[:-9]),
    ("gzip", gzip.compress(TEXT)[:-4] + b"\0\0\0\0"),
    ("gzip", gzip.compress(TEXT) + b"more"),
    ("gzip", gzip.compress(b"") * 17),
    ("deflate", zlib.compress(TEXT)[:50]),
    ("deflate", b"\xff\xff\xff"),
    ("zstd", b"not zstd"),
    ("zstd", zstandard.compress(TEXT)[:4] + b"\xff" * 20),
    ("dcz", zstandard.compress(TEXT)),
    ("dcz", wire.packed(TEXT)[:39]),
    ("dcz", wire.packed(TEXT)[:44] + b"\xff" * 20),
]


@pytest.mark.parametrize(("coding", "body"), BROKEN)
def test_what_is_not_whole_is_refused(coding, body):
    with pytest.raises(Invalid, match="Content-Encoding"):
        compression.decompressed(coding, body, **BOUNDS)


@pytest.mark.parametrize("coding", ["br", "compress", "gzip, gzip", "identity, gzip", ""])
def test_a_coding_that_is_not_spoken_is_refused_with_those_that_are(coding):
    with pytest.raises(UnsupportedMedia, match="zstd") as refusal:
        compression.decompressed(coding, b"", **BOUNDS)
    assert refusal.value.headers == {"Accept-Encoding": "gzip, deflate, zstd"}


BOMB = b"\0" * 200_000_000
BOMBS = [
    ("gzip", gzip.compress(BOMB)),
    ("deflate", zlib.compress(BOMB)),
    ("zstd", zstandard.compress(BOMB)),
    ("zstd", zstandard.ZstdCompressor(write_content_size=False).compress(BOMB)),
]
del BOMB


@pytest.mark.parametrize(("coding", "body"), BOMBS)
def test_a_bomb_is_refused_before_it_goes_off(coding, body):
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match="max_"):
            compression.decompressed(coding, body, bound=8_000_000, ratio=10**9)
        with pytest.raises(TooLarge, match="max_ratio"):
            compression.decompressed(coding, body, bound=10**9, ratio=50)
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()


CHOSEN = [
    (b"gzip", "gzip"),
    (b"zstd", "zstd"),
    (b"gzip, deflate, br, zstd", "zstd"),
    (b"gzip;q=1.0, zstd;q=0.5", "gzip"),
    (b"x-gzip", "gzip"),
    (b"*", "zstd"),
    (b"*;q=0.5, zstd;q=0", "gzip"),
    (b"identity", None),
    (b"identity;q=1, gzip;q=0.5", None),
    (b"br", None),
    (b"gzip;q=0", None),
    (b"gzip;q=x", None),
    (b"", None),
]


@pytest.mark.parametrize(("accepted", "coding"), CHOSEN)
def test_the_coding_the_client_likes_best_is_taken(accepted, coding):
    assert compression.chosen(accepted) == coding


def test_what_is_sent_packed_can_be_unpacked():
    assert gzip.decompress(compression.COMPRESS["gzip"](TEXT)) == TEXT
    assert zstandard.decompress(compression.COMPRESS["zstd"](TEXT)) == TEXT


def test_what_was_packed_with_a_dictionary_nobody_has_is_asked_for_without():
    packed = wire.packed(TEXT)
    other = packed[:8] + b"\0" * 32 + packed[40:]
    with pytest.raises(UnsupportedMedia, match="dictionary") as refused:
        compression.decompressed("dcz", other, **BOUNDS)
    assert "zstd" in refused.value.headers["Accept-Encoding"]


OURS = wire.newest().available.encode()
OTHERS = b":" + b"A" * 43 + b"=:"


@pytest.mark.parametrize(
    ("accepted", "available", "coding"),
    [
        (b"dcz, zstd", OURS, "dcz"),
        (b"dcz, zstd", OTHERS, "zstd"),
        (b"dcz, zstd", None, "zstd"),
        (b"dcz", OTHERS, None),
        (b"zstd, *", OURS, "zstd"),
        (b"dcz;q=0, gzip", OURS, "gzip"),
    ],
)
def test_a_dictionary_is_used_where_the_client_has_it(accepted, available, coding):
    assert compression.chosen(accepted, available) == coding
