"""The documents say what the code does, and their links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from fhir_server.cli.app import app
from fhir_server.cli.exits import TOLD, Exit
from fhir_server.foundation import outcome
from fhir_server.settings import TABLE
from tests.docs.console import COMMAND
from tools import write_docs

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(
    [
        *DOCS.rglob("*.md"),
        *ROOT.glob("*.md"),
        *ROOT.glob("profiles/*.md"),
        *ROOT.glob("terminology/**/*.md"),
    ]
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The names a page's headings can be linked by, as forges make them."""
    text = BLOCK.sub("", page.read_text("utf-8"))
    found = re.findall(r"^#{1,6} +(.+?) *$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in found}


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(BLOCK.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", link):
            assert "hl7.org/fhir/" not in link or "hl7.org/fhir/R4/" in link, link
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_shown_command_is_one_a_shell_can_read(page: Path) -> None:
    for language, block in BLOCK.findall(page.read_text("utf-8")):
        if language == "console":
            commands = COMMAND.findall(block)
            assert commands, "a console block shows a command after `$ `"
            for command in commands:
                assert shlex.split(command.replace("\\\n", " "), comments=True)


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_shown_fhir_server_command_exists(page: Path) -> None:
    names = {name for name, _ in write_docs.spelled_out(typer.main.get_group(app))}
    groups = {name.split()[0] for name in names if " " in name}
    options = {line.option for line in TABLE} | {"--help"}
    options |= {f"--no-{line.option[2:]}" for line in TABLE if line.is_flag}
    for language, block in BLOCK.findall(page.read_text("utf-8")):
        if language not in ("console", "sh", ""):
            continue
        for name, rest in re.findall(
            r"(?:^|[ /])fhir-server +([a-z]+)([^\n#|]*)", block, re.MULTILINE
        ):
            called = f"{name} {rest.split()[0]}" if name in groups else name
            assert called in names, called
            if name == "serve":
                assert set(re.findall(r"--[a-z-]+", rest)) <= options, rest


def test_what_is_made_from_the_code_is_as_the_code_says() -> None:
    assert write_docs.stale() == [], "run `make docs`"


def test_every_refusal_says_when_and_what_to_do() -> None:
    names = {each.__name__ for each in [outcome.FhirError, *outcome.FhirError.__subclasses__()]}
    assert names == set(write_docs.REFUSALS)


def test_every_exit_status_has_its_sentence() -> None:
    assert set(TOLD) == set(Exit)


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = sorted(int(path.name[:3]) for path in (DOCS / "decisions").glob("*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"])
def test_a_newcomer_finds_what_every_project_has(name: str) -> None:
    assert len((ROOT / name).read_text("utf-8")) > 10
    assert "Apache License" in (ROOT / "LICENSE").read_text("utf-8")
