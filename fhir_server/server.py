"""server — the parts of a running server, put together in one place."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fhir_server import RELEASED
from fhir_server.conformance import definitions
from fhir_server.conformance.canonicals import Canonicals
from fhir_server.conformance.definitions import Definitions
from fhir_server.conformance.links import Links
from fhir_server.conformance.package import folder_of_definitions, in_dependency_order, layered
from fhir_server.conformance.places import folder
from fhir_server.conformance.r4_resources import SOURCE, canonicals_of_r4
from fhir_server.conformance.snapshot import BrokenProfile, Snapshots
from fhir_server.foundation.resource import Resource
from fhir_server.interaction.admitting import Guarded
from fhir_server.interaction.anchoring import Anchoring
from fhir_server.interaction.context import Gate, Limits, OpenGate, Server
from fhir_server.interaction.declaring import Declaring
from fhir_server.interaction.following import Following
from fhir_server.interaction.reindexing import Reindexing
from fhir_server.interaction.renewing import Renewing, reading
from fhir_server.interaction.text_following import TextFollowing
from fhir_server.interaction.waiting import Waiting
from fhir_server.operation.table import Table
from fhir_server.search.index import Indexer
from fhir_server.search.live import Live
from fhir_server.search.parameters import Parameters
from fhir_server.search.texts import Texts
from fhir_server.security.policy import Policy as AccessPolicy
from fhir_server.security.policy_file import built_in, of_file
from fhir_server.security.tokens.authority import Authority
from fhir_server.security.tokens.discovery import DiscoveredKeys, Discovery
from fhir_server.security.tokens.fetching import Fetch, FileKeys, Https, Keys, UrlKeys
from fhir_server.security.tokens.provider import ALGORITHMS, Provider
from fhir_server.settings import Settings
from fhir_server.store.contract import Store
from fhir_server.store.engine import store_at
from fhir_server.store.schema import anchors_file, key_file
from fhir_server.store.upkeep.side import has_one_writer
from fhir_server.sync.conflicts import asked
from fhir_server.sync.figures import figures as sync_figures
from fhir_server.sync.hub import tending
from fhir_server.sync.hub.homes import keep
from fhir_server.sync.matching.linker import Linker
from fhir_server.sync.matching.rules import built_in as built_in_rules
from fhir_server.sync.matching.rules import of_file as of_rules
from fhir_server.sync.node import copying, wiping, working
from fhir_server.sync.node.copying import Copying
from fhir_server.sync.operations import OPERATIONS
from fhir_server.terminology.large import Folder
from fhir_server.terminology.terms import Terms
from fhir_server.validation.knowledge import Knowledge, Known
from fhir_server.validation.messages import issue
from fhir_server.validation.policy import Policy
from fhir_server.validation.validator import Validator

log = logging.getLogger(__name__)

Work = Callable[[Server], Coroutine[Any, Any, None]]
OFF = "off"  # `profiles` that leave R4 alone; a `provider_configuration` that is not looked at


def build(settings: Settings) -> Server:
    """A server whose store is not open yet; `rest.app` opens it, or `async with opened(...)`."""
    known = definitions.load()
    indexer = indexer_of(settings, Parameters(known))
    live = Live(indexer)
    knowledge = knowledge_of(settings, known)
    store = kept_at(settings, indexer)
    authority = authority_of(settings, store) if settings.access == "on" else None
    gate, renewing = gate_of(settings, authority, store, live, knowledge)
    declaring = Declaring(live, store, partial(folder_parameters, settings, knowledge))
    copies = copying_of(settings)
    return Server(
        definitions=known,
        links=Links(known),
        live=live,
        knowledge=knowledge,
        following=Following(knowledge, store, alone=settings.workers == 1, declaring=declaring),
        store=store,
        gate=gate,
        # A link to a next page tells a place in an index, and ends with that index.
        secret=f"{settings.secret} {indexer.stamp.text}".encode(),
        lasting_secret=settings.secret.encode(),
        new_id=uuid7_ids(),
        limits=limits_of(settings),
        software_version=version("fhir-server"),
        released=RELEASED,
        many_deletes=settings.many_deletes,
        operations=Table(OPERATIONS),
        linker=linker_of(settings),
        waiting=Waiting(max(1, settings.concurrency // 2)),
        background=background_of(settings, gate, copies),
        copied=copies.covered if copies else None,
        measures=(sync_figures,),
        audit=is_audited(settings),
        anchoring=anchoring_of(settings, store),
        authority=authority,
        reindexing=Reindexing(declaring, rate=settings.reindex_rate),
        renewing=renewing,
        texts=TextFollowing(Texts(indexer.parameters), store) if settings.text_index else None,
    )


def gate_of(
    settings: Settings,
    authority: Authority | None,
    store: Store,
    live: Live,
    knowledge: Knowledge,
) -> tuple[Gate, Renewing | None]:
    """Who comes in, and what looks whether the policy's file has changed. Raises BadFile."""
    if authority is None:
        return OpenGate(), None
    if not settings.access_policy:
        return Guarded(authority, built_in(), store, live, knowledge), None
    file = Path(settings.access_policy)
    first = reading(file)
    gate = Guarded(authority, first.policy, store, live, knowledge)
    return gate, Renewing(file, first, gate.take, store)


