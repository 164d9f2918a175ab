"""docs/sync.md shows what is really said."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from fhir_server.foundation import wire
from fhir_server.foundation.resource import Key
from fhir_server.sync.words import answer, page, push
from tests.sync.vendor import written

TEXT = (Path(__file__).parents[2] / "docs" / "sync.md").read_text("utf-8")
SHOWN = re.findall(r"<!-- (\w+) -->\n```json\n(.*?)\n```", TEXT, re.DOTALL)
NAMED = re.findall(r"is `(\d+-[a-z2-7]{26})`", TEXT)


def shown(kind: str) -> list[Any]:
    return [wire.parse_json(text.encode(), max_depth=99) for name, text in SHOWN if name == kind]


def test_there_is_an_example_of_everything() -> None:
    assert [name for name, _ in SHOWN] == ["version"] * 3 + ["push", "answer", "page"]


@pytest.mark.parametrize("at", [0, 1, 2])
def test_versions_are_called_as_it_says(at: int) -> None:
    told = shown("version")[at]
    key = Key(told["type"], told["id"])
    assert push.named(key, tuple(told["parents"]), told["resource"]) == NAMED[at]


@pytest.mark.parametrize("at", [0, 1, 2])
def test_another_vendor_calls_them_the_same_and_writes_them_byte_by_byte(at: int) -> None:
    text = [text for name, text in SHOWN if name == "version"][at]
    told = written.read(text)
    assert written.write(told) == text
    parents = tuple(told["parents"])
    assert written.name(told["type"], told["id"], parents, told["resource"]) == NAMED[at]


def test_the_chunk_is_one() -> None:
    heard = push.read(shown("push")[0])
    assert [(one.number, one.group, str(one.key)) for one in heard.entries] == [
        (41, 17, "Patient/0b7e"),
        (42, 17, "Observation/o1"),
    ]
    assert heard.entries[1].rev == NAMED[1]


def test_the_answer_is_one() -> None:
    (told,) = shown("answer")
    heard = answer.read(told, {41: "1-a", 42: "1-b"}, "41 warned 2.901.3,42 stored +")
    assert [(one.outcome.value, str(one.place)) for one in heard.receipts] == [
        ("warned", "2.901.3"),
        ("stored", "2.901.4"),
    ]


def test_the_page_is_one() -> None:
    heard = page.read(shown("page")[0])
    assert [row.kind.value for row in heard.rows] == ["version", "echo", "record"]
    assert heard.more
