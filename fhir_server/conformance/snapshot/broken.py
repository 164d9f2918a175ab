"""broken — a profile that cannot be used, and the sentence that says why.

https://hl7.org/fhir/R4/profiling.html
"""

from __future__ import annotations


class BrokenProfile(Exception):
    """The profile `url` cannot be used. `why` names the element, in backticks; `at` tells
    where the trouble lies, where that is not this profile alone: another one, or a circle."""

    def __init__(self, url: str, why: str, at: str | None = None) -> None:
        super().__init__(f"The profile `{url}` cannot be used: {why}")
        self.url = url
        self.why = why
        self.at = at or url

    def needed_by(self, url: str) -> BrokenProfile:
        """The same trouble, for a profile that needs the broken one."""
        if url == self.url:
            return self
        why = self.why if self.at != self.url else f"it needs `{self.url}`, and {self.why}"
        return BrokenProfile(url, why, self.at)
