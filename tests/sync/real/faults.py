"""faults — what happens to a province while people write, chosen by a seed.

A round ends with everything up and the line calm, so that what must hold can be looked at.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from tests.acceptance.serving import Serving
from tests.sync.real.line import CALM, Weather
from tests.sync.real.people import Book, Worker
from tests.sync.real.province import Post, Province

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
)


class Faults:
    """One round of them. told: what happened, for whoever looks for the cause."""

    def __init__(self, province: Province, seed: str) -> None:
        self.province = province
        self.draw = random.Random(f"faults {seed}")
        self.told: list[str] = []
        self._begun = time.monotonic()

    def bring(self, seconds: float, kills: int = 2) -> None:
        """Until so many seconds are over; then all is well again."""
        until = time.monotonic() + seconds
        due = sorted(time.monotonic() + self.draw.uniform(0.2, 0.9) * seconds for _ in range(kills))
        while time.monotonic() < until:
            post = self.draw.choice(self.province.posts)
            self.draw.choice(ON_LINES)(self, post)
            time.sleep(self.draw.uniform(0.05, 0.5))
            if due and time.monotonic() > due[0]:
                del due[0]
                self.kill(self.draw.choice([self.province.hub, *self.province.posts]))
        for post in self.province.posts:
            post.line.weather = CALM
            post.line.mend()
        for server in (self.province.hub, *self.province.posts):
            server.await_ready()

    def say(self, what: str) -> None:
        self.told.append(f"{time.monotonic() - self._begun:.2f} {what}")

    # --- what can happen ---

    def weather(self, post: Post) -> None:
        post.line.weather = self.draw.choice(WEATHERS)
        self.say(f"{post.facility}: {post.line.weather}")

    def calm(self, post: Post) -> None:
        post.line.weather = CALM
        post.line.mend()
        self.say(f"{post.facility}: calm")

    def cut(self, post: Post) -> None:
        """And back a moment later, or not before something else happens."""
        post.line.cut()
        self.say(f"{post.facility}: cut")
        if self.draw.random() < 0.7:
            time.sleep(self.draw.uniform(0.0, 0.4))
            post.line.mend()

    def flap(self, post: Post) -> None:
        """Whatever is under way ends in each of its phases."""
        self.say(f"{post.facility}: flaps")
        for _ in range(6):
            post.line.cut()
            post.line.mend()
            time.sleep(self.draw.uniform(0.0, 0.25))

    def kill(self, server: Serving) -> None:
        self.say(f"kill -9 of {getattr(server, 'facility', 'hub')}")
        server.kill()
        server.begin()


ON_LINES: tuple[Callable[[Faults, Post], None], ...] = (
    Faults.weather, Faults.weather, Faults.calm, Faults.cut, Faults.flap,
)  # fmt: skip


def round_of(
    province: Province, book: Book, seed: str, *, seconds: float, pause: float, kills: int
) -> Faults:
    """People write while faults happen."""
    workers = []
    for post in province.posts:
        for at_post, place in (
            (True, province.at_post[post.facility]), (False, province.at_hub[post.facility])
        ):  # fmt: skip
            workers.append(Worker(place, post.facility, book, seed, at_post=at_post))
    over = threading.Event()
    threads = [threading.Thread(target=worker.work, args=(over, pause)) for worker in workers]
    faults = Faults(province, seed)
    for thread in threads:
        thread.start()
    try:
        faults.bring(seconds, kills)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    return faults