def kept_at(settings: Settings, indexer: Indexer) -> Store:
    return store_at(
        settings.database_url,
        pool_size=settings.pool_size,
        stamp=indexer.stamp,
        keep_days=settings.idempotency_days,
    )


def background_of(settings: Settings, gate: Gate, copies: Copying | None = None) -> list[Work]:
    """What goes on beside the requests: on a hub homes are kept and conflicts tended; a node talks
    with its hub."""
    found: list[Work] = [partial(keep, partial(policy_of_gate, gate))]
    if not settings.hub:
        found.append(tending.keep)
    else:
        found.append(partial(working.work, node_of(settings)))
    if copies is not None:
        found.append(copies.work)
    if has_one_writer(settings.database_url):
        found.append(asked.keep)  # commands beside the server have it answer
    return found


def node_of(settings: Settings) -> working.Settings:
    return working.Settings(
        settings.hub.rstrip("/"),
        node_key_file(settings),
        several=settings.workers > 1,
        key_days=settings.hub_key_days,
        database=settings.database_url,
        stop=wiping.stop,
    )


def copying_of(settings: Settings) -> Copying | None:
    """What keeps a node's copy; None: none is kept."""
    if not (settings.hub and settings.hub_copy):
        return None
    return Copying(copying.Settings(Path(settings.hub_copy), node_of(settings)))


def policy_of_gate(gate: Gate) -> AccessPolicy | None:
    """The policy of the moment; None: everybody comes in."""
    return gate.policy if isinstance(gate, Guarded) else None


def node_key_file(settings: Settings) -> Path:
    """Where the key is that this server is enrolled with as a node."""
    return key_file(settings.database_url, settings.hub_key)


def linker_of(settings: Settings) -> Linker | None:
    """What links people who were registered twice; on a node nothing does, the hub's links come to
    it. Raises BadFile."""
    if settings.matching == OFF or settings.hub:
        return None
    file = settings.matching
    return Linker(of_rules(Path(file)) if file else built_in_rules(), settings.match_writes)


def access_policy_of(settings: Settings) -> AccessPolicy:
    """Who may reach what. Raises BadFile."""
    return of_file(Path(settings.access_policy)) if settings.access_policy else built_in()


def authority_of(settings: Settings, store: Store) -> Authority:
    """Who gives tokens, and knows those of the outside provider."""
    fetch = Https(inside=settings.private_keys_urls)
    base = settings.public_base_url
    return Authority(
        store,
        base=base,
        outside=provider_of(settings, fetch) if settings.provider else None,
        fetch=fetch,
        secret=settings.secret.encode(),
        days=settings.refresh_days,
    )


def provider_of(settings: Settings, fetch: Fetch) -> Provider:
    """The outside provider: its keys as they are told, or where its own configuration says."""
    told, source = settings.provider_keys, settings.provider_configuration
    discovery = Discovery(settings.provider, "" if source == OFF else source, fetch)
    keys: Keys
    if not told:
        keys = DiscoveredKeys(discovery, ALGORITHMS, fetch)
    elif told.startswith("https://"):
        keys = UrlKeys(told, ALGORITHMS, fetch)
    else:
        keys = FileKeys(Path(told), ALGORITHMS)
    return Provider(
        settings.provider,
        keys,
        settings.provider_audience or settings.public_base_url,
        None if source == OFF else discovery,
    )


def is_audited(settings: Settings) -> bool:
    """Who may see what is told apart only together with who saw it."""
    return settings.audit or settings.access == "on"


