"""python -m bench.sync — what a line between a post and its hub carries, and how fast.

    python -m bench.sync [--visits 1000] [--only bytes,offline,push,pull,idle,notice]
                         [--database sqlite|postgresql] [--pages 200] [--workers 1]
    python -m bench.sync --visits 50 --only long --versions 1000000

A hub that asks for tokens, and one post, which both check by all profiles, as processes of their
own on this machine, with the line of the tests between them. A visit is an Encounter, two
Observations, a Condition and a MedicationRequest, some with a new Patient. Bytes are those of TCP,
with HTTP's headers and without TLS.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from bench import floor, long, pushing
from bench.visits import Resource, bundle, visits
from fhir_server.foundation import wire
from fhir_server.store.migrate import migrate
from tests.sync.real.line import CALM, Weather
from tests.sync.real.place import Place
from tests.sync.real.province import Post, Province

POST = "my-khanh"
NARROW = Weather(rate=8000, loss=0.05)  # 64 kbit/s
TICK = os.sysconf("SC_CLK_TCK")
PATIENCE = 7200.0  # seconds


def keep(place: Place, resources: list[Resource]) -> int:
    answer = place.ask("POST", "", json.loads(wire.render(bundle(resources))))
    assert answer.status_code == 200, answer.text
    return len(resources)


# --- the figures ---------------------------------------------------------------------------------


class Bench:
    """A hub and a post, and how many visits."""

    def __init__(self, province: Province, number: int, pages: int, versions: int) -> None:
        self.province, self.number, self.pages = province, number, pages
        self.versions = versions
        self.post: Post = province.posts[0]
        self.place = province.at_post[POST]
        self.visits = visits(POST, 1)
        self.begin()

    def begin(self) -> None:
        """The post and the hub have met."""
        written = next(self.visits)
        keep(self.place, written)
        self.at_hub(written[0])
        self.wait_until_empty()

    def at_hub(self, one: Resource) -> None:
        """What was written has come to the hub."""
        hub, begun = self.province.at_hub[POST], time.monotonic()
        path = f"{one['resourceType']}/{one['id']}"
        while hub.ask("GET", path).status_code != 200:
            assert time.monotonic() - begun < PATIENCE
            time.sleep(0.05)

    def passed(self) -> tuple[int, int]:
        up, down = self.post.line.passed
        return up, down

    @contextmanager
    def counted(self, what: str, visits: int) -> Iterator[None]:
        before = self.passed()
        yield
        up, down = (now - was for now, was in zip(self.passed(), before, strict=True))
        tell(f"{what}: bytes up a visit", up / visits)
        tell(f"{what}: bytes down a visit", down / visits)

    def bytes(self) -> None:
        """One visit after another, each sent by itself."""
        number = max(5, min(20, self.number // 20))
        with self.counted("each by itself", number):
            for _ in range(number):
                keep(self.place, next(self.visits))
                time.sleep(2.5)

    def offline(self) -> None:
        """Many visits that were written without a line, over a bad one."""
        written = self.without_line()
        self.post.line.weather = NARROW
        begun = time.monotonic()
        with self.counted("64 kbit/s, 5 % loss", self.number):
            self.post.line.mend()
            self.wait_until_empty()
        tell(f"64 kbit/s, 5 % loss: seconds for {self.number} visits", time.monotonic() - begun)
        tell("  versions", written)
        self.post.line.weather = CALM

    def without_line(self) -> int:
        self.post.line.cut()
        written = sum(keep(self.place, next(self.visits)) for _ in range(self.number))
        time.sleep(3)  # the node looks at its own log
        return written

    def wait_until_empty(self) -> None:
        """The post has nothing to send."""
        begun = time.monotonic()
        while (told := self.post.standing()) is None or told.waiting:
            assert time.monotonic() - begun < PATIENCE
            time.sleep(0.2)

    def push(self) -> None:
        """A post behind a good line. What the hub alone takes: `bench.pushing`."""
        written = self.without_line()
        begun = time.monotonic()
        self.post.line.mend()
        self.wait_until_empty()
        tell("post to hub, good line: versions a second", written / (time.monotonic() - begun))

    def hub(self) -> None:
        """A hub of its own, of one process and of two, beside plain transactions."""
        for workers in (1, 2):
            pushing.report(self.number, (1, 8), 500, workers)

    def pull(self) -> None:
        """Everything from the beginning, by who has nothing of it, and reads bytes."""
        place = self.province.hub.place("tyt-pull", "node", POST)
        cursor, rows, times, more = "", 0, [], True
        while more and len(times) < self.pages:
            spent, told, cursor, more = long.page(place, cursor)
            rows += told
            times.append(spent)
        place.close()
        tell("pull, from nothing: rows", rows)
        tell("pull, from nothing: rows a second, one client", rows / sum(times))
        if len(times) >= 6:
            third = len(times) // 3
            tell("pull, from nothing: ms a page, first third", 1000 * median(times[:third]))
            tell("pull, from nothing: ms a page, last third", 1000 * median(times[-third:]))

    def long(self) -> None:
        """A log of many versions, page by page."""
        for _ in range(self.number):
            written = next(self.visits)
            keep(self.place, written)
        self.at_hub(written[-1])
        self.wait_until_empty()
        long.measured(self.province.hub, POST, self.versions, tell)

    def idle(self) -> None:
        time.sleep(5)
        before, begun = self.ticks(), time.monotonic()
        time.sleep(20)
        used = (self.ticks() - before) / TICK / (time.monotonic() - begun)
        tell("node, idle: MB of memory", self.post.resident() / 1e6)
        tell("node, idle: % of a core", 100 * used)

    def ticks(self) -> int:
        found = 0
        for pid in self.post.family():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found += int(fields[11]) + int(fields[12])
        return found

    def notice(self) -> None:
        """From the line's return until the hub has what was written without it."""
        for away in (5, 20, 60):
            self.post.line.cut()
            written = next(self.visits)
            keep(self.place, written)
            time.sleep(away)
            self.post.line.mend()
            begun = time.monotonic()
            self.at_hub(written[-1])
            tell(
                f"seconds until a line is noticed that was away {away} s", time.monotonic() - begun
            )


