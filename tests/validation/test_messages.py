"""The catalogue: every sentence in both languages, and none that nobody says.

https://hl7.org/fhir/R4/valueset-issue-type.html
"""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import fhir_server
from fhir_server.validation import messages
from fhir_server.validation.messages import Message, catalogue, issue

ROOT = Path(fhir_server.__file__).parent
SEVERITIES = {"fatal", "error", "warning", "information"}
ISSUE_TYPES = {
    *("invalid", "structure", "required", "value", "invariant"),
    *("security", "login", "unknown", "expired", "forbidden", "suppressed"),
    *("processing", "not-supported", "duplicate", "multiple-matches", "not-found", "deleted"),
    *("too-long", "code-invalid", "extension", "too-costly", "business-rule", "conflict"),
    *("transient", "lock-error", "no-store", "exception", "timeout", "incomplete", "throttled"),
    "informational",
}
KEY = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*(\.[A-Za-z0-9]+(-[A-Za-z0-9]+)*)?")
WAYS = {"", "plain", "or", "and"}
DIACRITICS = re.compile("[À-ỹĐđ]")
ENTRIES = list(catalogue().values())


def fields(template: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for _, name, way, _ in string.Formatter().parse(template):
        if name is not None:
            found.setdefault(name, set()).add(way or "")
    return found


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.key)
def test_every_message_is_whole_in_both_languages(entry: Message) -> None:
    assert KEY.fullmatch(entry.key)
    assert entry.severity in SEVERITIES
    assert entry.code in ISSUE_TYPES
    for template in (entry.en, entry.vi):
        assert template == template.strip()
        assert template.endswith((".", "?", ":plain}")), template
        assert template.count("`") % 2 == 0, template
        for name, ways in fields(template).items():
            assert name.isidentifier(), "a parameter is named"
            assert ways <= WAYS
    # What comes from a profile is there in each language: `{human}` and `{human_vi}`.
    assert fields(entry.en).keys() == {name.removesuffix("_vi") for name in fields(entry.vi)}
    assert DIACRITICS.search(entry.vi)
    assert not DIACRITICS.search(entry.en)


# --- what the code says ---------------------------------------------------------------------------


@cache
def modules() -> list[tuple[Path, ast.Module]]:
    return [(path, ast.parse(path.read_text("utf-8"))) for path in sorted(ROOT.rglob("*.py"))]


@cache
def said() -> tuple[frozenset[str], tuple[str, ...], tuple[str, ...]]:
    """Every text of the code, and the ends of those that are put together: `rule.` and `.way`."""
    texts, beginnings, endings = set(), set(), set()
    for _, module in modules():
        for node in ast.walk(module):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
                if re.fullmatch(r"\.[a-z-]+", node.value):
                    endings.add(node.value)
            if isinstance(node, ast.JoinedStr):
                first, last = node.values[0], node.values[-1]
                if isinstance(first, ast.Constant) and re.search("[a-z]{3}[.-]$", first.value):
                    beginnings.add(str(first.value))
                if isinstance(last, ast.Constant) and str(last.value).startswith("."):
                    endings.add(str(last.value))
    return frozenset(texts), tuple(beginnings), tuple(endings)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.key)
def test_every_message_is_said_somewhere(entry: Message) -> None:
    texts, beginnings, endings = said()
    varied = entry.rule in texts and entry.key.endswith(endings)
    assert entry.key in texts or entry.key.startswith(beginnings) or varied


def calls() -> Iterator[tuple[str, ast.Call, str]]:
    """Each call that names a message by its key: `issue("key", ...)`, `report.add("key", ...)`."""
    for path, module in modules():
        for node in ast.walk(module):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            key = node.args[0]
            if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
                continue
            of = ast.unparse(node.func)
            if of == "issue" or of.endswith("report.add"):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node, key.value


def test_every_key_that_is_said_is_in_the_catalogue_with_what_its_sentence_needs() -> None:
    found = list(calls())
    assert len(found) > 40
    for place, node, key in found:
        assert key in catalogue(), f"{place}: {key}"
        named = {each.arg for each in node.keywords}
        if None not in named:  # no `**more`
            missing = fields(catalogue()[key].en).keys() - named
            assert not missing, f"{place}: {key} needs {missing}"


def test_a_catalogue_with_a_key_twice_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    entry = '["a"]\ncode = "value"\nen = "A."\nvi = "Á."\n'
    for name in ("one.toml", "two.toml"):
        (tmp_path / name).write_text(entry, "utf-8")
    monkeypatch.setattr(messages, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match="twice"):
        catalogue.__wrapped__()


# --- how values are told --------------------------------------------------------------------------

VALUES = [
    ("An", "`An`"),
    ("a" * 60, f"`{'a' * 50}…`"),
    ("a\x00b\ud800", "`a\ufffdb\ufffd`"),
    (7, "`7`"),
    (10**50, "`…`"),
    (True, "`true`"),
    (None, "`null`"),
    ({"a": 1}, "`{…}`"),
    ([1], "`[…]`"),
]


@pytest.mark.parametrize(("value", "told"), VALUES)
def test_a_value_is_told_in_backticks_as_much_of_it_as_helps(value: Any, told: str) -> None:
    found = issue("array.many", "Patient.name", name="name", found=value)
    assert f"it is {told}." in found.diagnostics
    assert told in str(found.vietnamese)


def test_lists_are_told_in_the_words_of_each_language() -> None:
    found = issue("min", "A.b", name="b", owner="A", names=["b", "c", "d"])
    assert found.diagnostics.endswith("Add `b`, `c` or `d`.")
    assert str(found.vietnamese).endswith("Hãy thêm `b`, `c` hoặc `d`.")
    many = issue("min", "A.b", name="b", owner="A", names=[str(n) for n in range(30)])
    assert many.diagnostics.endswith("`11` or 18 more.")
    assert str(many.vietnamese).endswith("`11` hoặc 18 mục khác.")
