"""wire — a line between two networks that loses, keeps back, repeats and mixes up packets.

What a post's network sends to the hub's comes out here, packet by packet, and goes in there when we
say so. A line that vanishes tells nobody: whoever waits for an answer goes on waiting, which no
proxy can show. What is said again at HTTP's level, or breaks off at a phase of it, stays a proxy's,
which may stand at the post's end (line.py).
"""

from __future__ import annotations

import heapq
import itertools
import os
import random
import selectors
import threading
import time
from contextlib import suppress
from enum import Enum

from tests.sync.real.line import CALM, Line, Phase, Weather
from tests.sync.real.packets import SYN, Flow, Segment, resets, segment
from tests.sync.real.spaces import Space, switch, tunnel

LARGEST = 65_536  # bytes of a packet
AT_ONCE = 64  # packets of one line, before another is looked at
WAITING = 96_000  # bytes that wait where a line is slow; what comes more is lost
LATER = 0.05  # seconds at most by which a packet comes too late
DEVICE = "line"
IDLE = 0.1  # seconds after which it is looked whether all is over


class Cut(Enum):
    """What nothing passing means to whom it does not pass."""

    RESET = "reset"  # whoever says something is told that the connection is no more
    SILENT = "silent"  # nobody is told anything
    MUTE = "mute"  # as silent, but what the hub says still comes
    DEAF = "deaf"  # what the post says arrives, and the answer never comes back
    DOWN = "down"  # the post's own network knows that there is no way


class Wire:
    """Of one post. proxy: through which the post speaks, if it does not by itself."""

    def __init__(self, hub: Space, post: Space, addresses: tuple[str, str], seed: int) -> None:
        self.proxy: Line | None = None
        self.passed = [0, 0]  # bytes to the hub, and from it
        self.lost = 0
        self._broken = 0
        self._weather = CALM
        self._cut: Cut | None = None
        self._phase: Phase | None = None
        self._counted = 0  # pieces that passed, since a phase was asked for
        self._dead: set[Flow] = set()
        self._alive: set[Flow] | None = None  # all others are heard no more
        self._free = [0.0, 0.0]  # from when on the line has time for more, each way
        self._random = random.Random(seed)
        self._post = post
        of_hub, of_post = addresses
        with hub.inside():
            at_hub = tunnel(f"line{of_post.rpartition('.')[2]}", of_hub, of_post)
        with post.inside():
            self.ends = (tunnel(DEVICE, of_post, of_hub), at_hub)

    # --- what a test does with it, as with a Line ------------------------------------------------

    @property
    def weather(self) -> Weather:
        return self._weather

    @weather.setter
    def weather(self, told: Weather) -> None:
        self._weather = told
        if self.proxy is not None:
            self.proxy.weather = Weather(breaks=told.breaks, again=told.again)

    @property
    def repeated(self) -> int:
        return self.proxy.repeated if self.proxy is not None else 0

    @property
    def broken(self) -> int:
        return self._broken + (self.proxy.broken if self.proxy is not None else 0)

    def cut(self, how: Cut = Cut.RESET) -> None:
        self.mend()
        self._cut = how
        if how is Cut.DOWN:
            self._switch(up=False)

    def break_at(self, phase: Phase) -> None:
        """The next talk that comes to it; once. By halves: it is reset; else it is heard no more,
        until the line is mended."""
        if self.proxy is not None:
            self.proxy.break_at(phase)
        else:
            self._counted, self._phase = 0, phase

    def forget(self) -> None:
        """What is connected is heard no more, and nobody is told; who connects anew is heard: as
        when a modem is set back."""
        self._alive = set()

    def mend(self) -> None:
        if self._cut is Cut.DOWN:
            self._switch(up=True)
        self._cut = self._phase = self._alive = None
        self._dead.clear()
        if self.proxy is not None:
            self.proxy.mend()

    def end(self) -> None:
        if self.proxy is not None:
            self.proxy.end()

    def _switch(self, *, up: bool) -> None:
        with self._post.inside():
            switch(DEVICE, up=up)

    # --- what becomes of a packet ----------------------------------------------------------------

    def fate(self, packet: bytes, way: int) -> list[tuple[float, int, bytes]]:
        """What comes of it: when, to which end, and what. way: 0: to the hub."""
        now = time.monotonic()
        found = segment(packet)
        if found is None:
            return []  # neighbours that look for each other: there is one
        if self._is_cut(way) or self._is_dead(found):
            self.lost += 1
            if self._cut is Cut.RESET and found.says:
                return [(now, 1 - way, resets(found)[0])]
            return []
        if found.size and self._ends(found, way):
            to_sender, to_other = resets(found)
            return [(now, 1 - way, to_sender), (now, way, to_other)]
        if self._random.random() < self._weather.loss or found.flow in self._dead:
            self.lost += 1
            return []
        return self._passing(packet, way, now)

    def _is_cut(self, way: int) -> bool:
        return self._cut is not None and self._cut is not (Cut.DEAF, Cut.MUTE)[way]

    def _is_dead(self, found: Segment) -> bool:
        if self._alive is not None and found.flags & SYN:
            self._alive.add(found.flow)
        return found.flow in self._dead or (
            self._alive is not None and found.flow not in self._alive
        )

    def _ends(self, found: Segment, way: int) -> bool:
        """Whether this connection is reset now; or it is heard no more."""
        if self._random.random() < self._weather.breaks:
            return True
        phase = self._phase
        if phase is None or phase.way != way:
            return False
        self._counted += 1
        if self._counted <= phase.after + 1:
            return False
        self._phase = None
        self._broken += 1
        if not phase.half:
            self._dead.add(found.flow)
        return phase.half

    def _passing(self, packet: bytes, way: int, now: float) -> list[tuple[float, int, bytes]]:
        weather = self._weather
        begins = max(now, self._free[way])
        if weather.rate:
            if (begins - now) * weather.rate > WAITING:
                self.lost += 1
                return []
            begins += len(packet) / weather.rate
            self._free[way] = begins
        when = begins + weather.delay
        if self._random.random() < weather.late:
            when += self._random.random() * LATER
        self.passed[way] += len(packet)
        times = 2 if self._random.random() < weather.again else 1
        return [(when + n * self._random.random() * LATER, way, packet) for n in range(times)]


class Passing:
    """A thread that passes on what goes over the lines of a province."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wires: list[Wire] = []
        self._due: list[tuple[float, int, int, bytes]] = []  # when, in which order, whereto, what
        self._numbers = itertools.count()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def take(self, wire: Wire) -> None:
        self._wires.append(wire)
        for way, end in enumerate(wire.ends):
            self._selector.register(end, selectors.EVENT_READ, (wire, way))

    def end(self) -> None:
        self._over.set()
        self._thread.join(10)
        self._selector.close()
        for wire in self._wires:
            for end in wire.ends:
                os.close(end)

    def _run(self) -> None:
        while not self._over.is_set():
            wait = min(self._due[0][0] - time.monotonic(), IDLE) if self._due else IDLE
            for key, _ in self._selector.select(max(0.0, wait)):
                self._read(*key.data)
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                _, _, end, packet = heapq.heappop(self._due)
                with suppress(OSError):  # the device is off: it is lost
                    os.write(end, packet)

    def _read(self, wire: Wire, way: int) -> None:
        for _ in range(AT_ONCE):
            try:
                packet = os.read(wire.ends[way], LARGEST)
            except OSError:  # there is no more
                return
            for when, to, what in wire.fate(packet, way):
                end = wire.ends[1 - to]
                heapq.heappush(self._due, (when, next(self._numbers), end, what))
