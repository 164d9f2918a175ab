"""toml_rows — tables of a TOML file, read row by row; what is wrong in it is told by its line.

https://hl7.org/fhir/R4/security.html

For the files by which a server is told what to let through: one that is half understood would
refuse what it should not, or the other way round. So the server does not start, and says which
line to mend.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, NoReturn


class BadFile(ValueError):
    """The file cannot be read: which file, which line, what is wanted there."""


class Wanted(NamedTuple):
    """What a key must be: what holds of its value, and the same in words."""

    holds: Callable[[Any], bool]
    words: str
    needed: bool = False


class Table(NamedTuple):
    """What the rows of a table have: `[name]` once, or `[[name]]` many times."""

    keys: Mapping[str, Wanted]
    many: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """One table of the file, and where it stands."""

    file: str
    text: str = field(repr=False)
    table: str
    nth: int
    values: Mapping[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def complain(self, said: str, key: str | None = None) -> NoReturn:
        """Raises BadFile with the line of the key, or of the table's head."""
        raise BadFile(f"`{self.file}`, line {self._line(key)}: {said}")

    def _line(self, key: str | None) -> int:
        head = re.compile(rf"\s*\[\[?\s*{re.escape(self.table)}\s*\]\]?\s*(#.*)?$")
        seen, found = -1, 1
        for number, line in enumerate(self.text.splitlines(), 1):
            if head.match(line):
                seen, found = seen + 1, number if seen + 1 == self.nth else found
            elif seen == self.nth and key is not None:
                if line.lstrip().startswith("["):
                    break
                if re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[.=]", line):
                    return number
        return found


def read(
    file: str, text: str, tables: Mapping[str, Table], *, see: str = ""
) -> dict[str, list[Row]]:
    """The rows of each table, in the order of the file. see: what explains it. Raises BadFile."""
    try:
        told = tomllib.loads(text)
    except tomllib.TOMLDecodeError as wrong:
        last = text.count("\n") + 1
        said = str(wrong).replace("end of document", f"line {last}, its last")
        raise BadFile(f"`{file}` is not TOML: {said}.{f' See {see}.' if see else ''}") from wrong
    for name in told:
        if name not in tables:
            *most, last_one = (_written(each, table) for each, table in tables.items())
            known = f"{', '.join(most)} and {last_one}" if most else last_one
            Row(file, text, name, 0, {}).complain(f"`{name}` is unknown; there are {known}.")
    return {
        name: [
            _checked(Row(file, text, name, nth, row), table)
            for nth, row in enumerate(_rows(file, text, name, table, told))
        ]
        for name, table in tables.items()
    }


def of_path(path: Path, tables: Mapping[str, Table], *, see: str = "") -> dict[str, list[Row]]:
    """The same of a file. Raises BadFile."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as wrong:
        raise BadFile(f"`{path}` cannot be read as UTF-8 text: {wrong}.") from wrong
    return read(str(path), text, tables, see=see)


def _written(name: str, table: Table) -> str:
    return f"`[[{name}]]`" if table.many else f"`[{name}]`"


def _rows(
    file: str, text: str, name: str, table: Table, told: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    if name not in told:
        return []
    rows = told[name] if table.many else [told[name]]
    if not isinstance(rows, list):
        Row(file, text, name, 0, {}).complain(f"write `[[{name}]]`, with two brackets.")
    for nth, row in enumerate(rows):
        if not isinstance(row, dict):
            said = f"`{name}` is a table, as {_written(name, table)}."
            Row(file, text, name, nth, {}).complain(said)
    return rows


def _checked(row: Row, table: Table) -> Row:
    for key, value in row.values.items():
        if key not in table.keys:
            known = ", ".join(f"`{each}`" for each in table.keys)
            row.complain(f"`{key}` is unknown here; there are {known}.", key)
        if not table.keys[key].holds(value):
            row.complain(f"`{key}` is `{value}`; it is {table.keys[key].words}.", key)
    for key, wanted in table.keys.items():
        if wanted.needed and key not in row.values:
            row.complain(f"`{key}` is missing: {wanted.words}.")
    return row
