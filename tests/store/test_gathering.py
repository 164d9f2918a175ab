"""What is asked while others are on their way is asked together."""

from __future__ import annotations

import asyncio

import pytest

from fhir_server.foundation.resource import Key
from fhir_server.store.contract import EVERYTHING, Stale
from fhir_server.store.gathering import Gathering
from tests.store.world import unit, version


class Asking:
    """Remembers what went together, and answers only when it is let go."""

    def __init__(self):
        self.parts = []
        self.go = asyncio.Event()

    async def together(self, asked):
        self.parts.append(list(asked))
        await self.go.wait()
        return [ValueError(one) if one == "bad" else one * 2 for one in asked]


def gathering(asking, most=100, under_way=1):
    return Gathering(asking.together, weight=len, most=most, under_way=under_way)


async def test_what_waits_goes_as_one_and_each_gets_its_own_answer():
    asking = Asking()
    gathered = gathering(asking)
    asked = [asyncio.ensure_future(gathered.ask(letter)) for letter in "abcd"]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    late = asyncio.ensure_future(gathered.ask("e"))
    await asyncio.sleep(0)
    asking.go.set()
    assert await asyncio.gather(*asked, late) == ["aa", "bb", "cc", "dd", "ee"]
    assert asking.parts == [["a", "b", "c", "d"], ["e"]]


async def test_a_part_is_bounded_by_its_weight():
    asking = Asking()
    asking.go.set()
    gathered = gathering(asking, most=4)
    told = await asyncio.gather(*(gathered.ask(word) for word in ("aaa", "bb", "cccccc", "d")))
    assert told == ["aaaaaa", "bbbb", "c" * 12, "dd"]
    assert asking.parts == [["aaa"], ["bb"], ["cccccc"], ["d"]]


async def test_a_refusal_is_told_to_the_one_it_belongs_to():
    asking = Asking()
    asking.go.set()
    gathered = gathering(asking)
    good, bad = await asyncio.gather(
        gathered.ask("good"), gathered.ask("bad"), return_exceptions=True
    )
    assert good == "goodgood"
    assert isinstance(bad, ValueError)


async def test_a_failure_is_told_to_all_and_the_next_are_asked_again():
    calls = []

    async def together(asked):
        calls.append(list(asked))
        if len(calls) == 1:
            raise ConnectionError("gone")
        return list(asked)

    gathered = Gathering(together, weight=len, most=9, under_way=1)
    failed = await asyncio.gather(gathered.ask("a"), gathered.ask("b"), return_exceptions=True)
    assert [type(one) for one in failed] == [ConnectionError, ConnectionError]
    assert await gathered.ask("c") == "c"


async def test_who_went_away_is_not_asked_for():
    asking = Asking()
    gathered = gathering(asking)
    first = asyncio.ensure_future(gathered.ask("a"))
    await asyncio.sleep(0.01)
    gone = asyncio.ensure_future(gathered.ask("b"))
    await asyncio.sleep(0.01)
    gone.cancel()
    asking.go.set()
    assert await first == "aa"
    with pytest.raises(asyncio.CancelledError):
        await gone
    await gathered.finished()
    assert asking.parts == [["a"]]


async def test_units_that_come_at_one_time_are_each_whole_and_a_spoiled_one_spoils_no_other(store):
    """The same promise on both databases, whichever way they gather."""
    units = [unit(version(f"Patient/p{number % 10}", str(number))) for number in range(20)]
    told = await asyncio.gather(*(store.commit(unit) for unit in units), return_exceptions=True)
    assert sum(isinstance(one, Stale) for one in told) == 10
    keys = [Key("Patient", f"p{number}") for number in range(10)]
    assert len(await store.newest(keys, EVERYTHING)) == 10


async def test_what_waits_may_be_taken_along_by_another_who_answers_it_or_gives_it_back():
    asking = Asking()
    gathered = gathering(asking)
    first = asyncio.ensure_future(gathered.ask("a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting = [asyncio.ensure_future(gathered.ask(letter)) for letter in "bc"]
    await asyncio.sleep(0)
    (asked, future), kept = gathered.taken()
    assert (asked, gathered.taken()) == ("b", [])
    future.set_result("told elsewhere")
    gathered.given_back([kept])
    late = asyncio.ensure_future(gathered.ask("d"))
    await asyncio.sleep(0)
    asking.go.set()
    assert await asyncio.gather(first, *waiting, late) == ["aa", "told elsewhere", "cc", "dd"]
    assert asking.parts == [["a"], ["c", "d"]]
