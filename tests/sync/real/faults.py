"""faults — what happens to a province while people write, chosen by a seed.

A round ends with everything up, room on every disk and the line calm, so that what must hold can be
looked at. Clocks stay as they were set: nothing may rest on them.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from tests.sync.real.checking import KEYS
from tests.sync.real.clock import YEAR
from tests.sync.real.line import CALM, PHASES, Weather
from tests.sync.real.people import Book, Worker
from tests.sync.real.place import Place, Refused
from tests.sync.real.province import Fallible, Hub, Post, Province
from tests.sync.real.restoring import restore
from tests.sync.real.wire import Cut, Wire

KBIT = 125  # bytes a second of a kbit/s
WEATHERS = (
    Weather(loss=0.05),
    Weather(loss=0.3, delay=0.02),
    Weather(delay=0.6),
    Weather(rate=64 * KBIT),
    Weather(rate=64 * KBIT, loss=0.05, delay=0.1),
    Weather(breaks=0.05),
    Weather(breaks=0.2, again=0.3),
    Weather(again=0.8),
    Weather(delay=0.1, loss=0.1, breaks=0.03, again=0.3),
    Weather(delay=0.03, late=0.3, again=0.2),
)
OFF = (-YEAR, -10_800, 0, 10_800, YEAR)  # seconds by which a clock is set wrong
SCANS = 30  # documents at most, until a full disk takes no more
LEFT = (0, 20_000, 300_000)  # bytes a full disk still has: it fails at once, or amid a write


@dataclass(frozen=True, slots=True)
class Round:
    """seconds: people write so long. pause: between what one writes. kills: so many servers. most:
    what one writes, where something takes long. The others are how likely it is, once a round."""

    seconds: float
    pause: float
    kills: int
    most: int = 60
    full: float = 0.0
    clock: float = 0.0
    restored: float = 0.0


class Faults:
    """One round of them. told: what happened, for whoever looks for the cause."""

    def __init__(self, province: Province, book: Book, seed: str) -> None:
        self.province, self.book, self.seed = province, book, seed
        self.draw = random.Random(f"faults {seed}")
        self.told: list[str] = []
        self._begun = time.monotonic()

    def bring(self, round: Round) -> None:
        """Until its time is over; then all is well again."""
        for due, fault in self.planned(round):
            until = self._begun + due
            while time.monotonic() < until:
                post = self.draw.choice(self.province.posts)
                self.draw.choice(ON_LINES)(self, post)
                time.sleep(min(self.draw.uniform(0.05, 0.5), max(0.0, until - time.monotonic())))
            fault()
        for post in self.province.posts:
            post.line.weather = CALM
            post.line.mend()
        for server in self.province.servers:
            self.room(server)
            server.again()
        for server in self.province.servers:
            server.await_ready()

    def planned(self, round: Round) -> list[tuple[float, Callable[[], None]]]:
        """What happens when, beside what happens to the lines; the end among it."""
        drawn: list[Callable[[], None]] = [self.kill] * round.kills
        drawn += [self.wrong_clock] if self.draw.random() < round.clock else []
        drawn += [self.restored] if self.draw.random() < round.restored else []
        found = [(self.draw.uniform(0.15, 0.9) * round.seconds, fault) for fault in drawn]
        if self.draw.random() < round.full:  # early, so that it lasts
            found.append((self.draw.uniform(0.05, 0.4) * round.seconds, self.full))
        return [*sorted(found, key=lambda one: one[0]), (round.seconds, lambda: None)]

    def say(self, what: str) -> None:
        self.told.append(f"{time.monotonic() - self._begun:.2f} {what}")

    def any_server(self) -> Hub | Post:
        """The hub as often as all the posts together."""
        if self.draw.random() < 0.4:
            return self.province.hub
        return self.draw.choice(self.province.posts)

    # --- to a line ---

    def weather(self, post: Post) -> None:
        post.line.weather = self.draw.choice(WEATHERS)
        self.say(f"{post.name}: {post.line.weather}")

    def calm(self, post: Post) -> None:
        post.line.weather = CALM
        post.line.mend()
        self.say(f"{post.name}: calm")

    def cut(self, post: Post) -> None:
        """And back a moment later, or not before something else happens."""
        how = self.draw.choice(tuple(Cut))
        post.line.cut(how)
        self.say(f"{post.name}: cut, {how.value}")
        if self.draw.random() < 0.7:
            time.sleep(self.draw.uniform(0.0, 0.4))
            post.line.mend()

    def phase(self, post: Post) -> None:
        """What is said next breaks off."""
        chosen = self.draw.choice(PHASES)
        post.line.break_at(chosen)
        self.say(f"{post.name}: breaks {chosen.name}")

    def flap(self, post: Post) -> None:
        """Whatever is under way ends, again and again."""
        self.say(f"{post.name}: flaps")
        for _ in range(6):
            post.line.cut()
            post.line.mend()
            time.sleep(self.draw.uniform(0.0, 0.25))

    def forget(self, post: Post) -> None:
        """What is connected is heard no more."""
        if isinstance(post.line, Wire):
            post.line.forget()
            self.say(f"{post.name}: forgotten")

    # --- to a server ---

    def kill(self) -> None:
        server = self.any_server()
        self.say(f"kill -9 of {server.name}")
        self.room(server)
        server.kill()
        server.begin()

    def full(self) -> None:
        """No room, until the round ends or its server is killed."""
        server = self.any_server()
        disk = server.disk
        if disk is not None and disk.can_be_full:
            leave = self.draw.choice(LEFT)
            disk.fill(leave)
            told = self.scan(server)
            self.say(
                f"{server.name}: its disk of {disk.name} is full but for {leave} bytes; it answers"
                f" {told}"
            )

    def scan(self, server: Hub | Post) -> int:
        """What is free in files that are there is written full, too; how that is refused."""
        post = server if isinstance(server, Post) else self.draw.choice(self.province.posts)
        places = self.province.at_post if server is post else self.province.at_hub
        place = Place(server.name, server.base, places[post.facility].key, server.space)
        worker = Worker(place, post.facility, self.book, f"{self.seed}s", at_post=server is post)
        told = 0
        try:
            for _ in range(SCANS):
                told = worker.scan()
                if told not in (0, 200, 201, 409, 412, 429):
                    break
        except (httpx.HTTPError, Refused):
            self.book.told["scan unanswered"] += 1
        finally:
            place.close()
        return told

    def room(self, server: Fallible) -> None:
        if server.disk is not None and server.disk.is_full:
            server.disk.free()
            self.say(f"{server.name}: there is room again")

    def wrong_clock(self) -> None:
        server = self.any_server()
        server.clock.set(self.draw.choice(OFF))
        self.say(f"{server.name}: its clock is {server.clock.ahead} seconds ahead")

    def restored(self) -> None:
        """A backup of a moment before is brought back, and all that was written since is gone."""
        server = self.any_server()
        if isinstance(server, Hub) and not self.hub_has_signed():
            return
        self.room(server)
        again = self.draw.uniform(0.2, 1.5)
        server.again()
        server.await_ready()
        lost = restore(self.province, self.book, server, again)
        self.say(f"{server.name}: restored as it was {again:.1f} s before; {lost} writes are lost")

    def hub_has_signed(self) -> bool:
        """Its key for receipts is in its backups, or what it signed could not be verified."""
        place = self.province.at_hub[self.province.posts[0].facility]
        try:
            found = place.ask("GET", KEYS)
        except (httpx.HTTPError, Refused):
            return False
        return found.status_code == 200 and bool(found.json()["keys"])


ON_LINES: tuple[Callable[[Faults, Post], None], ...] = (
    Faults.weather, Faults.weather, Faults.calm, Faults.cut, Faults.phase, Faults.phase,
    Faults.flap, Faults.forget,
)  # fmt: skip


def round_of(faults: Faults, round: Round) -> None:
    """People write while faults happen."""
    province, book = faults.province, faults.book
    workers = []
    for post in province.posts:
        for at_post, place in (
            (True, province.at_post[post.facility]), (False, province.at_hub[post.facility])
        ):  # fmt: skip
            workers.append(Worker(place, post.facility, book, faults.seed, at_post=at_post))
    over = threading.Event()
    told = (over, round.pause, round.most)
    threads = [threading.Thread(target=worker.work, args=told) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        faults.bring(round)
    finally:
        over.set()
        for thread in threads:
            thread.join()
