"""scope — of which types criteria are asked, and how deep within others.

https://hl7.org/fhir/R4/search.html#chaining
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from fhir_server.foundation.outcome import Invalid
from fhir_server.search.parameters import Parameters
from fhir_server.search.site import Site
from fhir_server.store.contract import Condition

MAX_LINKS = 8  # from one resource to another, within one criterion


class Asked(NamedTuple):
    """A criterion, understood. locks: see Assumption."""

    condition: Condition
    locks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Scope:
    """types: empty for all. depth: how many links lead here from what is searched.

    reader: understands a criterion; criteria.asked, which knows all ways to write one.
    """

    parameters: Parameters
    site: Site
    types: tuple[str, ...]
    reader: Callable[[Scope, str, str], Asked]
    depth: int = 0

    def condition(self, name: str, value: str) -> Condition:
        """What `name=value` asks of a resource of these types. Raises Invalid, NotSupported."""
        return self.reader(self, name, value).condition

    def linked(self, types: tuple[str, ...]) -> Scope:
        """Where a link leads to. Raises Invalid where there are too many."""
        if self.depth >= MAX_LINKS:
            raise Invalid(
                f"The criterion goes from one resource to another more than {MAX_LINKS} times. "
                "Ask in several searches."
            )
        return replace(self, types=types, depth=self.depth + 1)
