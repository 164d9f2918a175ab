"""checking — what must hold once the line is back and nobody writes, looked up in every database.

What a server's users see is looked up by the server's own store, beside the process that serves it.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from fhir_server.foundation.resource import Key
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import EVERYTHING, Store
from fhir_server.store.contract.side import HELD, PLACE, RECEIPT
from fhir_server.store.contract.version import LEFT
from fhir_server.store.engine import store_at
from fhir_server.store.schema import sqlite_path
from fhir_server.sync import receipts
from fhir_server.sync.lineage import Known, Lineage, State
from fhir_server.sync.node.life import PARKED, REFUSED
from fhir_server.sync.node.outbox import LOCAL
from fhir_server.sync.words import TAKEN
from fhir_server.sync.words.answer import receipts_of
from tests.sync.real.people import Book, Written, mark_of
from tests.sync.real.province import Post, Province

PAGE = 1000


@dataclass
class Seen:
    """What a database holds. rows: how often each version stands in the log; newest: what is shown
    of each resource: its version, or empty where it is deleted; left: hidden here."""

    rows: Counter[tuple[Key, str]] = field(default_factory=Counter)
    newest: dict[Key, str] = field(default_factory=dict)
    bodies: dict[tuple[Key, str], dict[str, Any]] = field(default_factory=dict)
    left: set[Key] = field(default_factory=set)
    lineage: dict[Key, Lineage] = field(default_factory=dict)

    def heads(self, key: Key) -> list[str]:
        return self.lineage[key].heads() if key in self.lineage else []

    def is_alive(self, key: Key) -> bool:
        return (key, self.newest.get(key, "")) in self.bodies


@asynccontextmanager
async def opened(url: str):
    """A store on the database as it is at this moment: of a file, which has one server, a copy."""
    with tempfile.TemporaryDirectory() as folder:
        if url.startswith("sqlite"):
            copy = Path(folder) / "copy.db"
            with (
                closing(sqlite3.connect(sqlite_path(url))) as of,
                closing(sqlite3.connect(copy)) as to,
            ):
                of.backup(to)
            url = f"sqlite:///{copy}"
        store = store_at(url)
        await store.open()
        try:
            yield store
        finally:
            await store.close()


async def seen(store: Store) -> Seen:
    found = Seen()
    cursor = None
    while True:
        page = await store.feed(cursor, restriction=EVERYTHING, limit=PAGE)
        for row in page.rows:
            if row.key.type in LOCAL or row.method == LEFT:
                continue
            found.rows[row.key, row.version_id] += 1
            if not row.deleted:
                found.bodies[row.key, row.version_id] = resource_of(row)
        cursor = page.next
        if len(page.rows) < PAGE:
            break
    keys = sorted({key for key, _ in found.rows})
    for start in range(0, len(keys), PAGE):
        some = keys[start : start + PAGE]
        for key, stored in (await store.newest(some, EVERYTHING)).items():
            found.newest[key] = stored.version_id
            if stored.method == LEFT:
                found.left.add(key)
        for key, known in (await store.lineage(some)).items():
            found.lineage[key] = Lineage(
                {one.rev: Known(one.parents, State(one.state)) for one in known}
            )
    return found


# --- until all has met ---------------------------------------------------------------------------


def heal(province: Province, within: float) -> dict[str, Seen]:
    """What everybody has, once all have the same: `hub`, and each post by its facility."""
    deadline = time.monotonic() + within
    while True:
        waiting = {
            post.facility: told.waiting if told else -1
            for post in province.posts
            for told in (post.standing(),)
        }
        if not any(waiting.values()):
            found = asyncio.run(everything(province))
            wrong = [
                line
                for post in province.posts
                for line in differences(found["hub"], found[post.facility], post)
            ]
            if not wrong:
                return found
        else:
            wrong = [f"waiting: {waiting}", *(f"{post.standing()}" for post in province.posts)]
        if time.monotonic() > deadline:
            raise AssertionError(f"They do not meet: {wrong[:20]}")
        time.sleep(0.5)


async def everything(province: Province) -> dict[str, Seen]:
    found = {}
    for name, url in [("hub", province.hub.url), *((p.facility, p.url) for p in province.posts)]:
        async with opened(url) as store:
            found[name] = await seen(store)
    return found


def differences(hub: Seen, seen: Seen, post: Post) -> Iterator[str]:
    """Resource by resource, where a post and the hub do not show the same."""
    facility = post.facility
    apart = {
        Key(*json.loads(row.facts)["key"].split("/"))
        for row in asyncio.run(post.side.range(PLACE, "by_state", prefix=(PARKED,), limit=PAGE))
    }
    for key in sorted(seen.newest.keys() - seen.left - apart):
        shown = hub.newest.get(key)
        if seen.newest[key] != shown:
            yield f"{key}: the hub shows {shown}, {facility} {seen.newest[key]}"
        elif key.type != "Task" and set(seen.heads(key)) != set(hub.heads(key)):
            yield f"{key}: heads {hub.heads(key)} at the hub, {seen.heads(key)} at {facility}"
    for key in sorted(hub.newest.keys() - (seen.newest.keys() - seen.left)):
        if facility_of(hub, key) == facility:
            yield f"{key}: not at {facility}"


def facility_of(hub: Seen, key: Key) -> str:
    """Of the patient whose record it is; deletions tell it by what was before."""
    for rev in (hub.newest[key], *hub.lineage[key].versions):
        body = hub.bodies.get((key, rev))
        if body is not None:
            whom = f"Patient/{body['id']}" if key.type == "Patient" else _subject(body)
            return whom.removeprefix("Patient/").partition(".")[0] if whom else ""
    return ""


def _subject(body: dict[str, Any]) -> str:
    return next(
        (body[name]["reference"] for name in ("subject", "patient", "for") if name in body), ""
    )


# --- what must hold then -------------------------------------------------------------------------


@dataclass
class Counted:
    """What was looked at."""

    acknowledged: int = 0
    phones: int = 0
    parked: int = 0
    conflicts: int = 0
    merged: int = 0
    receipts: int = 0
    signatures: int = 0
    seen_over_http: int = 0


def check(province: Province, book: Book, found: dict[str, Seen], over_http: int = 40) -> Counted:
    hub = found["hub"]
    counted = Counted()
    invalid = {one.key for one in book.invalid}
    for one in book.written:
        counted.acknowledged += 1
        demand_written(hub, one)
        counted.phones += bool(one.phone)
    demand_once(hub)
    for key, lineage in hub.lineage.items():
        heads = len(lineage.heads())
        counted.conflicts += heads > 1
        counted.merged += sum(
            len(known.parents) > 1 for known in lineage.versions.values()
        )  # fmt: skip
        assert heads == 1 or key.type == "Patient", f"{key} has {heads} heads"
    for post in province.posts:
        counted.parked += demand_parked(post, invalid)
    assert counted.parked == len(invalid), (counted.parked, len(invalid))
    asyncio.run(demand_kept_apart(province, len(invalid)))
    demand_receipts(province, hub, counted)
    for one in book.written[-over_http:]:
        demand_over_http(province, one)
        counted.seen_over_http += 1
    return counted


def demand_written(hub: Seen, one: Written) -> None:
    key = Key(*one.key.split("/"))
    lineage = hub.lineage.get(key)
    assert lineage is not None, f"{one} is not at the hub"
    if one.deleted:
        assert not hub.is_alive(key), f"{one} is there again"
        return
    assert (key, one.version) in hub.bodies, f"{one} is not at the hub: {lineage}"
    past = {rev for head in lineage.heads() for rev in lineage.past(head)}
    assert one.version in past, f"{one} was overwritten"
    if one.phone:
        heads = [hub.bodies.get((key, head), {}) for head in lineage.heads()]
        phones = {told["value"] for body in heads for told in body.get("telecom", ())}
        assert one.phone in phones, f"{one.phone} of {one} was lost on the way to {heads}"


def demand_once(hub: Seen) -> None:
    """No record is there under two ids; no version twice, but where it was shown again."""
    of_mark = defaultdict(set)
    for (key, _), body in hub.bodies.items():
        if mark := mark_of(body):
            of_mark[mark].add(key)
    twice = {mark: keys for mark, keys in of_mark.items() if len(keys) > 1}
    assert not twice, f"doubled: {twice}"
    for (key, rev), times in hub.rows.items():
        branched = any(len(known.parents) > 1 for known in hub.lineage[key].versions.values())
        branched = branched or len(hub.heads(key)) > 1
        assert times == 1 or branched, f"{key} {rev} stands {times} times in the log"


def demand_parked(post: Post, invalid: set[str]) -> int:
    """What is not valid waits at the post with its reason, and nothing else does."""
    rows = asyncio.run(post.side.range(PLACE, "by_state", prefix=(PARKED,), limit=PAGE))
    refused = asyncio.run(post.side.range(PLACE, "by_state", prefix=(REFUSED,), limit=PAGE))
    assert not refused, [row.facts for row in refused]
    for row in rows:
        told = json.loads(row.facts)
        assert told["key"] in invalid, told
        assert told["issue"], told
    return len(rows)


async def demand_kept_apart(province: Province, number: int) -> None:
    async with opened(province.hub.url) as store:
        assert await store.side.count(HELD) == number


def demand_receipts(province: Province, hub: Seen, counted: Counted) -> None:
    """What each post holds against the hub is signed by it, and true."""
    keys = httpx.get(f"{province.hub.base}/oauth/receipt-keys").json()["keys"]
    for post in province.posts:
        for row in asyncio.run(post.side.range(RECEIPT, limit=100_000)):
            told = json.loads(row.facts)
            said = receipts.verified(told["said"], told["signed"], keys)
            assert (said.node, said.incarnation) == (post.id, row.incarnation)
            counted.signatures += 1
            numbers = {int(word.partition(" ")[0]) for word in said.receipts.split(",")}
            sent = {n: (Key(*key.split("/")), rev) for n, key, rev in told["sent"] if n in numbers}
            revs = {n: rev for n, (_, rev) in sent.items()}
            assert said.revs == receipts.revs_of(sorted(revs.items()))
            for one in receipts_of(said.receipts, revs):
                key, rev = sent[one.number]
                if one.outcome in TAKEN:
                    known = hub.lineage[key].versions
                    assert known[rev].state is not State.STUB, f"{one} is not at the hub"
                    counted.receipts += 1


def demand_over_http(province: Province, one: Written) -> None:
    """As whoever asks the hub sees it."""
    if one.deleted:
        return
    place = province.at_hub[one.facility]
    answer = place.ask("GET", f"{one.key}/_history/{one.version}")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["meta"]["versionId"] == one.version
    if one.phone:
        assert one.phone in [phone["value"] for phone in told["telecom"]]
