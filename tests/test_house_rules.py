"""The code keeps its own promises about itself (CONTRIBUTING.md)."""

from __future__ import annotations

import ast
import dataclasses
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fhir_server
from fhir_server.foundation import outcome
from fhir_server.rest.options import Options
from fhir_server.settings import TABLE, Line

ROOT = Path(fhir_server.__file__).parent
REPOSITORY = ROOT.parent
MODULES = sorted(ROOT.rglob("*.py"))
TESTS = sorted((REPOSITORY / "tests").rglob("*.py"))
BENCH = sorted((REPOSITORY / "bench").rglob("*.py"))
R4 = "https://hl7.org/fhir/R4/"
INTERACTIONS = {
    "read": "read",
    "update": "update",
    "patch": "patch",
    "delete": "delete",
    "create": "create",
    "history": "history",
    "capabilities": "capabilities",
    "bundle/__init__": "transaction",
}
VAGUE = {"utils", "helpers", "helper", "util", "base", "manager", "common", "misc"}
PRODUCTS = re.compile("sqlite|postgres|citus", re.IGNORECASE)
# The people who run the server must be told of products: in settings, in commands, in layers above
# the store never.
MAY_NAME = ("store", "settings", "cli")
MAY_PRINT = ("cli",)


def shown(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def inside(path: Path, *folders: str) -> bool:
    return str(path.relative_to(ROOT)).startswith(folders)


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_every_module_says_what_it_is_for_within_400_lines(path: Path) -> None:
    assert ast.get_docstring(tree(path)), "no docstring"
    assert len(path.read_text("utf-8").splitlines()) <= 400


def test_no_function_is_longer_than_forty_lines() -> None:
    for path, node in functions():
        first = node.body[0]
        told = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
        # A command's docstring is its manual, shown by --help.
        manual = first.end_lineno - first.lineno + 1 if told and inside(path, "cli") else 0
        length = node.end_lineno - node.lineno + 1 - manual
        assert length <= 40, f"{shown(path)}: {node.name} has {length}"


def functions() -> Iterator[tuple[Path, Any]]:
    for path in MODULES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node


def test_every_citation_is_pinned_to_r4() -> None:
    # An identifier of FHIR (http://) is a name and no place: it has no version.
    for path in MODULES:
        for url in re.findall(r"https://(?:www\.)?hl7\.org/fhir/\S*", path.read_text("utf-8")):
            assert url.startswith(R4), f"{shown(path)}: {url}"


@pytest.mark.parametrize(("module", "anchor"), INTERACTIONS.items())
def test_every_interaction_cites_its_own_section(module: str, anchor: str) -> None:
    assert f"{R4}http.html#{anchor}" in (ROOT / "interaction" / f"{module}.py").read_text("utf-8")


def test_the_table_of_refusals_is_the_truth() -> None:
    told = re.findall(r"^ +(\w+) +(\d{3})  (\S+)$", outcome.__doc__ or "", re.MULTILINE)
    real = [
        (each.__name__, str(each.status), each.code)
        for each in [outcome.FhirError, *outcome.FhirError.__subclasses__()]
        if each.__module__ == outcome.__name__
    ]
    assert told == real


def test_only_the_store_and_who_runs_it_name_a_database_product() -> None:
    for path in MODULES:
        if not inside(path, *MAY_NAME):
            for text in constants(tree(path)):
                assert not PRODUCTS.search(text), f"{shown(path)}: {text}"


def constants(module: ast.Module) -> Iterator[str]:
    """String constants that are not docstrings."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(module)
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and ast.get_docstring(node)
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(module):
        constant = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if constant and id(node) not in docstrings:
            yield node.value


def test_only_the_command_line_prints() -> None:
    for path in MODULES:
        calls = {
            node.func.id
            for node in ast.walk(tree(path))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert inside(path, *MAY_PRINT) or not {"print", "breakpoint"} & calls, shown(path)


def test_no_name_is_vague_and_nothing_is_left_to_do() -> None:
    for path in [*MODULES, *TESTS]:
        assert path.stem not in VAGUE, shown(path)
        if path != Path(__file__):
            assert not re.search(r"\b(TODO|FIXME|XXX)\b", path.read_text("utf-8")), shown(path)


def test_what_a_checker_is_not_to_see_has_its_reason_beside_it() -> None:
    for path in [*MODULES, *TESTS, *BENCH]:
        for line in path.read_text("utf-8").splitlines():
            found = re.search(r"# (?:type: ignore|(?:ruff: )?noqa)\b(.*)", line)
            if found and path != Path(__file__):
                told = r"(\[[a-z, -]+\]|: [A-Z]+\d+(, [A-Z]+\d+)*) +(#|-) \S"
                assert re.match(told, found[1]), f"{shown(path)}: {line}"


@pytest.mark.parametrize("line", TABLE, ids=lambda line: line.name)
def test_every_setting_does_something(line: Line) -> None:
    name = line.name
    if name in {field.name for field in dataclasses.fields(Options)}:
        return
    readers = [ROOT / "server.py", *(ROOT / "cli").glob("*.py")]
    assert any(
        re.search(rf"settings\.{name}(_minutes)?\b", path.read_text("utf-8")) for path in readers
    )


def test_who_imports_whom_is_as_it_is_written() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    if not lint.exists():
        pytest.skip("import-linter is not installed: `make test` installs it")
    command = [lint, "--no-cache"]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-3000:]


def test_no_file_names_the_machine_it_was_written_on() -> None:
    own = [REPOSITORY / "Makefile", REPOSITORY / "pyproject.toml", REPOSITORY / ".ci/run"]
    for folder, endings in (
        ("fhir_server", "*.py"),
        ("tests", "*.py"),
        ("tools", "*"),
        ("docs", "*.md"),
    ):
        own += [path for path in (REPOSITORY / folder).rglob(endings) if path.is_file()]
    for path in own:
        if "__pycache__" in path.parts or path == Path(__file__):
            continue
        found = re.search(r"/work/|/root/|/home/(?!fhir)[a-z]|pypi\.org", path.read_text("utf-8"))
        assert not found, f"{shown(path)}: {found and found[0]}"
