"""rules — a code system that has no list: what is the same for all of them.

https://hl7.org/fhir/R4/codesystem.html
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence

from fhir_server.terminology.concept import Concept
from fhir_server.terminology.system import Filter

LONGEST = 255  # characters of a code that is looked at


class Rules:
    """A flat system without versions. Who has rules says what a code reads as."""

    url = ""
    name = ""
    version: str | None = None
    since: dt.date | None = None
    until: dt.date | None = None
    is_a = True

    def reading(self, code: str) -> tuple[str, str] | None:
        """A code as it is written properly, and its display; None where it is none."""
        raise NotImplementedError

    def find(self, code: str) -> Concept | None:
        found = self.reading(code) if 0 < len(code) <= LONGEST else None
        return found and Concept(self.url, self.version, *found)

    def lacks(self, _code: str) -> bool:
        return True

    def codes(self) -> Iterator[str] | None:
        return None

    def matching(self, _words: Sequence[str]) -> Iterator[str] | None:
        return None

    def parents(self, _code: str) -> Sequence[str]:
        return ()

    def children(self, _code: str) -> Sequence[str]:
        return ()

    def below(self, _code: str) -> Iterator[str]:
        return iter(())

    def subsumes(self, above: str, code: str) -> bool:
        return above == code

    def having(self, _filter: Filter) -> Iterator[str] | None:
        return None

    def knows(self, _property: str) -> bool:
        return False

    def kind(self, _property: str) -> str | None:
        return None

    def admits(self, _code: str, _filter: Filter) -> bool | None:
        return None
