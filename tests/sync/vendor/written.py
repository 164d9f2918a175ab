"""written — JSON with its numbers as they were written, and the name of a version.

docs/sync.md, "Versions".
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any


class Number(str):
    """A number, letter by letter: `1.50` is not `1.5`."""

    __slots__ = ()


def read(text: str | bytes) -> Any:
    return json.loads(text, parse_float=Number, parse_int=Number)


def write(value: Any) -> str:
    """No spaces, names sorted by code point, no escapes but those JSON demands."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        told = (f"{_text(name)}:{write(value[name])}" for name in sorted(value))
        return "{" + ",".join(told) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(write(one) for one in value) + "]"
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def bare(resource: dict[str, Any] | None) -> dict[str, Any] | None:
    """Without `meta.versionId` and `meta.lastUpdated`, which are the server's and no content."""
    if resource is None or "meta" not in resource:
        return resource
    meta = {k: v for k, v in resource["meta"].items() if k not in ("versionId", "lastUpdated")}
    kept = {name: value for name, value in resource.items() if name != "meta"}
    return kept | ({"meta": meta} if meta else {})


def name(type: str, id: str, parents: tuple[str, ...], resource: dict[str, Any] | None) -> str:
    """What `meta.versionId` is on every server."""
    told = {
        "type": type, "id": id, "parents": sorted(parents),
        "deleted": resource is None, "resource": bare(resource),
    }  # fmt: skip
    digest = hashlib.sha256(write(told).encode()).digest()[:16]
    generation = 1 + max((generation_of(one) for one in parents), default=0)
    return f"{generation}-{base64.b32encode(digest).decode().lower().rstrip('=')}"


def generation_of(version: str) -> int:
    return int(version.partition("-")[0])
