"""names — how people of the Mekong delta are called, as often as they are called so.

https://hl7.org/fhir/R4/datatypes.html#HumanName

The family names' weights are those of the whole country, with the delta's own names in the rest.
Given names follow the sex and the generation (tables/given-names.csv).
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import NamedTuple

from fhir_server.demo.draw import Draw, Weighted
from fhir_server.demo.lists import TABLES
from fhir_server.terminology.files import rows

KINH, HOA, KHMER, CHAM, TAY, MUONG = "01", "04", "05", "17", "02", "06"
FOREIGN, UNKNOWN = "55", "99"

FOREIGN_NAMES = (
    ("Smith", "John", "male"),
    ("Kim", "Min-jun", "male"),
    ("Sato", "Yuki", "female"),
    ("Dubois", "Claire", "female"),
    ("Sok", "Dara", "male"),
    ("Müller", "Anna", "female"),
)

# Where the tone is placed differs by school: both are right, and search must take them as one.
TONES = (("òa", "oà"), ("óa", "oá"), ("ỏa", "oả"), ("úy", "uý"), ("ủy", "uỷ"), ("ùy", "uỳ"))


class Name(NamedTuple):
    """A person's name, in the order it is said."""

    family: str
    middle: str
    given: str

    @property
    def text(self) -> str:
        return " ".join(filter(None, self))


@cache
def _family() -> Weighted[tuple[str, float, float]]:
    """Family names with the shares of their bearers that are Khmer and Hoa."""
    return Weighted(
        [
            ((row["name"], float(row["khmer"]), float(row["hoa"])), float(row["weight"]))
            for row in rows(TABLES / "family-names.csv")
        ]
    )


@cache
def _table(part: str, sex: str) -> tuple[tuple[int, Weighted[str]], ...]:
    """Middle or given names of each generation, until a year of birth."""
    return tuple(
        (int(row["born_until"]), _weighted(row["names"]))
        for row in rows(TABLES / "given-names.csv")
        if (row["part"], row["sex"]) == (part, sex)
    )


def _weighted(text: str) -> Weighted[str]:
    pairs = (item.rpartition(" ") for item in text.split(","))
    return Weighted([(name, float(weight)) for name, _, weight in pairs])


def _drawn(draw: Draw, part: str, sex: str, born: int) -> str:
    return next(table for until, table in _table(part, sex) if born <= until).pick(draw)


def family_and_group(draw: Draw) -> tuple[str, str]:
    """A family name, and the ethnic group of this bearer."""
    family, khmer, hoa = _family().pick(draw)
    at = draw.unit()
    if at < khmer:
        return family, KHMER
    if at < khmer + hoa:
        return family, HOA
    if at > 0.998:
        return family, draw.pick((CHAM, TAY, MUONG))
    return family, KINH


def name(draw: Draw, family: str, group: str, sex: str, born: int) -> Name:
    """A name as a family of this group gave it to a child of this sex and generation."""
    if group == KHMER and draw.chance(0.45):
        return _spelled(draw, Name(family, "", _drawn(draw, "khmer", sex, born)))
    middle = _drawn(draw, "middle", sex, born)
    given = _drawn(draw, "given", sex, born)
    if given in middle:
        middle = ""
    return _spelled(draw, Name(family, middle, given))


def _spelled(draw: Draw, plain: Name) -> Name:
    """Now and then the other placing of the tone, and rarely letters and marks apart (NFD)."""
    at = draw.unit()
    if at < 0.006:
        return Name(*(unicodedata.normalize("NFD", part) for part in plain))
    if at < 0.5:
        given = plain.given
        for new, old in TONES:
            if given.casefold().endswith(new):
                given = given[: -len(new)] + old
        return plain._replace(given=given)
    return plain
