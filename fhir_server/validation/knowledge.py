"""knowledge — the definitions, terms and rules that hold now, renewed when one of them is stored.

https://hl7.org/fhir/R4/conformance-module.html
https://hl7.org/fhir/R4/resource.html#canonical

Beneath are R4 and what the deployment's folders hold, on top what is stored as a resource. Each
worker follows the store's feed (interaction/following.py) and tells here what it reads; what is
known is made anew when it is next asked for, so that a package of a thousand costs one renewal.
Work under way goes on with what it began with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from fhir_server.conformance.canonicals import CONFORMANCE_TYPES, Canonical, Canonicals, of_resource
from fhir_server.conformance.definitions import Definitions
from fhir_server.foundation.resource import Key
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import Stored
from fhir_server.terminology.terms import Terms
from fhir_server.validation.validator import Validator


@dataclass(frozen=True, slots=True)
class Known:
    """What is known at one moment; immutable."""

    canonicals: Canonicals
    terms: Terms
    validator: Validator


class Knowledge:
    """What is known now. One for a worker process; learn() may come from any task of its loop.

    below: R4 and the folders. make: what is known, given all canonicals. own: URLs that are R4's
    and stay R4's, whatever is stored under them: HL7's own examples are such resources.
    """

    def __init__(
        self,
        below: Canonicals,
        make: Callable[[Canonicals], Known],
        *,
        own: Callable[[str], bool] = lambda _url: False,
    ) -> None:
        self.below = below
        self._make = make
        self._own = own
        self._stored: dict[Key, tuple[int, Canonical | None]] = {}  # with the generation
        self._known: Known | None = None

    @property
    def current(self) -> Known:
        known = self._known
        # A file of a large code system was added or removed: what is compiled asks it anew.
        if known is None or known.terms.is_stale():
            stored = [entry for _, entry in self._stored.values() if entry is not None]
            known = self._known = self._make(self.below.above(stored))
        return known

    def imagined(self, canonicals: Canonicals) -> Known:
        """What would be known, were these all canonicals."""
        return self._make(canonicals)

    def learn(self, versions: Iterable[Stored]) -> None:
        """Take in versions of resources, deletions too; those of other types, and those older
        than what is known, are passed over."""
        for version in versions:
            if version.key.type not in CONFORMANCE_TYPES:
                continue
            generation, _ = self._stored.get(version.key, (0, None))
            if version.generation > generation:
                self._stored[version.key] = (version.generation, self._entry(version))
                self._known = None

    def forget(self) -> None:
        """Know nothing of what is stored: the store was restored, and is read again."""
        self._stored.clear()
        self._known = None

    def _entry(self, version: Stored) -> Canonical | None:
        entry = definition(version)
        return None if entry is None or self._own(entry.url) else entry


def definition(version: Stored) -> Canonical | None:
    """A stored version as a definition; None where it is a deletion or has no URL.

    Its bytes are kept, not the resource: of thousands that are stored few are ever asked for.
    """
    if version.tail is None:
        return None
    found = of_resource(resource_of(version), "stored")
    if found is None:
        return None
    load = lru_cache(maxsize=1)(lambda: resource_of(version))
    return Canonical(found.type, found.url, found.version, "stored", load, version.key.id)


def base_knowledge(definitions: Definitions) -> Knowledge:
    """R4's structure and nothing above it but what is stored: no folder, no policy."""
    return Knowledge(
        Canonicals(()),
        lambda canonicals: Known(canonicals, Terms(canonicals), Validator(definitions)),
    )
