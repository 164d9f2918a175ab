"""read — a file of concepts, asked one thing at a time.

https://hl7.org/fhir/R4/codesystem.html

One connection for all threads, which take turns: a question is a look at a few pages.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fhir_server.store.concepts.layout import ABSTRACT, FORMAT, INACTIVE, About, Damaged

PAGE = 1_000  # codes that are read at a time
MATCHES = 100_000  # concepts one filter may find
LAST = "\U0010ffff"


class ConceptFile:
    """A file that is whole. Raises Damaged where it is not, or is of another layout."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._turn = threading.Lock()
        try:
            self._database = sqlite3.connect(
                f"{file.absolute().as_uri()}?mode=ro&immutable=1",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
            )
        except sqlite3.Error as error:
            raise Damaged(f"`{file.name}` cannot be opened: {error}.") from error
        try:
            for pragma in ("query_only = on", "cache_size = -4096", "mmap_size = 1073741824"):
                self._database.execute(f"PRAGMA {pragma}")
            told = dict(self._database.execute("SELECT name, value FROM about").fetchall())
            whole = told.get("format") == str(FORMAT) and told.get("whole") == "yes"
            self.about = About.of_text(told["system"])
            self.count = int(told["count"]) if whole else 0
        except (sqlite3.Error, KeyError, ValueError, TypeError) as error:
            self._database.close()
            raise Damaged(f"`{file.name}` is not a file of concepts.") from error
        if not whole:
            self._database.close()
            raise Damaged(f"`{file.name}` was made by another program: load it again.")

    def close(self) -> None:
        with self._turn:
            self._database.close()

    def _all(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._turn:
            return self._database.execute(statement, values).fetchall()

    def _paged(self, statement: str, *values: Any) -> Iterator[str]:
        """Codes in the order of their numbers; the statement's last value is the one before."""
        last = -1
        while page := self._all(f"{statement} LIMIT {PAGE}", *values, last):
            for number, code in page:
                last = number
                yield code

    # --- what is asked ---------------------------------------------------------------------------

    def find(self, code: str) -> dict[str, Any] | None:
        """A concept with its names and properties."""
        found = self._all("SELECT * FROM concept WHERE code = ?", code)
        if not found:
            return None
        number, code, display, definition, flags, since, until = found[0]
        names = self._all(
            "SELECT language, use, value FROM name WHERE number = ? ORDER BY place", number
        )
        properties = self._all(
            "SELECT name, value FROM property WHERE number = ? ORDER BY place", number
        )
        return {
            "code": code,
            "display": display,
            "definition": definition,
            "abstract": bool(flags & ABSTRACT),
            "inactive": bool(flags & INACTIVE),
            "since": since,
            "until": until,
            "names": tuple(names),
            "properties": tuple((name, json.loads(value)) for name, value in properties),
        }

    def codes(self) -> Iterator[str]:
        return self._paged("SELECT number, code FROM concept WHERE number > ? ORDER BY number")

    def parents(self, code: str) -> list[str]:
        return self._codes(
            "SELECT p.code FROM parent JOIN concept p ON p.number = parent.parent"
            " WHERE parent.child = (SELECT number FROM concept WHERE code = ?) ORDER BY p.number",
            code,
        )

    def children(self, code: str) -> list[str]:
        return self._codes(
            "SELECT c.code FROM child JOIN concept c ON c.number = child.child"
            " WHERE child.parent = (SELECT number FROM concept WHERE code = ?) ORDER BY c.number",
            code,
        )

    def _codes(self, statement: str, *values: Any) -> list[str]:
        return [code for (code,) in self._all(statement, *values)]

    def below(self, code: str) -> Iterator[str]:
        return self._paged(
            "SELECT c.number, c.code FROM above JOIN concept c ON c.number = above.descendant"
            " WHERE above.ancestor = (SELECT number FROM concept WHERE code = ?)"
            " AND above.descendant > ? ORDER BY above.descendant",
            code,
        )

    def subsumes(self, above: str, code: str) -> bool:
        return above == code or bool(
            self._all(
                "SELECT 1 FROM above WHERE ancestor = (SELECT number FROM concept WHERE code = ?)"
                " AND descendant = (SELECT number FROM concept WHERE code = ?)",
                above,
                code,
            )
        )

    def having(self, name: str, value: str) -> Iterator[str]:
        return self._paged(
            "SELECT c.number, c.code FROM told JOIN concept c ON c.number = told.number"
            " WHERE told.name = ? AND told.value = ? AND told.number > ?"
            " ORDER BY told.number",
            name,
            value,
        )

    def matching(self, words: Sequence[str]) -> Iterator[str]:
        """The codes of concepts with a word that begins with each of these, in their order."""
        each = "SELECT number FROM word WHERE word >= ? AND word < ?"
        ranges = [bound for word in words for bound in (word, word + LAST)]
        numbers = self._all(
            f"{' INTERSECT '.join([each] * len(words))} ORDER BY 1 LIMIT {MATCHES}", *ranges
        )
        for (number,) in numbers:
            yield from self._codes("SELECT code FROM concept WHERE number = ?", number)
