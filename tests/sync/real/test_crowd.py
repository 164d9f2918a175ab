"""Nodes push all at once while others write at the hub: who follows misses nothing, and everybody
meets it in one order, whoever commits late.

FHIR_CHAOS asks for the long form, 64 nodes and 32 writers on a hub of several processes.

https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter

from tests.sync.real.crowd import Plain, Puller, Writer, crowd, follow, follow_until
from tests.sync.real.province import Hub

LONG = int(os.environ.get("FHIR_CHAOS", "0")) > 0
NODES, WRITERS, FACILITIES, ROUNDS = (64, 32, 4, 4) if LONG else (8, 4, 1, 2)
PATIENTS = 4  # of a facility
WORKERS = 3 if LONG else 1


def firsts(met):
    """Each once, where it came first."""
    return list(dict.fromkeys(met))


async def test_who_follows_misses_nothing_in_one_order_while_many_write(postgresql_url, tmp_path):
    hub = Hub(
        postgresql_url, tmp_path, client_rate=0, client_concurrency=0, workers=WORKERS,
        reference_targets="off", text_index="false",
    )  # fmt: skip
    try:
        hub.start()
        async with crowd(hub) as people:
            await all_at_once(people)
    finally:
        hub.end()
    assert "Traceback" not in hub.told(), hub.told()[-4000:]


async def all_at_once(people):
    places = [await people.facility(f"f{n}", PATIENTS) for n in range(FACILITIES)]
    plain = [Plain(people.client(at), size) for at in places for size in (7, 100)]
    pulling = [Puller(await people.line(f"{n}-{at.name}", at)) for at in places for n in "ab"]
    for number, one in enumerate(pulling):
        await follow_until(one, places[number // 2].kept)
    begun = [len(one.met) for one in pulling]
    nodes = [await people.node(f"n{n}", places[n % FACILITIES]) for n in range(NODES)]
    writers = [
        Writer(places[n % FACILITIES], f"w{n}", people.client(places[n % FACILITIES]))
        for n in range(WRITERS)
    ]
    over = asyncio.Event()
    following = [asyncio.create_task(follow(one, over)) for one in (*plain, *pulling)]
    await asyncio.gather(*(one.work(ROUNDS) for one in (*nodes, *writers)))
    over.set()
    await asyncio.gather(*following)
    for number, at in enumerate(places):
        two, other_two = plain[2 * number :][:2], pulling[2 * number :][:2]
        show = await shown(at, (*two, *other_two), two[0].asking)
        since = [one.met[n:] for one, n in zip(other_two, begun[2 * number :], strict=False)]
        check(at, [one.met for one in two], since, show)


async def shown(at, followers, asking):
    """The versions that stand for the resources, once everybody has met them and all before."""
    keys = sorted({key for key, _ in at.kept})
    before = None
    while True:
        found = [(key, (await asking.get(key)).headers["etag"][3:-1]) for key in keys]
        if found == before:
            return dict(found)
        for one in followers:
            await follow_until(one, {*at.kept, *found})
        before = found


def check(at, plain, pulled, show):
    assert is_one(*plain), "the feed is one, whatever the size of its pages"
    assert is_one(*pulled), "nodes of one place are told the same, in one order"
    of_both = set(plain[0]) & set(pulled[0])
    assert [one for one in firsts(plain[0]) if one in of_both] == [
        one for one in firsts(pulled[0]) if one in of_both
    ], "nodes and plain clients meet it in one order"
    registered = {(f"Patient/{id}", version) for id, version in at.patients.items()}
    assert len(set(at.kept)) == len(at.kept)
    for met in (*plain, *pulled):
        assert set(at.kept) - registered <= set(met), "nothing is missed"
        last = dict(met)
        assert {key: last.get(key, show[key]) for key in show} == show, "what is shown comes last"
        many = Counter(one for one in met if not one[0].startswith("Patient/"))
        assert all(many[one] == 1 for one in at.kept if not one[0].startswith("Patient/")), "once"


def is_one(one, other):
    """Who has not come as far has met the beginning."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]
