"""Names of Vietnam that must meet and that must not (names.csv), in memory and in both databases.

plain: `name=asked`; exact and contains: with that modifier. written: what is in NFD.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize
from urllib.parse import quote

import pytest

from fhir_server.foundation.resource import Key
from fhir_server.store.contract import EVERYTHING, Select, rid
from tests.store.world import unit, version

from .ask import found, indexer, query


class Pair(NamedTuple):
    value: str
    asked: str
    plain: str
    exact: str
    contains: str
    written: str
    why: str

    @property
    def stored(self) -> str:
        return normalize("NFD" if self.written in ("value NFD", "both NFD") else "NFC", self.value)

    @property
    def searched(self) -> str:
        form = "NFD" if self.written in ("asked NFD", "both NFD") else "NFC"
        return normalize(form, self.asked)

    def of(self, modifier: str) -> bool:
        return {"": self.plain, ":exact": self.exact, ":contains": self.contains}[modifier] == "yes"

    def query(self, modifier: str) -> str:
        text = self.searched
        for sign in "\\,|$":
            text = text.replace(sign, "\\" + sign)
        return f"name{modifier}={quote(text, safe='')}"


with Path(__file__).with_name("names.csv").open(encoding="utf-8", newline="") as file:
    PAIRS = [Pair(**row) for row in csv.DictReader(file)]
MODIFIERS = ("", ":exact", ":contains")
by_text = pytest.mark.parametrize("pair", PAIRS, ids=lambda p: f"{p.value}-{p.asked}")


def named(**parts: object) -> dict[str, object]:
    return {"resourceType": "Patient", "name": [parts]}


def test_there_are_at_least_two_hundred_pairs_that_meet_and_that_do_not() -> None:
    assert len({(pair.value, pair.asked, pair.written) for pair in PAIRS}) == len(PAIRS) >= 200
    for modifier in MODIFIERS:
        assert min(sum(pair.of(modifier) is told for pair in PAIRS) for told in (True, False)) >= 30


@by_text
def test_a_name_is_met_as_the_table_says(pair: Pair) -> None:
    for modifier in MODIFIERS:
        there = found(named(text=pair.stored), pair.query(modifier))
        assert there is pair.of(modifier), f"{pair.query(modifier)}: {pair.why}"


@by_text
def test_it_makes_no_difference_to_words_in_which_part_of_a_name_they_stand(pair: Pair) -> None:
    family, *given = pair.stored.split(" ")
    whole = {"text": pair.stored, "family": family, "given": given}
    for parts in (whole, {"family": family, "given": given}, {"family": given, "given": [family]}):
        told = {key: value for key, value in parts.items() if value}
        if isinstance(told.get("family"), list):
            told["family"] = " ".join(told["family"])
        assert found(named(**told), pair.query("")) is pair.of("")
    for modifier in MODIFIERS[1:]:
        if pair.of(modifier):
            assert found(named(**whole), pair.query(modifier))


async def test_both_databases_say_the_same(store) -> None:
    keys = {text: Key("Patient", str(n)) for n, text in enumerate({p.stored for p in PAIRS})}
    await store.commit(
        unit(
            *(
                version(str(key), "a", rows=indexer().rows({**named(text=text), "id": key.id}))
                for text, key in keys.items()
            )
        )
    )
    wrong = []
    for pair in PAIRS:
        for modifier in MODIFIERS:
            select = Select(
                ("Patient",), query("Patient", pair.query(modifier)).where, restriction=EVERYTHING
            )
            met = rid(keys[pair.stored]) in await store.find(select, at_most=1000)
            if met is not pair.of(modifier):
                wrong.append((pair, modifier))
    assert not wrong
