"""tidy — the lines of a function without what they do in vain.

http://hl7.org/fhirpath/N1
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

NAME = re.compile(r"\bx[0-9]+\b")
BESIDE = re.compile(r"( *)(x[0-9]+) = ([a-z0-9.]+\.get\('_\w+'\))")


def tidy(lines: Sequence[str]) -> list[str]:
    """The same function. What stands beside a primitive is most often only asked for where there
    is no value; and `pass` only where a block is empty."""
    used = Counter(name for line in lines for name in NAME.findall(line))
    found: list[str] = []
    waiting: tuple[str, str] | None = None
    for line, after in zip(lines, [*lines, ""][1:], strict=True):
        if waiting is not None:
            found.append(line.replace(*waiting))
            waiting = None
            continue
        if (met := BESIDE.fullmatch(line)) and used[met[2]] == 2:
            depth, name, there = met.groups()
            if after.startswith(f"{depth}if ") and after.endswith(f" or {name} is not None:"):
                waiting = f" or {name} is not None:", f" or {there} is not None:"
                continue
        if line.strip() != "pass" or _depth(after) < _depth(line):
            found.append(line)
    return found


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
