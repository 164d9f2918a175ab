"""attempt — one try at a transaction: what each entry means now, and the Unit that does it all.

https://hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from fhir_server.conformance.links import CONDITIONAL
from fhir_server.foundation.outcome import (
    Invalid,
    Issue,
    PreconditionFailed,
    TooLarge,
    Unprocessable,
)
from fhir_server.foundation.resource import Key, Resource
from fhir_server.interaction import aiming, create, delete, patch, update, writing
from fhir_server.interaction.asking import understood
from fhir_server.interaction.bundle.entry import Request
from fhir_server.interaction.bundle.references import Names, Reading
from fhir_server.interaction.bundle.respond import at
from fhir_server.interaction.context import Answer, Circumstances, Pairs, Server
from fhir_server.search.evaluate import holds
from fhir_server.search.query import Query
from fhir_server.store.contract import (
    Assumption,
    NewVersion,
    Stale,
    Stored,
    Unchanged,
    Unit,
    rid,
)

INTERACTIONS = {"PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(slots=True)
class Action:
    """What one entry turns out to mean.

    key: the resource it writes (None for a conditional delete). stored: its newest version.
    found: the resource a conditional create need not create. gone: what a delete removes.
    content: what is to be written, the Bundle's names replaced. reading: how its links are read,
    where some depend on other entries. warnings: of a patch, which is checked here.
    """

    request: Request
    key: Key | None = None
    stored: Stored | None = None
    found: Stored | None = None
    gone: list[Stored] = field(default_factory=list)
    content: Resource | None = None
    reading: Reading | None = None
    versions: list[NewVersion] = field(default_factory=list)
    warnings: tuple[Issue, ...] = ()


class Attempt:
    """Look, then make a Unit. A new Attempt is made for every try."""

    def __init__(
        self, server: Server, circumstances: Circumstances, requests: list[Request]
    ) -> None:
        self.server = server
        self.circumstances = circumstances
        self.actions = [Action(request) for request in requests]
        self.assumptions: list[Assumption] = []
        self.unchanged: list[Unchanged] = []
        self.names = Names()
        self.linked: dict[str, str] = {}  # conditional reference -> Type/id
        self.writers: dict[Key, Action] = {}
        self._building: set[Key] = set()

    @property
    def alive(self) -> set[Key]:
        return {key for key, action in self.writers.items() if not action.gone}

    @property
    def condemned(self) -> set[Key]:
        return {key for key, action in self.writers.items() if action.gone}

    async def unit(self) -> Unit:
        """Raises what the entries' own interactions would, located at the entry."""
        asking = [action for action in self.actions if not self._aimed(action)]
        await asyncio.gather(*(self._aim(action) for action in asking))
        await self._read_targets()
        self._demand_one_writer_each()
        await self._patch()
        self._name()
        await self._link()
        for action in self.actions:
            self._build(action)
        versions = tuple(version for action in self.actions for version in action.versions)
        return Unit(versions, tuple(self.assumptions), tuple(self.unchanged))

    # --- which resource each entry means ---------------------------------------------------------

    def _aimed(self, action: Action) -> bool:
        """Whether an entry names or makes its resource; the others have to ask who is meant."""
        request = action.request
        if request.method == "POST" and request.if_none_exist is None:
            action.key = Key(request.type, self.server.new_id())
        elif request.id is not None:
            action.key = Key(request.type, request.id)
        return action.key is not None

    async def _aim(self, action: Action) -> None:
        request = action.request
        condition = request.condition
        with at(request.place):
            match request.method:
                case "POST":
                    await self._aim_create(action)
                case "DELETE":
                    assert condition is not None, "who names nobody has a condition"
                    action.gone, assumed = await delete.condemned(
                        self.server, self.circumstances, request.type, condition
                    )
                    self.assumptions.append(assumed)
                case _:
                    assert condition is not None, "who names nobody has a condition"
                    await self._aim_condition(action, condition)

    async def _aim_create(self, action: Action) -> None:
        request = action.request
        assert request.if_none_exist is not None
        self.circumstances.access.demand("create", request.type)
        condition = create.criteria(request.if_none_exist)
        found, assumed = await aiming.the_match(
            self.server, self.circumstances, request.type, condition, "create"
        )
        self.assumptions.append(assumed)
        action.key = found.key if found else Key(request.type, self.server.new_id())
        action.found = found

    async def _aim_condition(self, action: Action, condition: Pairs) -> None:
        request = action.request
        if request.method == "PUT":
            asked = update.Ask(request.type, None, request.resource or {}, None, condition)
            target = await update.aim(self.server, self.circumstances, asked)
        else:
            change = patch.Ask(request.type, None, request.resource, "fhirpath", None, condition)
            target = await patch.aim(self.server, self.circumstances, change)
        action.key, action.stored = target.key, target.stored
        self.assumptions.extend(target.assumptions)

    async def _read_targets(self) -> None:
        """The newest version of everything named by its id, in one question for each method."""
        for method, interaction in INTERACTIONS.items():
            named = [
                (action, action.key)
                for action in self.actions
                if action.request.method == method and action.request.id is not None and action.key
            ]
            if not named:
                continue
            keys = [key for _, key in named]
            held = await aiming.all_newest(self.server, self.circumstances, keys, interaction)
            for action, key in named:
                action.stored = held.get(key)
                if method == "DELETE" and action.stored:
                    action.gone = [action.stored]
                if method == "PUT" and action.stored is None:
                    with at(action.request.place):
                        await aiming.demand_new(self.server, self.circumstances, key)

    def _demand_one_writer_each(self) -> None:
        """R4 http#trules: "A resource can only appear in a transaction once (by identity)."""
        criteria: dict[tuple[str, str], Action] = {}
        for action in self.actions:
            request = action.request
            if request.if_none_exist is not None:
                same = criteria.setdefault((request.type, request.if_none_exist), action)
                if same is not action:
                    self._refuse_twice(same, action, f"the {request.type} of the same criteria")
            keys = [stored.key for stored in action.gone] or ([action.key] if action.key else [])
            for key in keys:
                other = self.writers.setdefault(key, action)
                if other is not action:
                    self._refuse_twice(other, action, f"`{key}`")

    def _refuse_twice(self, one: Action, other: Action, what: str) -> None:
        raise Invalid(
            f"`{one.request.place}` and `{other.request.place}` both mean {what}; a resource may "
            "appear in a transaction once.",
            expression=other.request.place,
        )

    # --- names and links -------------------------------------------------------------------------

    def _name(self) -> None:
        for action in self.actions:
            request = action.request
            if request.method in ("POST", "PUT") and action.key:
                self.names.learn(request.full_url, request.resource, action.key)

    async def _link(self) -> None:
        """Find what every conditional reference means: in the store, or in this Bundle."""
        asked: dict[str, Request] = {}
        for action in self.actions:
            if action.request.method in ("POST", "PUT") and action.found is None:
                self._content(action)
                if action.reading is not None:
                    for reference in action.reading.conditional():
                        asked.setdefault(reference, action.request)
        if not asked:
            return
        most = self.server.limits.conditional_references
        if len(asked) > most:
            raise TooLarge(
                f"The transaction holds {len(asked):,} different conditional references, the most "
                f"is {most:,} (setting `conditional_references`)."
            )
        found = await asyncio.gather(*(self._resolved(r, where) for r, where in asked.items()))
        self.linked = dict(zip(asked, found, strict=True))

    async def _resolved(self, reference: str, where: Request) -> str:
        parts = CONDITIONAL.fullmatch(reference)
        assert parts is not None, "only conditional references are collected"
        type = parts["type"]
        with at(where.place):
            if type not in self.server.definitions.resource_types:
                raise Invalid(f"`{type}` in `{reference}` is not a resource type of R4.")
            condition = parse_qsl(parts["query"], keep_blank_values=True)
            found, assumed = await aiming.matches(self.server, self.circumstances, type, condition)
            self.assumptions.append(assumed)
            keys = await self._keys(type, found, condition)
            if len(keys) != 1:
                many = "more than one" if keys else "no"
                raise PreconditionFailed(
                    f"The conditional reference `{reference}` must match exactly one {type}; "
                    f"{many} {type} matches."
                )
        return str(keys.pop())

    async def _keys(self, type: str, found: tuple[int, ...], condition: Pairs) -> set[Key]:
        """Matches as they will be after this transaction: R4 resolves these references last."""
        stored = await self.server.store.by_rid(found, self.circumstances.reach("search"))
        if len(stored) != len(found):
            raise Stale
        keys = {s.key for s in stored if s.key not in self.writers or self._is_kept(s.key)}
        query: Query | None = None
        for key, action in self.writers.items():
            if key.type != type or action.gone or action.found is not None:
                continue
            if query is None:
                query = await understood(self.server, self.circumstances, (type,), condition)
            rows = self.server.indexer.rows(self._content(action))
            if holds(query.where, rows, rid=rid(key), updated=0):
                keys.add(key)
        return keys

    def _is_kept(self, key: Key) -> bool:
        return self.writers[key].found is not None

    # --- the versions ----------------------------------------------------------------------------

    def _content(self, action: Action) -> Resource:
        """What the entry writes, under its id, with the names of the Bundle replaced."""
        if action.content is None:
            request, key = action.request, action.key
            assert key is not None and request.resource is not None
            named = writing.with_id(request.resource, key.id)
            reading = self.names.seen_from(request.full_url)
            action.content = self.server.links.renamed(named, reading.first)
            action.reading = reading if reading.later else None
        return action.content

    async def _patch(self) -> None:
        """What is patched is what it will be from here on."""
        for action in self.actions:
            if action.request.method == "PATCH":
                with at(action.request.place):
                    action.content = await self._patched(action)

    async def _patched(self, action: Action) -> Resource:
        key, stored = action.key, action.stored
        assert key is not None, "who names nobody was asked for by a condition"
        if stored is None or stored.deleted:
            raise Invalid(
                f"`{key}` is not here, so it cannot be patched.",
                expression=f"{action.request.place}.request.url",
            )
        document = action.request.resource
        if document is None or document.get("resourceType") != "Parameters":
            raise Invalid(
                "A PATCH in a Bundle is a FHIRPath Patch: its resource is a Parameters.",
                expression=f"{action.request.place}.resource",
            )
        writing.demand_version(action.request.if_match, stored, key)
        content, action.warnings = await patch.patched(
            self.server, stored, document, "fhirpath", self.circumstances
        )
        return content

    def _build(self, action: Action) -> None:
        """Make the versions of one entry, unless another one's link made them already."""
        request = action.request
        if action.versions:
            return
        if action.found is not None:
            self.unchanged.append(writing.still(action.found))
            return
        with at(request.place):
            if request.method == "DELETE":
                if request.id is not None:
                    key = Key(request.type, request.id)
                    writing.demand_version(request.if_match, action.stored, key)
                alive = [stored for stored in action.gone if not stored.deleted]
                action.versions = [writing.deletion(self.server, stored) for stored in alive]
            else:
                self._build_content(action)

    def _build_content(self, action: Action) -> None:
        request, key = action.request, action.key
        assert key is not None
        if request.method == "PUT" and request.id is not None:
            update.demand_id(request.resource or {}, request.id)
        writing.demand_version(request.if_match, action.stored, key)
        content = self._content(action)
        if action.reading is not None:
            self._building.add(key)
            new_name = action.reading.second(self.linked, self._version_of)
            content = self.server.links.renamed(content, new_name)
            self._building.discard(key)
        before = action.stored
        if before is not None and writing.says(before, content):
            self.unchanged.append(writing.still(before))
            return
        action.versions = [
            writing.new_version(self.server, self.circumstances, content, request.method, before)
        ]

    def _version_of(self, key: Key) -> str:
        """The id of the version this transaction makes of `key`, for links that name versions."""
        action = self.writers[key]
        if key in self._building:
            raise Unprocessable(
                f"Version-specific references go in a circle through `{key}`; a version's id "
                "depends on its content. Leave `/_history/...` out of one of them.",
                expression=action.request.place,
            )
        self._build(action)
        if action.versions:
            return writing.written_id(action.versions[0])
        kept = action.found or action.stored
        assert kept is not None, "nothing was written, so it was there"
        return kept.version_id

    # --- answers ---------------------------------------------------------------------------------

    def answers(self, updated: int) -> Iterator[tuple[Request, Answer]]:
        """What became of each entry, given the time of the commit."""
        for action in self.actions:
            answer = self._answer(action, updated)
            yield action.request, writing.with_warnings(answer, action.warnings)

    def _answer(self, action: Action, updated: int) -> Answer:
        if action.request.method == "DELETE":
            if len(action.versions) == 1:
                return writing.written(action.versions[0], 204, updated)
            return Answer(status=204)
        if action.versions:
            status = writing.after_status(action.stored)
            wanted = self.circumstances.representation
            return writing.written(action.versions[0], status, updated, with_body=wanted)
        kept = action.found or action.stored
        assert kept is not None, "nothing was written, so it was there"
        self.circumstances.tell(kept)
        return writing.unwritten(kept)
