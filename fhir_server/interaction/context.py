"""context — what every interaction is given and gives back, whichever way it travelled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fhir_server.conformance.definitions import Definitions
from fhir_server.conformance.links import Links
from fhir_server.conformance.subset import WHOLE, Shape
from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Key
from fhir_server.interaction.following import Following
from fhir_server.search.index import Indexer
from fhir_server.search.parameters import Parameters
from fhir_server.store.contract import EVERYTHING, Restriction, Store
from fhir_server.validation.knowledge import Knowledge
from fhir_server.validation.validator import Validator

Pairs = Sequence[tuple[str, str]]  # the parameters of a query, decoded, in their order


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and what they may reach. Today: everyone, everything."""

    client: str = "anyone"
    restriction: Restriction = EVERYTHING


ANYONE = Caller()


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of architecture.md promise 10; each is a setting and each refusal names it."""

    page_size: int = 50  # entries a page holds when _count is not given
    max_page_size: int = 1000
    bundle_entries: int = 10_000
    conditional_delete: int = 1000  # how many one conditional delete may remove
    conditional_references: int = 1000  # different ones in one transaction
    attempts: int = 64  # how often a contended write looks again


@dataclass(frozen=True, slots=True)
class Server:
    """The parts of a running server (put together in fhir_server/server.py)."""

    definitions: Definitions
    links: Links
    parameters: Parameters
    indexer: Indexer
    knowledge: Knowledge
    following: Following
    store: Store
    secret: bytes  # signs cursors
    new_id: Callable[[], str]
    limits: Limits = field(default_factory=Limits)
    software_version: str = "0"
    released: str = "2026-01-01"  # the date of the CapabilityStatement: it changes with the program
    many_deletes: bool = False  # a conditional delete may remove more than one

    @property
    def validator(self) -> Validator:
        """The validator of what is known now."""
        return self.knowledge.current.validator


@dataclass(frozen=True, slots=True)
class Once:
    """An Idempotency-Key: the same key with the same request is answered, not done again.

    key is already told apart by caller, method and URL; digest is that of the request's body.
    """

    key: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What comes with any request, beside the thing that is asked."""

    base: str = "http://127.0.0.1:8000/fhir"  # the base URL as the client sees it
    caller: Caller = ANYONE
    strict: bool = True  # Prefer: handling=strict | lenient
    shape: Shape = WHOLE  # _summary and _elements
    once: Once | None = None
    representation: bool = False  # Prefer: return=representation, for the entries of a Bundle


DEFAULT = Circumstances()


@dataclass(frozen=True, slots=True)
class Answer:
    """What an interaction answers.

    body: the resource or Bundle as JSON, ready to send; None where there is none (204, 304).
    key, version_id, updated: of the one resource the answer speaks of, for ETag, Last-Modified
    and Location; None for Bundles. outcome: issues that come with a success (warnings).
    """

    status: int
    body: bytes | None = None
    key: Key | None = None
    version_id: str | None = None
    updated: int | None = None  # milliseconds since 1970 UTC
    created: bool = False  # Location is due
    headers: dict[str, str] = field(default_factory=dict)
    outcome: tuple[Issue, ...] = ()
