"""Following a page in a terminal ends where the page says: each, from an empty folder on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.shell import MISSING, follow, typed
from tests.docs.test_docs import DOCS, PAGES, shown

FOLLOWED = [page for page in PAGES if typed(page)]


@pytest.mark.skipif(bool(MISSING), reason=f"not on this machine: {', '.join(MISSING)}")
@pytest.mark.parametrize("page", FOLLOWED, ids=shown)
def test_whoever_follows_the_page_alone_gets_there(page: Path, tmp_path: Path) -> None:
    follow(page, tmp_path)


def test_access_is_set_up_by_pages_that_are_followed() -> None:
    assert {DOCS / "how-to" / "access.md", DOCS / "how-to" / "first-client.md"} == {*FOLLOWED}


@pytest.mark.skipif(bool(MISSING), reason=f"not on this machine: {', '.join(MISSING)}")
@pytest.mark.parametrize(
    ("block", "wrong"),
    [
        ("$ echo a\na", None),
        ("$ A=b\n$ echo $A\nb", None),
        ('$ echo \'{"a": 1}\'\n{"a":  1, ...}', None),
        ("$ echo a\nb", "b"),
        ("$ echo a", "it prints: a"),
        ("$ false", "it fails"),
        ("$ exit 0", "the shell ended"),
    ],
)
def test_what_a_page_prints_wrong_is_found(block: str, wrong: str | None, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"<!-- shell -->\n```console\n{block}\n```\n")
    at = tmp_path / "at"
    at.mkdir()
    if wrong is None:
        follow(page, at)
    else:
        with pytest.raises(AssertionError, match=wrong):
            follow(page, at)
