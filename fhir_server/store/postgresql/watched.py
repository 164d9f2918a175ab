"""watched — a statement of PostgreSQL that somebody watches: its plan, and what it took.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from fhir_server.store.contract.watch import Statement, types_of

EXPLAIN = "explain (analyze, format json, timing off) "


def statement(
    text: str, values: Sequence[Any], plan: Any, returned: int, milliseconds: float
) -> Statement:
    """plan: what EXPLAIN answered."""
    told = json.loads(plan) if isinstance(plan, (str, bytes)) else plan
    nodes = list(_nodes(told[0]["Plan"]))
    read = sum(map(_read, nodes))
    uses = tuple(dict.fromkeys(use for node in nodes if (use := _use(node))))
    return Statement(
        " ".join(text.split()), types_of(values), milliseconds, returned, read, None, uses
    )


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for inner in node.get("Plans", ()):
        yield from _nodes(inner)


def _read(node: dict[str, Any]) -> int:
    """Rows a scan of a table looked at, those it threw away among them, in all its runs."""
    if "Relation Name" not in node:
        return 0
    removed = (node.get(f"Rows Removed by {why}", 0) for why in ("Filter", "Index Recheck"))
    looked_at: float = node["Actual Rows"] + sum(removed)
    return round(looked_at * int(node["Actual Loops"]))


def _use(node: dict[str, Any]) -> str | None:
    kind, table, index = (node.get(k) for k in ("Node Type", "Relation Name", "Index Name"))
    if table is None and index is None:
        return "Sort" if kind == "Sort" else None
    told = f"{kind} of {table}" if table else str(kind)
    return f"{told} by {index}" if index else told
