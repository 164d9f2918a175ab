"""closest — what somebody may have meant who wrote a name that is not there.

https://hl7.org/fhir/R4/search.html#errors
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

SHOWN = 60  # names told at once


def closest(name: str, known: Sequence[str]) -> str:
    """` Did you mean ...?`, or nothing."""
    near = get_close_matches(name[:64], known, n=1, cutoff=0.7)
    return f" Did you mean `{near[0]}`?" if near else ""


def some(names: Sequence[str]) -> str:
    """The names in backticks; of very many the first."""
    shown = ", ".join(f"`{name}`" for name in names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown
