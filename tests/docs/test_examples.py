"""What the documents print is what the server answers: each page, on a server of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.console import BASE, Example, Page, examples, marked
from tests.docs.test_docs import PAGES, shown
from tests.test_cli import serving

RUNNING = [page for page in PAGES if examples(page)]


@pytest.mark.parametrize("page", RUNNING, ids=shown)
def test_every_example_answers_as_it_is_printed(page: Path, tmp_path: Path) -> None:
    with serving(at=tmp_path, FHIR_LOG_REQUESTS="false", FHIR_PROFILES="") as (_, base):
        told = Page(base)
        for example in examples(page):
            try:
                told.run(example)
            except AssertionError as wrong:
                raise AssertionError(f"$ {example.command}\n{wrong}") from wrong


def test_the_examples_a_newcomer_meets_first_are_run() -> None:
    names = {shown(page) for page in RUNNING}
    assert {"README.md", "docs/search.md", "docs/interactions/create.md"} <= names


@pytest.mark.parametrize(
    ("printed", "holds"),
    [
        ('{"type": "searchset", ...}', True),
        ('{"type": "history", ...}', False),
        ('{"type": "searchset"}', False),
        ('{"shoe": 1, ...}', False),
        ("no JSON", False),
    ],
)
def test_what_is_printed_wrong_is_found(printed: str, holds: bool, tmp_path: Path) -> None:
    with serving(at=tmp_path, FHIR_LOG_REQUESTS="false", FHIR_PROFILES="") as (_, base):
        example = Example(f"curl {BASE}/Patient", printed)
        if holds:
            Page(base).run(example)
        else:
            with pytest.raises(AssertionError):
                Page(base).run(example)


def test_what_is_left_out_is_marked() -> None:
    assert marked('{"a": [1, ...], "b": "...", ...}') == '{"a": [1, "…"], "b": "...", "…": 0}'
