"""policy_file — `access.toml` read into a Policy, and what is wrong in it told by its line.

https://hl7.org/fhir/R4/security.html#authorization%2Faccess-control
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fhir_server.conformance.definitions import load
from fhir_server.foundation.toml_rows import BadFile, Row, Table, Wanted, of_path, read
from fhir_server.security import purpose
from fhir_server.security.policy import (
    ABILITIES,
    ALL,
    BASES,
    EVERY_TYPE,
    FACTS,
    SMALLEST,
    TRANSFORMATIONS,
    UNNAMED,
    BreakGlass,
    Policy,
    Purpose,
    Role,
    Rule,
)
from fhir_server.security.scope import LETTERS

__all__ = ["BUILT_IN", "BadFile", "built_in", "of_file", "of_text"]

BUILT_IN = Path(__file__).with_name("access.toml")
DIRECTORY = "directory"  # the group a `patient/` scope reaches too
SEE = "`fhir-server access policy`, which prints one that is explained"
MAX_ROWS = 200  # roles, rules, groups: more is no policy anybody overlooks


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_text, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 500


def _some_of(known: Iterable[str]) -> Wanted:
    names = tuple(known)
    told = ", ".join(f"`{each}`" for each in names)
    return Wanted(lambda value: _is_texts(value) and set(value) <= set(names), f"some of {told}")


def _is_letters(value: Any) -> bool:
    return _is_text(value) and [each for each in LETTERS if each in value] == list(value)


def _is_reach(value: Any) -> bool:
    told = {value} if _is_text(value) else set(value) if _is_texts(value) else set()
    return bool(told) and told <= set(FACTS) and (ALL not in told or len(told) == 1)


NAME = Wanted(_is_text, "a name", needed=True)
TYPES = Wanted(_is_texts, 'a list of types of R4 or of groups, as `["Patient"]`', needed=True)
NAMES = Wanted(_is_texts, 'a list of names, as `["doctor"]`', needed=True)
CODES = Wanted(_is_texts, 'a list of purposes, as `["TREAT"]`')
FACTS_TOLD = ", ".join(f"`{each}`" for each in FACTS)
TABLES = {
    "purpose": Table(
        {
            "code": Wanted(
                lambda value: _is_text(value) and value in purpose.CODES,
                "a code of v3-PurposeOfUse, as `TREAT`",
                needed=True,
            ),
            "basis": Wanted(
                lambda value: value in BASES, "one of `rule`, `told` and `consent`", needed=True
            ),
            "law": Wanted(_is_text, "the law that gives the right, in words", needed=True),
        }
    ),
    "role": Table(
        {
            "name": NAME,
            "title": Wanted(_is_text, "a text for people"),
            "purposes": CODES._replace(needed=True),
            "can": _some_of(ABILITIES),
            "deidentify": _some_of(TRANSFORMATIONS),
        }
    ),
    "group": Table(
        {
            "name": Wanted(
                lambda value: _is_text(value) and re.fullmatch("[a-z][a-z -]*", value) is not None,
                "a name in small letters, as `directory`",
                needed=True,
            ),
            "types": TYPES,
        }
    ),
    "rule": Table(
        {
            "name": NAME,
            "roles": NAMES,
            "letters": Wanted(_is_letters, "some of `cruds`, in this order", needed=True),
            "types": TYPES,
            "except": TYPES._replace(needed=False),
            "reach": Wanted(
                _is_reach, f"one of {FACTS_TOLD}, or a list of which all hold", needed=True
            ),
            "purposes": CODES,
        }
    ),
    "consent": Table({"honoured": CODES._replace(needed=True)}, many=False),
    "break_glass": Table(
        {
            "reason": Wanted(_is_number, "a number of signs from 1 to 500", needed=True),
        },
        many=False,
    ),
    "deidentified": Table(
        {
            "parameters": NAMES,
            "smallest": Wanted(_is_number, "a number of people from 1 to 500"),
        },
        many=False,
    ),
}

Rows = Mapping[str, list[Row]]


@cache
def built_in() -> Policy:
    """The policy that holds where no file is given."""
    return of_file(BUILT_IN)


def of_file(path: Path) -> Policy:
    """Raises BadFile."""
    return _made(str(path), of_path(path, TABLES, see=SEE))


def of_text(text: str, file: str = "access.toml") -> Policy:
    """Raises BadFile."""
    return _made(file, read(file, text, TABLES, see=SEE))


def _made(source: str, rows: Rows) -> Policy:
    for name, found in rows.items():
        if len(found) > MAX_ROWS:
            found[MAX_ROWS].complain(f"there are more than {MAX_ROWS} tables `[[{name}]]`.")
    types = load().resource_types
    purposes = {
        key: Purpose(row["code"], row["basis"], row["law"])
        for key, row in _named(rows, "purpose", "code").items()
    }
    roles = {key: _role(row, purposes) for key, row in _named(rows, "role", "name").items()}
    groups = {
        key: _members(row, "types", types, {}) for key, row in _named(rows, "group", "name").items()
    }
    return Policy(
        source=source,
        roles=roles,
        purposes=purposes,
        rules=tuple(
            _rule(row, roles, purposes, types, groups)
            for row in _named(rows, "rule", "name").values()
        ),
        types=types,
        directory=groups.get(DIRECTORY, frozenset()),
        honoured=_honoured(rows, purposes),
        break_glass=_break_glass(rows),
        searchable=frozenset(name for row in rows["deidentified"] for name in row["parameters"]),
        smallest=next((row.get("smallest", SMALLEST) for row in rows["deidentified"]), SMALLEST),
    )


def _named(rows: Rows, table: str, key: str) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for row in rows[table]:
        if row[key] in found:
            row.complain(f'there is another `[[{table}]]` with `{key} = "{row[key]}"`.', key)
        found[row[key]] = row
    return found


def _role(row: Row, purposes: Mapping[str, Purpose]) -> Role:
    return Role(
        row["name"],
        row.get("title", row["name"]),
        tuple(_known(row, "purposes", purposes, "[[purpose]]")),
        frozenset(row.get("can", ())),
        tuple(row.get("deidentify", ())),
    )


def _rule(
    row: Row,
    roles: Mapping[str, Role],
    purposes: Mapping[str, Purpose],
    types: frozenset[str],
    groups: Mapping[str, frozenset[str]],
) -> Rule:
    named = _known(row, "roles", roles, "[[role]]")
    of = _members(row, "types", types, groups) - _members(row, "except", types, groups)
    told = _known(row, "purposes", purposes, "[[purpose]]") if "purposes" in row.values else None
    for code in told or ():
        if not any(code in roles[name].purposes for name in named):
            row.complain(f"`{code}` is a purpose of none of its roles.", "purposes")
    if not of:
        row.complain("no type is left of `types` without those of `except`.", "except")
    reach = [row["reach"]] if isinstance(row["reach"], str) else row["reach"]
    return Rule(
        row["name"],
        frozenset(named),
        frozenset(row["letters"]),
        of,
        frozenset(reach),
        None if told is None else frozenset(told),
    )


def _known(row: Row, key: str, known: Mapping[str, object], table: str) -> list[str]:
    for name in row[key]:
        if name not in known:
            row.complain(f"`{name}` of `{key}` is told by no `{table}`.", key)
    return list(dict.fromkeys(row[key]))


def _members(
    row: Row, key: str, types: frozenset[str], groups: Mapping[str, frozenset[str]]
) -> frozenset[str]:
    found: set[str] = set()
    for name in row.get(key, ()):
        if name == EVERY_TYPE:
            found |= types - UNNAMED
        elif name in types:
            found.add(name)
        elif name in groups:
            found |= groups[name]
        else:
            row.complain(f"`{name}` of `{key}` is neither a type of R4 nor a `[[group]]`.", key)
    return frozenset(found)


def _honoured(rows: Rows, purposes: Mapping[str, Purpose]) -> frozenset[str]:
    """For each purpose, unless the policy says for which: silence is no consent."""
    if not rows["consent"]:
        return frozenset(purposes) - {purpose.BREAK_GLASS}
    return frozenset(_known(rows["consent"][0], "honoured", purposes, "[[purpose]]"))


def _break_glass(rows: Rows) -> BreakGlass:
    for row in rows["break_glass"]:
        return BreakGlass(row["reason"])
    return BreakGlass()
