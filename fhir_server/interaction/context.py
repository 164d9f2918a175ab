"""context — what every interaction is given and gives back, whichever way it travelled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fhir_server.conformance.definitions import Definitions
from fhir_server.conformance.links import Links
from fhir_server.conformance.subset import WHOLE, Shape
from fhir_server.foundation.outcome import FhirError, Issue, UnknownType
from fhir_server.foundation.resource import Key, Resource
from fhir_server.interaction.following import Following
from fhir_server.interaction.reindexing import Reindexing
from fhir_server.interaction.text_following import TextFollowing
from fhir_server.search.index import Indexer
from fhir_server.search.live import Live
from fhir_server.search.parameters import Parameters
from fhir_server.store.contract import EVERYTHING, Restriction, Store
from fhir_server.validation.knowledge import Knowledge
from fhir_server.validation.validator import Validator

# R4 http#parameters: "for use with all of the interactions"; they are no criteria.
GENERAL = ("_format", "_pretty", "_summary", "_elements")
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
    included: int = 1000  # resources a page holds beside its matches
    include_levels: int = 10  # how far `:iterate` goes on
    cursor_days: int = 7  # as long as the store keeps what moved (the setting idempotency_days)
    bundle_entries: int = 10_000
    conditional_delete: int = 1000  # how many one conditional delete may remove
    conditional_references: int = 1000  # different ones in one transaction
    attempts: int = 64  # how often a contended write looks again


@dataclass(frozen=True, slots=True)
class Asked:
    """An extended operation as a request or the entry of a Bundle names it.

    resource: the body, a Parameters or what is judged or worked on itself; text: the bytes it was
    read from and what they are written in (`json`, `xml`); unreadable: why it could not be read.
    """

    name: str  # without `$`
    method: str  # GET | POST
    type: str | None = None
    id: str | None = None
    pairs: Pairs = ()
    resource: Resource | None = None
    text: tuple[bytes, str] | None = None
    unreadable: FhirError | None = None


class Offered(Protocol):
    """What is told of an operation in the CapabilityStatement; types None: it is of all."""

    @property
    def name(self) -> str: ...
    @property
    def definition(self) -> str: ...
    @property
    def levels(self) -> frozenset[str]: ...
    @property
    def types(self) -> frozenset[str] | None: ...


class Operations(Protocol):
    """The extended operations there are; fhir_server/operation, which stands above, has them."""

    @property
    def offered(self) -> Sequence[Offered]: ...

    def perform(
        self, server: Server, asked: Asked, circumstances: Circumstances
    ) -> Awaitable[Answer]: ...


class NoOperations:
    """A server without any."""

    offered: Sequence[Offered] = ()

    async def perform(
        self,
        server: Server,  # noqa: ARG002 - the signature is that of Operations
        asked: Asked,
        circumstances: Circumstances,  # noqa: ARG002 - as is this
    ) -> Answer:
        raise UnknownType(f"The operation `${asked.name[:64]}` is not supported here.")


@dataclass(frozen=True, slots=True)
class Server:
    """The parts of a running server (put together in fhir_server/server.py)."""

    definitions: Definitions
    links: Links
    live: Live
    knowledge: Knowledge
    following: Following
    store: Store
    secret: bytes  # signs cursors
    new_id: Callable[[], str]
    limits: Limits = field(default_factory=Limits)
    software_version: str = "0"
    released: str = "2026-01-01"  # the date of the CapabilityStatement: it changes with the program
    many_deletes: bool = False  # a conditional delete may remove more than one
    operations: Operations = field(default_factory=NoOperations)
    texts: TextFollowing | None = None  # None: no index of words is kept
    reindexing: Reindexing | None = None  # None: no index is filled in the background
    # told of the issues found in what was to be stored
    observers: list[Callable[[Sequence[Issue]], None]] = field(default_factory=list, compare=False)

    @property
    def parameters(self) -> Parameters:
        """The search parameters of this moment."""
        return self.live.current.parameters

    @property
    def indexer(self) -> Indexer:
        """What makes index rows by them."""
        return self.live.current.indexer

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
    language: str | None = None  # in which issues are told: en, vi; None: both
    text: tuple[bytes, str] | None = None  # the body, and `json` or `xml`: for lines of issues


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
