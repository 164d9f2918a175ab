"""A hub and its posts as real processes, over lines that fail, killed at any moment: all that was
acknowledged is at the hub once, nothing is overwritten, and everybody shows the same in the end.

FHIR_CHAOS says how many rounds (`make chaos`); FHIR_CHAOS_SEED begins with another one.
"""

from __future__ import annotations

import os
import time

import pytest

from tests.sync.real.checking import check, heal
from tests.sync.real.faults import round_of
from tests.sync.real.people import Book
from tests.sync.real.province import Province

ROUNDS = int(os.environ.get("FHIR_CHAOS", "0"))
SEED = int(os.environ.get("FHIR_CHAOS_SEED", "1"))
POSTS = ("hue", "ninh")
MORE_POSTS = ("hue", "ninh", "sen", "thoi", "vinh")
PROVINCE = 25  # rounds after which another province begins


def rounds(url, folder, posts, seeds, *, seconds, pause, kills, within):
    book = Book()
    with Province(url, folder, seeds[0], posts) as province:
        for seed in seeds:
            begun, parked = time.monotonic(), len(book.invalid)
            print(f"\nround of seed {seed}", flush=True)
            faults = round_of(province, book, str(seed), seconds=seconds, pause=pause, kills=kills)
            try:
                found = heal(province, within)
                counted = check(province, book, found)
            except Exception:
                print(f"seed {seed} failed, in {folder}:", *faults.told, *book.odd, sep="\n    ")
                for server in (province.hub, *province.posts):
                    print(server.told()[-2000:])
                raise
            assert not book.odd, book.odd[:5]
            assert counted.parked >= parked
            repeated = sum(post.line.repeated for post in province.posts)
            took = time.monotonic() - begun
            print(f"seed {seed}: {counted}, {repeated} repeated, {book.told}, {took:.1f} s")
        for server in (province.hub, *province.posts):
            assert "Traceback" not in server.told(), server.told()[-4000:]
    assert counted.acknowledged > 10
    assert counted.receipts


@pytest.mark.skipif(ROUNDS > 0, reason="the long form runs")
def test_hub_and_posts_meet_whatever_fails(postgresql_url, tmp_path):
    rounds(postgresql_url, tmp_path, POSTS, [SEED], seconds=6.0, pause=0.15, kills=2, within=60.0)


@pytest.mark.skipif(ROUNDS == 0, reason="`make chaos` runs it")
def test_chaos(tmp_path, request):
    for n, first in enumerate(range(SEED, SEED + ROUNDS, PROVINCE)):
        seeds = range(first, min(first + PROVINCE, SEED + ROUNDS))
        folder = tmp_path / f"province-{first}"
        folder.mkdir()
        url = f"sqlite:///{folder}/hub.db"
        if n % 2:
            url = request.getfixturevalue("postgresql_url")
        rounds(url, folder, MORE_POSTS, seeds, seconds=5.0, pause=0.1, kills=3, within=180.0)
