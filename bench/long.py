"""long — what a page of the log costs at its beginning, in its middle and at its end.

https://hl7.org/fhir/R4/http.html#history

A node that had everything meets a log that has grown by so many versions, all of them for it. What
is measured is the hub: whoever asks takes the bytes, and looks for `next` after the clock stopped.
Then several ask at once, for the same pages, whose cursors are known by then.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median

import orjson

from bench.growing import grow
from fhir_server.security.caller import Caller
from fhir_server.sync import wire
from fhir_server.sync.hub.standing import opened
from tests.sync.real.place import Place
from tests.sync.real.province import Hub

TICK = os.sysconf("SC_CLK_TCK")
SOME = 20  # pages of which a median is told
ENOUGH = 21_000  # versions, for so many pages
BEHIND = 2**31 - 1  # a number that no row of a transaction has
NAME = "tyt-long"
SECRET = "a bench keeps no secret, and this is as long as one has to be"
MOST = 1 << 28  # bytes of a page
CROWD = 4  # nodes that ask at once
Tell = Callable[[str, float], None]


def measured(hub: Hub, facility: str, versions: int, tell: Tell) -> None:
    """The hub's secret must be SECRET."""
    place = hub.place(NAME, "node", facility)
    cursor, rows = "", 1
    while rows:  # until those who have come home are marked as such
        time.sleep(2)
        rows, more = 0, True
        while more:
            _, told, cursor, more = page(place, cursor)
            rows += told
    assert hub.stop() == 0
    begun = time.monotonic()
    places = grow(hub.url, versions)
    tell(f"seconds to write {versions:,} versions in bulk", time.monotonic() - begun)
    hub.start()
    before, rows, spent = ticks(hub), 0, 0.0
    cursors: list[str] = []
    for where, at in (("first", 0), ("middle", versions // 2), ("last", versions - ENOUGH)):
        begins = standing_at(cursor, places[at], facility) if at else cursor
        times, found, asked = walked(place, begins)
        cursors += asked
        rows, spent = rows + found, spent + sum(times)
        tell(f"long log: ms a page, the {where} {SOME}", 1000 * median(times))
        tell("long log:   rows a page", found / len(times))
    tell("long log: rows a second, one client that reads bytes", rows / spent)
    tell("long log: rows a second of the hub's CPU", rows * TICK / (ticks(hub) - before))
    place.close()
    names = [f"tyt-crowd-{number}" for number in range(CROWD)]
    crowd = [
        (hub.place(name, "node", facility), [of_another(one, facility, name) for one in cursors])
        for name in names
    ]
    tell(f"long log: rows a second, {CROWD} nodes at once", crowded(crowd) * rows)
    for one, _ in crowd:
        one.close()


def walked(place: Place, cursor: str) -> tuple[list[float], int, list[str]]:
    """Seconds of each of some pages, how many rows they had, and the cursors they were asked by."""
    times, rows, cursors = [], 0, []
    for _ in range(SOME):
        cursors.append(cursor)
        spent, told, cursor, _ = page(place, cursor)
        times.append(spent)
        rows += told
    return times, rows, cursors


def crowded(places: Sequence[tuple[Place, Sequence[str]]]) -> float:
    """How often these pages are told in a second, when every place asks for all of its own."""
    with ThreadPoolExecutor(len(places)) as pool:
        for place, _ in places:
            place.token()
        begun = time.monotonic()
        list(pool.map(lambda one: [bytes_of(one[0], cursor) for cursor in one[1]], places))
        return len(places) / (time.monotonic() - begun)


def standing_at(cursor: str, seq: int, facility: str) -> str:
    """The cursor of who stands before that place: as the hub would have given it."""
    begins = opened(SECRET.encode(), cursor, to=identity(NAME, facility))
    epoch, mark, *_ = begins.log.split(".")
    log = f"{epoch}.{mark}.{seq - 1}.{BEHIND}.1"
    there = replace(begins, log=log, seq=seq - 1, num=0)
    return there.sealed(SECRET.encode(), to=identity(NAME, facility))


def of_another(cursor: str, facility: str, name: str) -> str:
    """The same place, as the hub would have given it to that node."""
    standing = opened(SECRET.encode(), cursor, to=identity(NAME, facility))
    return standing.sealed(SECRET.encode(), to=identity(name, facility))


def identity(name: str, facility: str) -> str:
    return Caller(name, facility=facility).identity


def page(place: Place, cursor: str) -> tuple[float, int, str, bool]:
    """Seconds until its bytes were there, how many rows, `next`, and whether there is more."""
    begun = time.monotonic()
    body, coding = bytes_of(place, cursor)
    spent = time.monotonic() - begun
    if coding == wire.CODING:
        body = wire.unpacked(body, at_most=MOST)
    told = orjson.loads(body)
    parts = {one["url"]: one for one in told["meta"]["extension"][0]["extension"]}
    more = "more" in parts or "entering" in parts
    return spent, len(told.get("entry", ())), parts["next"]["valueString"], more


def bytes_of(place: Place, cursor: str) -> tuple[bytes, str]:
    """A page as it was sent, and how it is compressed."""
    asked = f"?cursor={cursor}" if cursor else ""
    answer = place.ask(
        "GET", f"$sync-pull{asked}",
        Accept_Encoding=wire.CODING, Available_Dictionary=wire.newest().available,
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    return answer.content, answer.headers.get("content-encoding", "")


def ticks(hub: Hub) -> int:
    found = 0
    for pid in hub.family():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        found += int(fields[11]) + int(fields[12])
    return found
