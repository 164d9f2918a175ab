"""prefixes — what is stored against all prefixes, as cases: resource, question, found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
Case = tuple[dict[str, Any], str, bool]


def cases(code: str, asked: str, rows: Iterable[tuple[dict[str, Any], str]]) -> Iterator[Case]:
    """Each row: a resource, and the prefixes before `asked` that find it."""
    for resource, found in rows:
        for prefix in PREFIXES:
            yield resource, f"{code}={prefix}{asked}", prefix in found.split()
        yield resource, f"{code}={asked}", "eq" in found.split()
