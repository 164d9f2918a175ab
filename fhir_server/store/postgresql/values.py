"""values — arrays as PostgreSQL's binary protocol wants them, packed in one go.

https://hl7.org/fhir/R4/http.html#transaction

A write sends its rows as columns, each one array. An empty array keeps its type, so that the same
text is the same prepared statement.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from psycopg import AsyncConnection, Connection
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format
from psycopg.types.numeric import Int8BinaryDumper

from fhir_server.store.dialect import Bigints

INT8, FLOAT8, TEXT, BYTEA = 20, 701, 25, 17  # pg_type.oid
ARRAY_OF = {INT8: 1016, FLOAT8: 1022, TEXT: 1009, BYTEA: 1001}
NULL = struct.pack(">i", -1)
HEADER = struct.Struct(">iiIii")  # dimensions, has nulls, element type, length, lower bound


class Doubles(tuple[float, ...]):
    """Floating-point numbers bound as one array."""

    __slots__ = ()


class Texts(tuple[str, ...]):
    """Texts bound as one array."""

    __slots__ = ()


class Bodies(tuple[bytes | None, ...]):
    """Bytes, or nothing, bound as one array."""

    __slots__ = ()


@lru_cache(maxsize=512)
def _numbers(letter: str, length: int) -> struct.Struct:
    return struct.Struct(">" + f"i{letter}" * length)


def _header(element: int, length: int, *, nulls: bool = False) -> bytes:
    if not length:
        return struct.pack(">iiI", 0, 0, element)
    return HEADER.pack(1, nulls, element, length, 1)


def _with_lengths(numbers: Iterable[float]) -> list[float]:
    flat: list[float] = []
    for number in numbers:
        flat += (8, number)
    return flat


def _sized(values: Iterable[bytes | None]) -> bytes:
    return b"".join(NULL if value is None else len(value).to_bytes(4) + value for value in values)


class BigintsDumper(Dumper):
    format = Format.BINARY
    oid = ARRAY_OF[INT8]

    def dump(self, obj: Any) -> Buffer:
        return _header(INT8, len(obj)) + _numbers("q", len(obj)).pack(*_with_lengths(obj))


class DoublesDumper(Dumper):
    format = Format.BINARY
    oid = ARRAY_OF[FLOAT8]

    def dump(self, obj: Any) -> Buffer:
        return _header(FLOAT8, len(obj)) + _numbers("d", len(obj)).pack(*_with_lengths(obj))


class TextsDumper(Dumper):
    format = Format.BINARY
    oid = ARRAY_OF[TEXT]

    def dump(self, obj: Any) -> Buffer:
        return _header(TEXT, len(obj)) + _sized(text.encode() for text in obj)


class BodiesDumper(Dumper):
    format = Format.BINARY
    oid = ARRAY_OF[BYTEA]

    def dump(self, obj: Any) -> Buffer:
        return _header(BYTEA, len(obj), nulls=None in obj) + _sized(obj)


def teach(connection: AsyncConnection[Any] | Connection[Any]) -> None:
    """Tell a connection of these arrays, and to bind every whole number alike."""
    adapters = connection.adapters
    adapters.register_dumper(int, Int8BinaryDumper)
    for type, dumper in (
        (Bigints, BigintsDumper),
        (Doubles, DoublesDumper),
        (Texts, TextsDumper),
        (Bodies, BodiesDumper),
    ):
        adapters.register_dumper(type, dumper)
