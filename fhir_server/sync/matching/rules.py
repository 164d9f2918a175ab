"""rules — `matching.toml` read, and what is wrong in it told by its line.

https://hl7.org/fhir/R4/patient.html#linking
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fhir_server.foundation.toml_rows import BadFile, Row, Table, Wanted, of_path, read
from fhir_server.terminology.site import SID

__all__ = ["BUILT_IN", "BadFile", "Form", "Rule", "Rules", "built_in", "of_file", "of_text"]

BUILT_IN = Path(__file__).with_name("matching.toml")
SEE = "`fhir-server matching rules`, which prints one that is explained"
FACTS = ("birthDate", "gender", "name", "commune")
CARD = 10  # digits of the number of its holder
MOST_ROWS = 50  # forms, rules
URL = re.compile(r"[a-z][a-z0-9+.-]*:\S+")


@dataclass(frozen=True, slots=True)
class Form:
    """How a number is written under a system. card: at the end of an insurance card."""

    number: str
    system: str
    digits: int
    card: bool = False
    old: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """When the same number is the same person."""

    number: str
    same: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Rules:
    """All of `matching.toml`. people: more Patients than this have no number in common."""

    source: str
    forms: tuple[Form, ...]
    rules: Mapping[str, Rule]  # by the number
    likely: tuple[str, ...]
    people: int


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_number(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_facts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and set(map(str, value)) <= set(FACTS)


def _is_system(value: Any) -> bool:
    return _is_text(value) and (value in SID or URL.fullmatch(value) is not None)


def _is_likely(value: Any) -> bool:
    return _is_facts(value) and {"name", "birthDate"} <= set(value)


NUMBER = Wanted(_is_text, 'the name of a number, as `"personal number"`', needed=True)
FLAG = Wanted(lambda value: isinstance(value, bool), "`true` or `false`")
SOME = f"some of {', '.join(f'`{fact}`' for fact in FACTS)}"
FACTS_WANTED = Wanted(_is_facts, SOME)
TABLES = {
    "form": Table(
        {
            "number": NUMBER,
            "system": Wanted(
                _is_system, "a URL, or the name of a system, as `cccd` or `bhyt`", needed=True
            ),
            "digits": Wanted(lambda value: _is_number(value, 6, 20), "a number from 6 to 20"),
            "card": FLAG,
            "old": FLAG,
        }
    ),
    "rule": Table({"number": NUMBER, "same": FACTS_WANTED, "unless": FACTS_WANTED}),
    "likely": Table(
        {
            "same": Wanted(
                _is_likely, f"{SOME}, with `birthDate` and `name` among them", needed=True
            )
        },
        many=False,
    ),
    "bounds": Table(
        {
            "people": Wanted(
                lambda value: _is_number(value, 2, 50), "a number from 2 to 50", needed=True
            )
        },
        many=False,
    ),
}


@cache
def built_in() -> Rules:
    """Those that hold where no file is given."""
    return of_file(BUILT_IN)


def of_file(path: Path) -> Rules:
    """Raises BadFile."""
    return _made(str(path), of_path(path, TABLES, see=SEE))


def of_text(text: str, file: str = "matching.toml") -> Rules:
    """Raises BadFile."""
    return _made(file, read(file, text, TABLES, see=SEE))


def _made(source: str, rows: Mapping[str, list[Row]]) -> Rules:
    for name, found in rows.items():
        if len(found) > MOST_ROWS:
            found[MOST_ROWS].complain(f"there are more than {MOST_ROWS} tables `[[{name}]]`.")
    forms = tuple(map(_form, rows["form"]))
    numbers = {form.number for form in forms}
    rules: dict[str, Rule] = {}
    for row in rows["rule"]:
        rules[row["number"]] = _rule(row, numbers, rules)
    likely = next((tuple(row["same"]) for row in rows["likely"]), ())
    people = next((row["people"] for row in rows["bounds"]), 8)
    return Rules(source, forms, rules, likely, people)


def _form(row: Row) -> Form:
    card, digits = row.get("card", False), row.get("digits")
    if card is (digits is not None):
        row.complain("a form has `digits`, or `card = true`; one of the two.", "card")
    system = SID.get(row["system"], row["system"])
    return Form(row["number"], system, CARD if card else digits, card, row.get("old", False))


def _rule(row: Row, numbers: Iterable[str], others: Mapping[str, Rule]) -> Rule:
    name = row["number"]
    if name not in numbers:
        row.complain(f"`{name}` is a number that no `[[form]]` is of.", "number")
    if name in others:
        row.complain(f"there is another `[[rule]]` of `{name}`.", "number")
    return Rule(name, tuple(row.get("same", ())), tuple(row.get("unless", ())))
