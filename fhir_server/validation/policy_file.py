"""policy_file — `policy.toml` read, and what is wrong in it told by its line.

https://hl7.org/fhir/R4/profiling.html

A server that starts with a policy it half understood would refuse what it should not, or the other
way round: so it does not start, and says which line to mend.
"""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

from fhir_server.foundation.toml_rows import BadFile, Table, Wanted, of_path

MODES = ("enforce", "warn", "off")
ONE_OF = "one of `enforce`, `warn` and `off`"

BadPolicy = BadFile  # the policy cannot be read: which file, which line, what is wanted there


def _is_mode(value: Any) -> bool:
    return value in MODES


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_text, value))


def _is_url(value: Any) -> bool:
    return _is_text(value) and re.fullmatch(r"[a-z]+:\S+", value) is not None


def _is_type(value: Any) -> bool:
    return _is_text(value) and re.fullmatch("[A-Z][A-Za-z]+", value) is not None


def _is_day(value: Any) -> bool:
    return isinstance(value, dt.date) and not isinstance(value, dt.datetime)


def _is_code(value: Any) -> bool:
    return _is_text(value) and re.fullmatch("[0-9A-Z]{5}", value) is not None


def _is_coded(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"element", "system", "codes"}
        and _is_text(value["element"])
        and _is_url(value["system"])
        and _is_texts(value["codes"])
    )


CODED = 'a table as `{ element = "type", system = "http://...", codes = ["dept"] }`'
DAY = "a day without quotation marks, as `2027-01-01`"
CLAIMS = {"mode": Wanted(_is_mode, ONE_OF)}
RULE = {
    "type": Wanted(_is_type, 'a type of R4, as `"Patient"`', needed=True),
    "profile": Wanted(_is_url, "the URL of a profile", needed=True),
    "mode": Wanted(_is_mode, ONE_OF),
    "from": Wanted(_is_day, DAY),
    "before": Wanted(_is_mode, ONE_OF),
    "only": Wanted(_is_coded, CODED),
    "unless": Wanted(_is_coded, CODED),
}
FACILITY = {
    "code": Wanted(_is_code, 'the 5-character code of a facility, as `"92001"`', needed=True),
    "mode": Wanted(_is_mode, ONE_OF, needed=True),
    "types": Wanted(_is_texts, 'a list of types, as `["Encounter"]`'),
    "until": Wanted(_is_day, DAY),
    "organizations": Wanted(_is_texts, 'a list of references, as `["Organization/1"]`'),
    "name": Wanted(_is_text, "a text for people"),
}
TABLES = {
    "claims": Table(CLAIMS, many=False),
    "rule": Table(RULE),
    "facility": Table(FACILITY),
}


def read(path: Path) -> dict[str, Any]:
    """`claims` (a mode), `rule` and `facility` (lists of tables). Raises BadPolicy."""
    told = of_path(path, TABLES, see="profiles/README.md")
    for row in told["rule"]:
        if row.get("before") and not row.get("from"):
            row.complain(f"`before` says what holds until `from`; add `from`, {DAY}.", "before")
    modes = [row.get("mode") for row in told["claims"]]
    return {
        "claims": (modes or [None])[0] or "enforce",
        "rule": told["rule"],
        "facility": told["facility"],
    }
