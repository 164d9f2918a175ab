"""prefix — eq, ne, gt, lt, ge, le, sa, eb, ap: how a value stands to the one that is asked for.

https://hl7.org/fhir/R4/search.html#prefix
"""

from __future__ import annotations

import re

from fhir_server.foundation.outcome import Invalid

PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")

# R4 search#prefix: where there is none, eq is meant
LEADING = re.compile(r"([A-Za-z]+)(?=.)")


def taken(text: str, code: str) -> tuple[str, str]:
    """The prefix and what follows it."""
    found = LEADING.match(text)
    if found is None:
        return "eq", text
    prefix = found[1]
    if prefix not in PREFIXES:
        raise Invalid(
            f"`{code}` is given `{text[:80]}`, and `{prefix[:20]}` is no prefix. "
            f"Prefixes are {', '.join(f'`{one}`' for one in PREFIXES)}; a number or a date follows."
        )
    return prefix, text[found.end() :]
