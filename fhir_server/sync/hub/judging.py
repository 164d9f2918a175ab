"""judging — what versions say, found once: whether they are valid, their index rows, references.

https://hl7.org/fhir/R4/validation.html

Nothing of it depends on what is stored beside the rules, so it is found while what came before is
being written, and not again where that has to be begun anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Key, Resource
from fhir_server.interaction import facility
from fhir_server.interaction.context import Circumstances, Server
from fhir_server.interaction.judging import found_errors, judged
from fhir_server.store.contract import IndexRows
from fhir_server.sync.lineage import Rev
from fhir_server.sync.words import Pushed

MOST_REFERENCES = 5000  # of one resource
MOMENT = 16  # versions after which others are served

Named = tuple[Key, Rev]


class Finding(NamedTuple):
    """rows: None where it is not valid. facility: the number of the one it names, 0: none.
    references: the resources of this server that it refers to, itself left out. rules: by which
    the rows were made."""

    rules: int
    issues: tuple[Issue, ...]
    rows: IndexRows | None = None
    facility: int = 0
    references: tuple[Key, ...] = ()


@dataclass
class Judging:
    """Finds it for one request."""

    server: Server
    circumstances: Circumstances
    _found: dict[Named, Finding] = field(default_factory=dict)

    async def of(self, versions: Iterable[Pushed]) -> dict[Named, Finding]:
        """Of those of them that are no deletions and whose type is known."""
        rules = self.server.live.current.change
        types = self.server.definitions.resource_types
        told: dict[Named, Finding] = {}
        for count, one in enumerate(versions, 1):
            if one.body is None or one.key.type not in types:
                continue
            name = (one.key, one.rev)
            found = self._found.get(name)
            if found is None or found.rules != rules:
                found = self._found[name] = await self._finding(one.key, one.body, rules)
                if count % MOMENT == 0:
                    await asyncio.sleep(0)
            told[name] = found
        return told

    async def ahead(self, versions: Iterable[Pushed]) -> None:
        """Find it before it is asked for. What cannot be found is told to who asks."""
        with suppress(Exception):
            await asyncio.sleep(0)
            await self.of(versions)

    async def _finding(self, key: Key, body: Resource, rules: int) -> Finding:
        server = self.server
        issues = await judged(server, body, None, expected_type=key.type)
        for observe in server.observers if issues else ():
            observe(issues)
        if found_errors(issues):
            return Finding(rules, tuple(issues))
        return Finding(
            rules,
            tuple(issues),
            server.indexer.rows(body),
            facility.named(server, self.circumstances, body),
            tuple(_references(server, key, body)),
        )


def _references(server: Server, key: Key, body: Resource) -> list[Key]:
    texts: list[str] = []
    _find(body, texts)
    found: dict[Key, None] = {}
    for text in texts[:MOST_REFERENCES]:
        here = server.indexer.site.own(text)
        if here is not None and here.key != key:
            found[here.key] = None
    return list(found)


def _find(value: Any, texts: list[str]) -> None:
    """The text of each Reference in a dict or a list. Most of what is in one is neither."""
    for name, part in value.items() if type(value) is dict else enumerate(value):
        kind = type(part)
        if kind is dict or kind is list:
            _find(part, texts)
        elif kind is str and name == "reference":
            texts.append(part)
