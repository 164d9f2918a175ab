"""A hub and its posts as real processes, over lines that fail, killed at any moment, their disks
full, their clocks wrong and their backups brought back: all that was acknowledged is at the hub
once, nothing is overwritten, and everybody shows the same in the end.

FHIR_CHAOS says how many rounds (`make chaos`); FHIR_CHAOS_SEED begins with another one, so that a
round that failed is repeated by FHIR_CHAOS=1 and its seed.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import nullcontext
from itertools import groupby
from pathlib import Path

import pytest

from tests import postgresql
from tests.sync.real.checking import Everywhere, check, demand_same, heal
from tests.sync.real.cluster import drives
from tests.sync.real.conftest import SEED, demand
from tests.sync.real.faults import Faults, Round, round_of
from tests.sync.real.people import Book
from tests.sync.real.province import Province

ROUNDS = int(os.environ.get("FHIR_CHAOS", "0"))
MORE_POSTS = ("hue", "ninh", "sen", "thoi", "vinh")
PROVINCE = 25  # rounds after which another province begins
SHORT = Round(4.0, 0.15, 2)
LONG = Round(2.5, 0.1, 1, full=0.3, clock=0.3, restored=0.25)


def say(*told: object, sep: str = " ") -> None:
    """At once, also where several provinces are played side by side."""
    print(*told, sep=sep, file=sys.stderr, flush=True)


def rounds(province: Province, seeds, round: Round, within: float) -> None:
    book, found = Book(), Everywhere()
    for seed in seeds:
        begun = time.monotonic()
        say(f"\nround of seed {seed}")
        faults = Faults(province, book, str(seed))
        try:
            round_of(faults, round)
            found = heal(province, within, found)
            counted = check(province, book, found)
            assert not book.odd, book.odd[:5]
        except BaseException:
            tell(province, book, faults, seed)
            raise
        repeated = sum(post.line.repeated for post in province.posts)
        broken = sum(post.line.broken for post in province.posts)
        took = time.monotonic() - begun
        say(f"seed {seed}: {counted}, {repeated} repeated, {broken} broken off, {took:.1f} s")
        say("   ", "; ".join(one for one in faults.told if "Weather" not in one))
    say(dict(book.told))
    anew = Everywhere()
    asyncio.run(anew.look(province))
    demand_same(found, anew)
    for server in province.servers:
        assert "Traceback" not in server.told(), server.told()[-4000:]
    assert counted.acknowledged > 10
    assert counted.receipts


def tell(province: Province, book: Book, faults: Faults, seed: int) -> None:
    """All that may explain a round that failed."""
    say(f"seed {seed} failed, in {province.folder}:", *faults.told, *book.odd, sep="\n    ")
    for server in province.servers:
        say(f"\n=== {server.doing()}")
    say(province.hub.command("nodes").stdout)
    for post in province.posts:
        for asked in ("status", "log", "parked"):
            say(f"\n{post.name}$ sync {asked}\n{post.command('sync', asked).stdout[-3000:]}")


@pytest.mark.skipif(ROUNDS > 0, reason="the long form runs")
def test_hub_and_posts_meet_whatever_fails(province):
    rounds(province, [SEED], SHORT, within=60.0)


PROVINCES = [
    pytest.param(number, list(some), id=f"province-{number}")
    for number, some in groupby(range(SEED, SEED + ROUNDS), key=lambda one: (one - 1) // PROVINCE)
]


@pytest.mark.parametrize(("number", "seeds"), PROVINCES)
def test_chaos(tmp_path: Path, number: int, seeds: list[int]) -> None:
    """A seed says which database the hub has, and whether there are networks, so that a round is
    repeated on the same."""
    if number % 2:
        demand(postgresql.programs)
    with (
        drives(number) if number % 2 else nullcontext() as of_hub,
        Province(
            of_hub.cluster.url if of_hub else "", tmp_path, number, MORE_POSTS, whole=True,
            apart=number % 5 > 0, drives=of_hub,
        ) as province,
    ):  # fmt: skip
        rounds(province, seeds, LONG, within=600.0)
