"""escape — the signs that part a search value, and how a value says them without meaning them.

https://hl7.org/fhir/R4/search.html#escaping
"""

from __future__ import annotations

import re

# R4 search#escaping:  \\, \\| \\$ \\\\ ; before anything else a backslash is itself
ESCAPED = re.compile(r"\\([,|$\\])")


def split(text: str, separator: str) -> list[str]:
    """The parts between separators that are not escaped; the parts are still escaped."""
    if "\\" not in text:
        return text.split(separator)
    parts, start, at = [], 0, 0
    while at < len(text):
        if text[at] == "\\":
            at += 2
            continue
        if text[at] == separator:
            parts.append(text[start:at])
            start = at + 1
        at += 1
    parts.append(text[start:])
    return parts


def unescape(text: str) -> str:
    return ESCAPED.sub(r"\1", text) if "\\" in text else text
