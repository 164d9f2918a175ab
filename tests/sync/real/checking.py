"""checking — what must hold once the line is back and nobody writes, seen in every database."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fhir_server.foundation.resource import Key
from fhir_server.store.contract import version_id
from fhir_server.store.contract.side import PLACE, RECEIPT
from fhir_server.sync import receipts
from fhir_server.sync.lineage import State
from fhir_server.sync.node.life import PARKED, REFUSED
from fhir_server.sync.words import TAKEN
from fhir_server.sync.words.answer import receipts_of
from tests.acceptance.serving import Patience
from tests.sync.real.people import Book, Written, mark_of
from tests.sync.real.province import Post, Province
from tests.sync.real.seeing import PAGE, Seen, key_of, opened, seen

KEYS = "oauth/receipt-keys"

# --- until all has met ---------------------------------------------------------------------------


def heal(province: Province, within: float, before: Everywhere | None = None) -> Everywhere:
    """What everybody has, once all have the same. before: what was seen the last time. Waits as
    long as is asked for, beyond any time in which this process stands still."""
    patience = Patience(within)
    found = before or Everywhere()
    while True:
        waiting = {
            post.facility: told.waiting if told else -1
            for post in province.posts
            for told in (post.standing(),)
        }
        wrong = [f"waiting: {waiting}", *(f"{post.standing()}" for post in province.posts)]
        if not any(waiting.values()):
            asyncio.run(found.look(province))
            wrong = [
                line
                for post in province.posts
                for line in differences(found.hub, found.at(post), post)
            ]
            if not wrong:
                return found
        if patience.left < 0:
            raise AssertionError(f"They do not meet: {wrong[:20]}")
        patience.wait(0.3)


@dataclass
class Everywhere:
    """What the hub has, and each post."""

    of: dict[str, Seen] = field(default_factory=dict)

    @property
    def hub(self) -> Seen:
        return self.of["hub"]

    def at(self, post: Post) -> Seen:
        return self.of[post.name]

    async def look(self, province: Province) -> None:
        for server in province.servers:
            async with opened(server.url) as store:
                self.of[server.name] = await seen(store, self.of.get(server.name))

    def forget(self, name: str) -> None:
        """A database that came back from a backup is looked at from its beginning."""
        self.of.pop(name, None)


def demand_same(found: Everywhere, anew: Everywhere) -> None:
    """What was seen once is there still, when everything is looked at from the beginning."""
    for name, now in anew.of.items():
        before = found.of[name]
        for what in ("rows", "newest", "bodies", "left", "held"):
            assert getattr(before, what) == getattr(now, what), (name, what)


def differences(hub: Seen, seen: Seen, post: Post) -> Iterator[str]:
    """Resource by resource, where a post and the hub do not show the same."""
    facility = post.facility
    apart = {
        key_of(json.loads(row.facts)["key"])
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
    lost: int = 0
    seen_over_http: int = 0


def check(province: Province, book: Book, found: Everywhere, over_http: int = 20) -> Counted:
    hub = found.hub
    counted = Counted(lost=len(book.lost))
    for one in book.written:
        counted.acknowledged += 1
        demand_written(hub, one, is_lost=(one.key, one.version) in book.lost)
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
        counted.parked += demand_parked(post, found, book)
    demand_kept_apart(hub, book)
    demand_receipts(province, hub, counted)
    for one in book.written[-over_http:]:
        if (one.key, one.version) not in book.lost:
            demand_over_http(province, one)
            counted.seen_over_http += 1
    return counted


def demand_written(hub: Seen, one: Written, *, is_lost: bool) -> None:
    """is_lost: every disk it was on came back from a backup of before."""
    key = key_of(one.key)
    lineage = hub.lineage.get(key)
    if is_lost and not (lineage and (key, one.version) in hub.bodies):
        return
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


def demand_parked(post: Post, found: Everywhere, book: Book) -> int:
    """What is not valid waits at the post with its reason, and nothing else does."""
    mine = {
        (one.key, one.version)
        for one in book.invalid
        if one.facility == post.facility and (key_of(one.key), one.version) in found.at(post).bodies
    }
    rows = asyncio.run(post.side.range(PLACE, "by_state", prefix=(PARKED,), limit=100_000))
    refused = asyncio.run(post.side.range(PLACE, "by_state", prefix=(REFUSED,), limit=PAGE))
    assert not refused, [row.facts for row in refused]
    parked = set()
    for row in rows:
        told = json.loads(row.facts)
        parked.add((told["key"], version_id(row.generation, row.digest)))
        assert told["issue"], told
    parked -= book.before
    assert parked == mine, (post.name, parked ^ mine)
    return len(rows)


def demand_kept_apart(hub: Seen, book: Book) -> None:
    """At the hub too, but for what no disk has any more."""
    invalid = {(key_of(one.key), one.version) for one in book.invalid}
    lost = {(key_of(key), version) for key, version in book.lost}
    before = {(key_of(key), version) for key, version in book.before}
    assert hub.held - before <= invalid, hub.held - invalid
    assert invalid - lost <= hub.held, invalid - lost - hub.held


def demand_receipts(province: Province, hub: Seen, counted: Counted) -> None:
    """What each post holds against the hub is signed by it, and true."""
    keys = province.at_hub[province.posts[0].facility].ask("GET", KEYS).json()["keys"]
    for post in province.posts:
        for row in asyncio.run(post.side.range(RECEIPT, limit=100_000)):
            told = json.loads(row.facts)
            said = receipts.verified(told["said"], told["signed"], keys)
            assert (said.node, said.incarnation) == (post.id, row.incarnation)
            counted.signatures += 1
            numbers = {int(word.partition(" ")[0]) for word in said.receipts.split(",")}
            sent = {n: (key_of(key), rev) for n, key, rev in told["sent"] if n in numbers}
            revs = {n: rev for n, (_, rev) in sent.items()}
            assert said.revs == receipts.revs_of(sorted(revs.items()))
            for one in receipts_of(said.receipts, revs):
                key, rev = sent[one.number]
                if one.outcome in TAKEN:
                    assert key in hub.lineage, f"{one} of {key} is not at the hub"
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
