"""What the documents print is what the server answers: each page, on a server of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from fhir_server.cli.exits import Exit
from tests.docs.console import BASE, Example, Page, Start, examples, marked, start
from tests.docs.test_docs import PAGES, shown
from tests.test_cli import fhir_server, serving

RUNNING = [page for page in PAGES if examples(page)]
Filled = Callable[[tuple[str, ...]], Path]


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """A folder with the records that a command makes; several pages ask the same."""

    @cache
    def fill(words: tuple[str, ...]) -> Path:
        at = tmp_path_factory.mktemp("records")
        ran = fhir_server(*words, at=at)
        assert ran.returncode == Exit.DONE, ran.stderr
        return at

    return fill


@pytest.mark.parametrize("page", RUNNING, ids=shown)
def test_every_example_answers_as_it_is_printed(page: Path, tmp_path: Path, filled: Filled) -> None:
    begun = start(page)
    if begun.demo:
        shutil.copytree(filled(begun.demo), tmp_path, dirs_exist_ok=True)
    more = {"FHIR_LOG_REQUESTS": "false", "FHIR_PROFILES": ""}
    with serving(*begun.serve, at=tmp_path, **more) as (_, base):
        told = Page(base)
        for example in examples(page):
            try:
                told.run(example)
            except AssertionError as wrong:
                raise AssertionError(f"$ {example.command}\n{wrong}") from wrong


def test_a_page_may_say_how_its_server_is_started(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- starts -->\n```console\n$ fhir-server demo --patients 5\nStored 500 resources.\n"
        "$ fhir-server serve --text-index\n```\n"
    )
    assert start(page) == Start(("demo", "--patients", "5"), ("--text-index",))
    page.write_text("nothing")
    assert start(page) == Start()


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
