"""r4 — what R4 says of its own invariants beside their expressions, and the few it says wrongly.

https://hl7.org/fhir/R4/conformance-rules.html#constraints
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from fhir_server.conformance.definitions import Definitions

FILE = Path(__file__).with_name("r4.toml")

# What the structure's own check knows by heart, and tells under the same key.
STRUCTURAL = frozenset(
    {"ele-1", "ext-1", "ref-1", "dom-2", "dom-3", "dom-4", "dom-5", "txt-1", "txt-2"}
)


class Said(NamedTuple):
    """What r4.toml says of an invariant."""

    human: str
    vi: str | None = None
    best_practice: bool = False
    expression: str | None = None  # in the place of R4's
    why: str | None = None


@cache
def said() -> dict[str, Said]:
    """Everything of r4.toml, by key, or by path and key where the key is that of several."""
    entries = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return {key: Said(**entry) for key, entry in entries.items()}


def keys(definitions: Definitions, path: str) -> tuple[str, ...]:
    """The invariants R4 gives to an element (the first of a type is the type itself)."""
    try:
        elements = definitions.type(path.partition(".")[0]).elements
    except KeyError:
        return ()
    found = next((e.constraints for e in elements if e.path == path), ())
    return tuple(key for key in found if key not in STRUCTURAL)


def constraint(definitions: Definitions, path: str, key: str) -> dict[str, str]:
    """An invariant of an element as an ElementDefinition.constraint."""
    severity, expression = definitions.constraints[key][:2]
    here = about(path, key)
    return {
        "key": key,
        "severity": severity,
        "human": here.human,
        "expression": here.expression or expression,
    }


def about(path: str, key: str) -> Said:
    return said().get(f"{path}#{key}") or said()[key]