def tell(what: str, value: float) -> None:
    print(f"  {what:<64} {value:>12,.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--visits", type=int, default=1000)
    parser.add_argument("--pages", type=int, default=10_000, help="of the pull, at most")
    parser.add_argument("--versions", type=int, default=1_000_000, help="of the long log")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--workers", type=int, default=1, help="of the hub, on postgresql")
    parser.add_argument("--only", default="bytes,offline,push,hub,pull,idle,notice")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-sync-") as name, on(asked.database, name) as url:
        load = os.getloadavg()[0]
        print(
            f"sync, hub on {asked.database}, {asked.visits} visits; {os.cpu_count()} cores,"
            f" load {load:.1f} before, Python {platform.python_version()}"
        )
        province = Province(
            url, Path(name), 1, (POST,), profiles="", client_rate=0, secret=long.SECRET,
            workers=asked.workers,
        )  # fmt: skip
        for post in province.posts:  # as a health post has it
            post.settings |= {"profiles": "", "reference_targets": "error"}
        with province:
            bench = Bench(province, asked.visits, asked.pages, asked.versions)
            for each in asked.only.split(","):
                figure: Callable[[], None] = getattr(bench, each)
                figure()
            told = bench.post.standing()
            tell("kept apart by the hub", told.parked + told.refused if told else 0)


@contextmanager
def on(database: str, folder: str) -> Iterator[str]:
    if database == "postgresql":
        with floor.postgresql(Path(folder)) as (url, *_):
            yield url
        return
    url = f"sqlite:///{folder}/hub.db"
    migrate(url)
    yield url


if __name__ == "__main__":
    main()
