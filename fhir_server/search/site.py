"""site — where a server stands: what a date without zone means there, which URLs are its own, and
what it knows of codes.

https://hl7.org/fhir/R4/search.html#date
https://hl7.org/fhir/R4/references.html#literal
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from fhir_server.foundation.resource import Literal, literal
from fhir_server.terminology.terms import Terms

DAY = 86_400_000
MAX_LOOKS = 20  # of one search: each may be a second's work


@dataclass(frozen=True, slots=True)
class Site:
    """zone_minutes: the zone east of UTC. base_urls: the FHIR bases under which this server is
    known. now: milliseconds since 1970 UTC; what `ap` measures from; None: the clock's. terms: what
    codes mean, for `:in` and `:below`; indexing does not need it. texts: there is a text index.
    looks: how often one search may still ask what codes mean.
    """

    zone_minutes: int = 420
    base_urls: tuple[str, ...] = ()
    now: int | None = None
    terms: Terms | None = field(default=None, compare=False)
    texts: bool = False
    looks: list[int] = field(default_factory=lambda: [MAX_LOOKS], compare=False)

    def today(self) -> int:
        """The present, to the day, so that the pages of one search ask the same question."""
        present = int(time.time() * 1000) if self.now is None else self.now
        return present // DAY * DAY

    def own(self, reference: str) -> Literal | None:
        """The parts of a literal reference to a resource here, relative or under an own base."""
        found = literal(reference)
        if found is None or not found.base:
            return found
        base = found.base.rstrip("/")
        return found if any(base == url.rstrip("/") for url in self.base_urls) else None


HERE = Site()
