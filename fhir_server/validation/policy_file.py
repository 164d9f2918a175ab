"""policy_file — `policy.toml` read, and what is wrong in it told by its line.

https://hl7.org/fhir/R4/profiling.html

A server that starts with a policy it half understood would refuse what it should not, or the other
way round: so it does not start, and says which line to mend.
"""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

NEW_LINE = "\n"
MODES = ("enforce", "warn", "off")
ONE_OF = "one of `enforce`, `warn` and `off`"


class BadPolicy(ValueError):
    """The policy cannot be read: which file, which line, what is wanted there."""


class Wanted(NamedTuple):
    """What a key must be."""

    holds: Callable[[Any], bool]
    words: str
    needed: bool = False


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
TABLES: Mapping[str, Mapping[str, Wanted]] = {"claims": CLAIMS, "rule": RULE, "facility": FACILITY}


class _Place(NamedTuple):
    """Where a complaint belongs: the n-th table of a name, and a key in it."""

    table: str
    nth: int
    key: str | None = None

    def line(self, text: str) -> int:
        head = re.compile(rf"\s*\[\[?\s*{re.escape(self.table)}\s*\]\]?\s*(#.*)?$")
        seen, found = -1, 1
        for number, line in enumerate(text.splitlines(), 1):
            if head.match(line):
                seen, found = seen + 1, number if seen + 1 == self.nth else found
            elif seen == self.nth and self.key is not None:
                if line.lstrip().startswith("["):
                    break
                if re.match(rf"\s*[\"']?{re.escape(self.key)}[\"']?\s*[.=]", line):
                    return number
        return found


def read(path: Path) -> dict[str, Any]:
    """`claims` (a mode), `rule` and `facility` (lists of tables). Raises BadPolicy."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as wrong:
        raise BadPolicy(f"`{path}` cannot be read as UTF-8 text: {wrong}.") from wrong
    try:
        told = tomllib.loads(text)
    except tomllib.TOMLDecodeError as wrong:
        said = str(wrong).replace("end of document", f"line {text.count(NEW_LINE) + 1}, its last")
        raise BadPolicy(f"`{path}` is not TOML: {said}. See profiles/README.md.") from wrong
    for name in told:
        if name not in TABLES:
            wanted = "`[claims]`, `[[rule]]` and `[[facility]]`"
            _complain(path, text, _Place(name, 0), f"`{name}` is unknown; there are {wanted}.")
    claims = _table(path, text, "claims", 0, told.get("claims", {}))
    found: dict[str, Any] = {"claims": claims.get("mode", "enforce")}
    for name in ("rule", "facility"):
        rows = told.get(name, [])
        if not isinstance(rows, list):
            _complain(path, text, _Place(name, 0), f"write `[[{name}]]`, with two brackets.")
        found[name] = [_table(path, text, name, at, row) for at, row in enumerate(rows)]
    return found


def _table(path: Path, text: str, name: str, index: int, row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        _complain(path, text, _Place(name, index), f"`{name}` is a table, as `[{name}]`.")
    told: dict[str, Any] = row
    wanted = TABLES[name]
    for key, value in told.items():
        at = _Place(name, index, key)
        if key not in wanted:
            known = ", ".join(f"`{each}`" for each in wanted)
            _complain(path, text, at, f"`{key}` is unknown here; there are {known}.")
        if not wanted[key].holds(value):
            _complain(path, text, at, f"`{key}` is `{value}`; it is {wanted[key].words}.")
    for key, want in wanted.items():
        if want.needed and key not in told:
            _complain(path, text, _Place(name, index), f"`{key}` is missing: {want.words}.")
    if "before" in told and "from" not in told:
        at = _Place(name, index, "before")
        _complain(path, text, at, f"`before` says what holds until `from`; add `from`, {DAY}.")
    return told


def _complain(path: Path, text: str, place: _Place, said: str) -> NoReturn:
    raise BadPolicy(f"`{path}`, line {place.line(text)}: {said}")
