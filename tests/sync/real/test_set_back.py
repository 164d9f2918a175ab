"""A hub's database is copied back without the restore command, and all that tells of it is a
receipt that a post shows: what was lost comes again, from whoever holds it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.sync.real.conftest import POSTS, SEED
from tests.sync.real.province import Place, Province
from tests.sync.real.seeing import opened
from tests.sync.real.test_parking import status, until
from tests.sync.setback import copied

HERE, THERE = POSTS
# To start another province takes seconds.
PRODUCTS = ["postgresql", *(["sqlite"] if "FHIR_CHAOS" in os.environ else [])]


@pytest.fixture(params=PRODUCTS)
def any_province(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Province]:
    if request.param == "postgresql":
        yield request.getfixturevalue("province")
        return
    with Province("", tmp_path, SEED, POSTS) as found:
        yield found


def write(at: Place, key: str, **more: object) -> None:
    type, _, id = key.partition("/")
    answer = at.ask("PUT", key, {"resourceType": type, "id": id, **more})
    assert answer.status_code in (200, 201), answer.text


def of(facility: str) -> dict[str, object]:
    return {"managingOrganization": {"reference": f"Organization/{facility}"}}


def measured(patient: str) -> dict[str, object]:
    subject = {"reference": f"Patient/{patient}"}
    return {"status": "final", "code": {"text": "Mạch"}, "subject": subject}


def all_at(place: Place, keys: list[str]) -> Callable[[], bool]:
    return lambda: all(status(place.ask("GET", key)) == 200 for key in keys)


def epochs(url: str) -> list[str]:
    async def look() -> list[str]:
        async with opened(url) as store:
            return [one.name for one in await store.epochs()]

    return asyncio.run(look())


def test_what_a_hub_has_lost_without_knowing_it_comes_again_from_whoever_holds_it(
    any_province: Province,
) -> None:
    hub = any_province.hub
    here, there = any_province.at_post[HERE], any_province.at_post[THERE]
    at_hub = any_province.at_hub
    mine, theirs = f"Patient/{HERE}.set-back", f"Patient/{THERE}.set-back"
    write(here, mine, **of(HERE))
    write(there, theirs, **of(THERE))
    until(all_at(at_hub[HERE], [mine]))
    until(all_at(at_hub[THERE], [theirs]))
    before = epochs(hub.url)
    back = copied(hub.url)

    lost = [f"Observation/{HERE}.set-back-{n}" for n in range(3)]
    for key in lost:
        write(here, key, **measured(mine.partition("/")[2]))
    of_another = f"Observation/{THERE}.set-back"
    write(there, of_another, **measured(theirs.partition("/")[2]))
    of_hub = f"Patient/{HERE}.set-back-of-hub"  # which the post has by pull alone
    write(at_hub[HERE], of_hub, **of(HERE))
    until(all_at(at_hub[HERE], lost))
    until(all_at(at_hub[THERE], [of_another]))
    until(all_at(here, [of_hub]))

    hub.kill()
    back()
    hub.start()
    # Its log is longer again than it was, before anybody can show anything.
    write(at_hub[THERE], f"Patient/{THERE}.set-back-new", **of(THERE))
    until(all_at(at_hub[HERE], [mine, *lost, of_hub]))
    until(all_at(at_hub[THERE], [theirs, of_another]))
    now = epochs(hub.url)
    assert now[: len(before)] == before
    assert len(now) == len(before) + 1
    assert "was set back without the restore command" in hub.told()
