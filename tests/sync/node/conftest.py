"""A node's server on an empty database, and short ways to write to it and to speak as its hub."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest

from fhir_server.foundation import wire
from fhir_server.foundation.resource import Key
from fhir_server.interaction import delete, update
from fhir_server.store.codec import digest_of
from fhir_server.store.contract import version_id
from fhir_server.store.contract.side import PLACE
from fhir_server.sync.epochs import START, Epoch, Epochs, Place
from fhir_server.sync.lineage import next_generation
from fhir_server.sync.node import outbox, pulling, sending
from fhir_server.sync.node.life import kept
from fhir_server.sync.words import NEVER, Answer, Kind, Outcome, Page, Receipt, Row
from tests.interaction.conftest import BY_ANYBODY, server_on


@pytest.fixture
def node(store):
    return Node(server_on(store))


def a_row(resource, place, *parents, kind=Kind.VERSION, patient="", stubs=(), deleted=False):
    """A version as the hub sends it."""
    key = Key(resource["resourceType"], resource["id"])
    body = None if deleted else resource
    digest = digest_of(key.type, key.id, parents, deleted=deleted, resource=body)
    rev = version_id(next_generation(parents), digest)
    told = None
    if kind is Kind.VERSION and not deleted:
        meta = {**resource.get("meta", {}), "versionId": rev, "lastUpdated": "2026-03-02T01:14:07Z"}
        told = wire.render({**resource, "meta": meta})
    method = "DELETE" if deleted else "PUT"
    return Row(kind, key, place, rev, parents, method, 0, patient, told, stubs)


def a_patient(id="p1", **said):
    return {"resourceType": "Patient", "id": id, **said}


def of_patient(type, id, patient="p1", **said):
    return {"resourceType": type, "id": id, "subject": {"reference": f"Patient/{patient}"}, **said}


@dataclass
class Node:
    """A node, and the other end of its line played by the test."""

    server: object
    epochs: Epochs = (Epoch("e1"),)
    seq: itertools.count = field(default_factory=lambda: itertools.count(1))
    cursors: itertools.count = field(default_factory=lambda: itertools.count(1))
    newest: Place = START

    @property
    def store(self):
        return self.server.store

    async def life(self):
        return (await kept(self.store)).life

    async def put(self, *resources):
        """Written here by somebody; the versions."""
        found = []
        for each in resources:
            ask = update.Ask(each["resourceType"], each["id"], each)
            found.append((await update.update(self.server, ask, BY_ANYBODY)).version_id)
        return found

    async def delete(self, type, id):
        await delete.delete(self.server, delete.Ask(type, id), BY_ANYBODY)

    async def shown(self, type, id):
        """The resource as it is read here; why not, where it is not."""
        found = await self.store.newest([Key(type, id)], BY_ANYBODY.reach("read"))
        stored = found.get(Key(type, id))
        if stored is None:
            return None
        return stored.method if stored.deleted else stored.version_id

    async def noticed(self):
        while await outbox.notice(self.store):
            pass

    async def packed(self):
        await self.noticed()
        return await outbox.pack(self.server)

    async def chunk(self, **told):
        await self.packed()
        return await sending.chunk(self.store, "n1", **told)

    async def answered(self, chunk, *outcomes, issues=(), **told):
        """The hub says what became of the numbers of a chunk; the last outcome, of all others."""
        receipts = []
        for at, one in enumerate(chunk.push.entries):
            outcome = outcomes[min(at, len(outcomes) - 1)]
            place = NEVER if outcome in (Outcome.PARKED, Outcome.REFUSED) else self.place()
            receipts.append(Receipt(one.number, one.rev, outcome, place, tuple(issues)))
        told = {"reached": receipts[-1].number, "epochs": self.epochs, "now": 0, **told}
        return await sending.answered(self.store, chunk, Answer(tuple(receipts), **told))

    async def all_stored(self):
        """Everything that waits is sent and stored; how many versions."""
        count = 0
        while (chunk := await self.chunk()) is not None:
            count += len(chunk.push.entries)
            await self.answered(chunk, Outcome.STORED)
        return count

    def place(self):
        self.newest = Place(len(self.epochs), next(self.seq), 0)
        return self.newest

    async def page(self, *rows, parked=(), **told):
        """The hub sends a page."""
        life = await self.life()
        told = {"cursor": life.cursor, "next": f"c{next(self.cursors)}", **told}
        told = {"read": self.newest, "epochs": self.epochs, "now": 0, **told}
        return await pulling.take(self.server, Page(rows, **told), life.incarnation, parked)

    async def states(self):
        """What is known of each version: `Type/id` and generation to state."""
        rows = await self.store.side.range(PLACE, limit=1000)
        keys = await self.store.audit.keys([row.rid for row in rows])
        return {f"{keys[row.rid]} {row.generation}": row.state for row in rows}

    async def rows(self, *states):
        rows = await self.store.side.range(PLACE, limit=1000)
        return [row for row in rows if row.state in states]
