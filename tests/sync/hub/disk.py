"""disk — what a node has written and sends: versions with their names, in numbered groups.

https://hl7.org/fhir/R4/bundle.html#history
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from fhir_server.foundation import wire
from fhir_server.foundation.resource import Key
from fhir_server.operation.call import Call
from fhir_server.security.tokens.ring import Ring
from fhir_server.sync import receipts
from fhir_server.sync.hub import receiving
from fhir_server.sync.words import Push, Pushed, answer, push
from tests.sync.hub.posts import Post


def version(number, body, *parents, key=None, group=None):
    """A version of a resource; body None: the deletion of `key`."""
    key = key or Key(body["resourceType"], body["id"])
    name = push.named(key, parents, body)
    method = "DELETE" if body is None else "PUT" if parents else "POST"
    return Pushed(number, number if group is None else group, key, name, parents, method, 5, body)


@dataclass
class Disk:
    """The disk of a post's node. sent: all it was sent, by number."""

    server: object
    facility: str
    incarnation: str = "7f3c"
    sent: dict = field(default_factory=dict)
    last: object = None

    @property
    def node(self):
        return f"post-{self.facility}"

    @property
    def circumstances(self):
        return Post(self.server, self.facility).circumstances

    def write(self, body, *parents, key=None, group=None):
        """The next version, numbered."""
        number = len(self.sent) + 1
        found = version(number, body, *parents, key=key, group=group)
        self.sent[number] = found
        return found

    def chunk(self, first, last):
        before = self.sent[first - 1].rev if first > 1 else ""
        entries = tuple(self.sent[number] for number in range(first, last + 1))
        return Push(self.node, self.incarnation, first, before, entries, 6)

    async def push(self, first=1, last=None, **changes):
        """What became of each: its number, its outcome, its place."""
        chunk = self.chunk(first, last or len(self.sent))
        return await self.send(chunk)

    async def send(self, chunk):
        body = wire.parse(push.written(chunk))
        call = Call("sync-push", "system", body=body)
        told = await receiving.push(self.server, call, self.circumstances)
        self.last = await self.read(json.loads(told.body), chunk)
        return self.last

    async def read(self, bundle, chunk):
        """An answer, its signature verified."""
        revs = {one.number: one.rev for one in chunk.entries}
        plain = answer.read(bundle, revs, "")
        if not plain.said:
            return plain
        ring = Ring(self.server.store, self.server.lasting_secret, receipts.KEYS)
        keys = (await ring.published(plain.now))["keys"]
        said = receipts.verified(plain.said, plain.signed, keys)
        assert said.revs == receipts.revs_of(
            (number, rev) for number, rev in revs.items() if number <= plain.reached
        )
        return answer.read(bundle, revs, said.receipts)


def outcomes(told):
    """The outcome of each number."""
    return [one.outcome.value for one in told.receipts]
