"""bundle — searchset, history and response Bundles, put together from bytes that are ready.

https://hl7.org/fhir/R4/bundle.html

Stored resources are bytes; a Bundle is those bytes with a little JSON between them, so a page of
fifty resources is never parsed on its way out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

import orjson

from fhir_server.foundation.resource import Resource


class Entry(NamedTuple):
    """One Bundle.entry; every member but `full_url` and `resource` is a small dict or None."""

    full_url: str | None = None
    resource: bytes | None = None
    search: Resource | None = None
    request: Resource | None = None
    response: Resource | None = None

    def rendered(self) -> bytes:
        parts: list[bytes] = []
        if self.full_url:
            parts.append(b'"fullUrl":' + orjson.dumps(self.full_url))
        if self.resource is not None:
            parts.append(b'"resource":' + self.resource)
        for name, value in (
            (b"search", self.search),
            (b"request", self.request),
            (b"response", self.response),
        ):
            if value is not None:
                parts.append(b'"' + name + b'":' + orjson.dumps(value))
        return b"{" + b",".join(parts) + b"}"


def rendered(
    type: str,
    entries: Sequence[Entry],
    *,
    id: str | None = None,
    timestamp: str | None = None,
    total: int | None = None,
    links: Sequence[tuple[str, str]] = (),
) -> bytes:
    """A Bundle as JSON bytes. FHIR has no empty arrays, so what is empty is left out."""
    parts = [b'{"resourceType":"Bundle"']
    if id:
        parts.append(b',"id":' + orjson.dumps(id))
    if timestamp:
        parts.append(b',"meta":{"lastUpdated":' + orjson.dumps(timestamp) + b"}")
    parts.append(b',"type":' + orjson.dumps(type))
    if total is not None:
        parts.append(b',"total":%d' % total)
    if links:
        told = [{"relation": relation, "url": url} for relation, url in links]
        parts.append(b',"link":' + orjson.dumps(told))
    if entries:
        parts.append(b',"entry":[')
        parts.append(b",".join([entry.rendered() for entry in entries]))
        parts.append(b"]")
    parts.append(b"}")
    return b"".join(parts)


def instant(milliseconds: int) -> str:
    """An instant in UTC, to the millisecond: `2026-11-22T07:00:00.000Z`."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def status_line(status: int) -> str:
    """What Bundle.entry.response.status holds: `201 Created`."""
    return f"{status} {HTTPStatus(status).phrase}"
