"""train_sync_dictionary — make the dictionary that hub and nodes compress what they send with.

https://hl7.org/fhir/R4/bundle.html#history

    python tools/train_sync_dictionary.py OUT

It is made of the visits of a demo of 600 patients, seed 7, as a node sends them and as a hub passes
them on: the same program gives the same bytes. One that was released is never made again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import zstandard

from fhir_server.demo.records import events, resources
from fhir_server.demo.world import World
from fhir_server.foundation import wire
from fhir_server.foundation.resource import Key, Resource, key
from fhir_server.sync.epochs import Epoch, Place
from fhir_server.sync.words import Kind, Page, Push, Pushed, Row, page, push

SIZE = 96 * 1024
VISITS = 1200
BEGAN = 1_767_225_600_000
EPOCHS = (Epoch("k3f7q2ma5c"),)


def visits(patients: int, seed: int) -> Iterator[list[Resource]]:
    world = World(patients, seed)
    for event in events(world, history=False):
        yield list(resources(world, event, history=False))


def sent(first: int, visit: list[Resource]) -> bytes:
    """A visit as a node sends it."""
    entries = tuple(
        Pushed(first + at, first, key(one), "", (), "PUT", BEGAN + first * 3333, one)
        for at, one in enumerate(visit)
    )
    return push.written(Push("tyt-92001", "7f3c9a", first, "", entries, BEGAN + first * 3400))


def passed_on(first: int, visit: list[Resource]) -> bytes:
    """The same as a hub sends it."""
    rows = tuple(_row(first, at, one) for at, one in enumerate(visit))
    told = Page(rows, "c", "d", Place(1, first), EPOCHS, BEGAN + first * 3400)
    return page.written(told, self_url="$sync-pull?cursor=c", next_url="$sync-pull?cursor=d")


def _row(first: int, at: int, one: Resource) -> Row:
    named: Key = key(one)
    rev = push.named(named, (), one)
    subject = str(one.get("subject", {}).get("reference", "")).removeprefix("Patient/")
    whole = {**one, "meta": {"versionId": rev, "lastUpdated": "2026-01-01T00:00:00.000Z"}}
    body = wire.render(whole)
    return Row(Kind.VERSION, named, Place(1, first, at), rev, (), "PUT", 0, subject, body)


def main(out: str) -> None:
    found: list[bytes | bytearray | memoryview] = []
    number = 1
    for visit in islice(visits(600, 7), VISITS):
        found += (sent(number, visit), passed_on(number, visit))
        number += len(visit)
    made = zstandard.train_dictionary(SIZE, found, level=19)
    Path(out).write_bytes(made.as_bytes())
    sys.stdout.write(f"{out}: {len(made)} bytes from {len(found)} samples\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
