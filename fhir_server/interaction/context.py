"""context — what every interaction is given and gives back, whichever way it travelled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from fhir_server.conformance.definitions import Definitions
from fhir_server.conformance.links import Links
from fhir_server.conformance.subset import WHOLE, Shape
from fhir_server.foundation.outcome import (
    FhirError,
    Forbidden,
    Issue,
    Unavailable,
    UnknownType,
)
from fhir_server.foundation.resource import Key, Resource
from fhir_server.interaction.anchoring import Anchoring
from fhir_server.interaction.departments import Departments
from fhir_server.interaction.following import Following
from fhir_server.interaction.reindexing import Reindexing
from fhir_server.interaction.renewing import Renewing
from fhir_server.interaction.sourcing import Source
from fhir_server.interaction.stirring import Stirring
from fhir_server.interaction.text_following import TextFollowing
from fhir_server.interaction.waiting import Waiting
from fhir_server.search.index import Indexer
from fhir_server.search.live import Live
from fhir_server.search.parameters import Parameters
from fhir_server.security.audit.record import Record
from fhir_server.security.caller import OPEN, OPERATOR, Caller
from fhir_server.security.decision import Access
from fhir_server.security.deidentify import Means
from fhir_server.security.tokens.credentials import Credentials
from fhir_server.store.contract import NOTHING, Restriction, Store, Stored, Unit
from fhir_server.validation.knowledge import Knowledge
from fhir_server.validation.validator import Validator

if TYPE_CHECKING:
    from fhir_server.security.tokens.authority import Authority

# R4 http#parameters: "for use with all of the interactions"; they are no criteria.
GENERAL = ("_format", "_pretty", "_summary", "_elements")
Pairs = Sequence[tuple[str, str]]  # the parameters of a query, decoded, in their order


# A figure of the moment: its name, what it means, of which part (empty: the whole), its value.
Figure = tuple[str, str, str, float]


class Rights(Protocol):
    """What a caller may; fhir_server/security/decision.py makes it out, as an Access."""

    def reach(self, interaction: str) -> Restriction:
        """The part of every query: of what is beyond, nothing is told."""

    def demand(self, interaction: str, type: str) -> None:
        """Raises Forbidden where no record of the type could be reached, whatever there are."""

    def able(self, ability: str) -> bool:
        """Whether they may do or see what is no resource: `metrics`, `reindex`."""

    def may_ask(self, parameter: str) -> bool:
        """Whether records may be searched, sorted or counted by it."""

    def shown(self, means: Means, resource: Resource) -> Resource:
        """The resource as they may see it; itself where all of it may be seen."""

    def counted(self, number: int) -> int | None:
        """How many there are, as far as they may know; None: that is not told."""

    @property
    def sees_whole(self) -> bool:
        """Whether all of a record within reach may be seen."""

    @property
    def sees_records(self) -> bool:
        """Whether they see records at all, and not only how many there are."""

    @property
    def has_pseudonyms(self) -> bool:
        """Whether records are told, and asked for, by other ids than their own."""


class Admitted(NamedTuple):
    """Who asks, and what they may."""

    caller: Caller
    access: Rights


class NotAdmitted(Forbidden):
    """Who asks is known, and may nothing at all: the audit names them."""

    def __init__(self, caller: Caller, refusal: Forbidden) -> None:
        super().__init__(str(refusal), issues=refusal.issues, headers=refusal.headers)
        self.caller = caller


class Gate(Protocol):
    """Says of each request whose it is."""

    async def admitted(self, credentials: Credentials) -> Admitted:
        """Raises Unauthorized, Forbidden, and Invalid for what is malformed."""

    async def admitted_again(self, caller: Caller) -> Admitted:
        """Who was admitted before, with the rights they have now: what they asked for could not be
        done then. Raises Forbidden."""


class Shut:
    """The rights of who has not been admitted: none."""

    def reach(self, interaction: str) -> Restriction:  # noqa: ARG002 - the signature is Rights'
        return NOTHING

    def demand(self, interaction: str, type: str) -> None:
        raise Forbidden(f"Nobody has said who asks, so `{type}` is not reached by {interaction}.")

    def able(self, ability: str) -> bool:  # noqa: ARG002 - the signature is Rights'
        return False

    def may_ask(self, parameter: str) -> bool:  # noqa: ARG002 - the signature is Rights'
        return False

    sees_whole = sees_records = False
    has_pseudonyms = True

    def shown(self, means: Means, resource: Resource) -> Resource:  # noqa: ARG002 - as above
        return {}

    def counted(self, number: int) -> int | None:  # noqa: ARG002 - as above
        return None


NOBODY = Admitted(Caller(OPEN.client), Shut())
EVERYBODY = Admitted(OPEN, Access.open(OPEN))


class OpenGate:
    """Everybody comes in, to everything: a server that only its own machine reaches."""

    async def admitted(self, credentials: Credentials) -> Admitted:  # noqa: ARG002 - whoever it is
        return EVERYBODY

    async def admitted_again(self, caller: Caller) -> Admitted:  # noqa: ARG002 - whoever it is
        return EVERYBODY


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


class Linker(Protocol):
    """Knows people who were registered twice; fhir_server/sync/matching, which stands above."""

    @property
    def every_write(self) -> bool:
        """Whether what clients write is looked at, and not only what nodes send."""

    async def linked(self, server: Server, circumstances: Circumstances, unit: Unit) -> Unit:
        """The unit with what links its Patients to others that are the same person. Rows are
        added, so that those of the log are numbered afterwards."""


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


class Closing:
    """Whether nothing is answered any more, and why."""

    def __init__(self) -> None:
        self._why: tuple[str, str] | None = None

    def because(self, english: str, vietnamese: str) -> None:
        self._why = english, vietnamese

    def demand_open(self) -> None:
        """Raises Unavailable."""
        if self._why is not None:
            english, vietnamese = self._why
            raise Unavailable(english, vietnamese=vietnamese)


@dataclass(frozen=True, slots=True)
class Server:
    """The parts of a running server (put together in fhir_server/server.py)."""

    definitions: Definitions
    links: Links
    live: Live
    knowledge: Knowledge
    following: Following
    store: Store
    gate: Gate  # who comes in
    secret: bytes  # seals cursors
    new_id: Callable[[], str]
    limits: Limits = field(default_factory=Limits)
    software_version: str = "0"
    released: str = "2026-01-01"  # the date of the CapabilityStatement: it changes with the program
    lasting_secret: bytes = b""  # seals the cursors of followers, which outlive a new index
    many_deletes: bool = False  # a conditional delete may remove more than one
    operations: Operations = field(default_factory=NoOperations)
    linker: Linker | None = None  # None: nobody is linked
    texts: TextFollowing | None = None  # None: no index of words is kept
    authority: Authority | None = None  # who gives and knows tokens; None: nobody is asked for any
    audit: bool = False  # whether every access is written down
    anchoring: Anchoring | None = None  # None: the audit is anchored nowhere
    reindexing: Reindexing | None = None  # None: no index is filled in the background
    renewing: Renewing | None = None  # None: the policy has no file that could change
    # waited for before a write is answered: a second copy of it; None: none is kept
    copied: Callable[[], Awaitable[None]] | None = field(default=None, compare=False)
    departments: Departments = field(default_factory=Departments, compare=False)
    waiting: Waiting = field(default_factory=Waiting, compare=False)
    closing: Closing = field(default_factory=Closing, compare=False)
    stirring: Stirring = field(default_factory=Stirring, compare=False)  # for who waits for a part
    # what goes on beside the requests from the start to the stop, each given the server
    background: list[Callable[[Server], Coroutine[Any, Any, None]]] = field(
        default_factory=list, compare=False
    )
    # what is looked up when the metrics are asked for
    measures: Sequence[Callable[[Server], Awaitable[Sequence[Figure]]]] = ()
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
    """What comes with any request, beside the thing that is asked.

    Who asks and what they reach have no default: whoever forgot them would reach everything.
    """

    caller: Caller
    access: Rights
    base: str = "http://127.0.0.1:8000/fhir"  # the base URL as the client sees it
    strict: bool = True  # Prefer: handling=strict | lenient
    shape: Shape = WHOLE  # _summary and _elements
    once: Once | None = None
    representation: bool = False  # Prefer: return=representation, for the entries of a Bundle
    language: str | None = None  # in which issues are told: en, vi; None: both
    text: tuple[bytes, str] | None = None  # the body, and `json` or `xml`: for lines of issues
    record: Record | None = None  # gathers what is told, for the audit; None: none is kept
    source: Source | None = None  # of what is written, told by a Provenance; None: it has none
    wait: float = 0.0  # seconds that a follower waits for something new

    def tell(self, *versions: Stored) -> None:
        """These are put into the answer."""
        if self.record is not None:
            self.record.tell(versions)

    def reach(self, interaction: str) -> Restriction:
        """What the caller reaches by this interaction: create, read, update, patch, delete,
        search, history or operation."""
        return self.access.reach(interaction)


BY_OPERATOR = Circumstances(
    OPERATOR, Access.open(OPERATOR)
)  # the command line of the machine itself


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