def anchoring_of(settings: Settings, store: Store) -> Anchoring | None:
    file = anchors_file(settings.database_url, settings.audit_anchors)
    if not is_audited(settings) or file is None:
        return None
    return Anchoring(store, file, settings.audit_anchor_seconds)


def limits_of(settings: Settings) -> Limits:
    return Limits(
        page_size=settings.page_size,
        max_page_size=settings.max_page_size,
        included=settings.included,
        include_levels=settings.include_levels,
        cursor_days=settings.idempotency_days,
        bundle_entries=settings.bundle_entries,
        conditional_delete=settings.conditional_delete,
        conditional_references=settings.conditional_references,
        attempts=settings.attempts,
    )


def knowledge_of(settings: Settings, known: Definitions) -> Knowledge:
    """What is known before anything is stored: R4, and the folders of the deployment."""
    own = canonicals_of_r4()
    policy = policy_of(settings)
    large = Folder(Path(settings.terminology_folder))

    before: Terms | None = None

    def make(canonicals: Canonicals) -> Known:
        nonlocal before
        terms = before = Terms(canonicals, files=large, before=before)
        validator = Validator(
            known,
            reference_targets=settings.reference_targets,
            canonicals=canonicals,
            terms=terms,
            policy=policy,
            zone_minutes=settings.zone_minutes,
        )
        return Known(canonicals, terms, validator)

    everything = below(settings)
    if policy is not None:
        demand_usable(policy, everything)
    return Knowledge(everything, make, own=lambda url: own.entry(url) is not None)


def folder_parameters(settings: Settings, knowledge: Knowledge) -> list[Resource] | None:
    """The SearchParameters of the deployment's folders; None where no folder is looked into."""
    if settings.profiles == OFF:
        return None
    found = knowledge.below.of_type("SearchParameter")
    return [entry.load() for entry in found if entry.source != SOURCE]


def demand_usable(policy: Policy, canonicals: Canonicals) -> None:
    """Say at the start which compulsory profiles cannot be used: nothing is refused by them, and
    every resource they are asked of is stored with a warning."""
    snapshots = Snapshots(canonicals)
    for url in dict.fromkeys(rule.profile for rule in policy.rules):
        try:
            snapshots.elements(url)
        except BrokenProfile as error:
            log.warning("policy.toml asks for a profile that refuses nothing. %s", error)


def below(settings: Settings) -> Canonicals:
    """R4's definitions with those of the deployment's folders above them."""
    if settings.profiles == OFF:
        return canonicals_of_r4()
    found = [
        *folder_of_definitions(folder("terminology")),
        *folder_of_definitions(profiles_of(settings)),
    ]
    ordered, problems = in_dependency_order(found)
    for problem in [*problems, *(each for package in ordered for each in package.problems)]:
        told = issue(problem.key, file=problem.file, **problem.said)
        log.warning("%s", told.diagnostics)
    return layered(canonicals_of_r4(), ordered)


def policy_of(settings: Settings) -> Policy | None:
    """Which profiles are compulsory; None: none is. Raises BadPolicy."""
    if settings.profiles == OFF:
        return None
    file = profiles_of(settings) / "policy.toml"
    return Policy.of(file) if file.exists() else None


def profiles_of(settings: Settings) -> Path:
    return Path(settings.profiles) if settings.profiles else folder("profiles")


def indexer_of(settings: Settings, parameters: Parameters | None = None) -> Indexer:
    """What makes the index rows, by the settings that have a part in them.

    Where the server listens has none: it may listen elsewhere tomorrow, on the same records.
    """
    urls = (settings.public_base_url.rstrip("/"),) if settings.public_base_url else ()
    return Indexer(
        parameters or Parameters(definitions.load()),
        zone_minutes=settings.zone_minutes,
        base_urls=urls,
    )


def uuid7_ids(clock: Callable[[], int] = time.time_ns) -> Callable[[], str]:
    """Ids in order of time (RFC 9562, version 7), so that indexes grow at their end."""
    random = _random_bits()

    def new_id() -> str:
        bits = (clock() // 1_000_000) << 80 | next(random)
        bits = bits & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62
        text = f"{bits:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    return new_id


def _random_bits() -> Iterator[int]:
    """80 bits at a time, had from the system by the page: asking costs a system call."""
    while True:
        page = os.urandom(10 * 256)
        for start in range(0, len(page), 10):
            yield int.from_bytes(page[start : start + 10])
