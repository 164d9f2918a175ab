"""hand — a thread that does what may never end: a disk that is pulled out answers nobody.

https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class Slow(Exception):
    """It is not done yet, and nothing else is begun before it is."""


class Hand:
    """Does one thing at a time. It is not waited for when the program ends."""

    def __init__(self, seconds: float) -> None:
        """seconds: that one thing may take before it is said to be slow."""
        self._seconds = seconds
        self._asked: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._stuck: Future[Any] | None = None
        self._thread: threading.Thread | None = None

    async def do(self, work: Callable[[], T]) -> T:
        """Raises Slow, and what the work does."""
        if self._stuck is not None and not self._stuck.done():
            raise Slow
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="copy", daemon=True)
            self._thread.start()
        future: Future[T] = Future()
        self._asked.put((future, work))
        waits = asyncio.wrap_future(future)
        waits.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.shield(waits)
        except TimeoutError:
            self._stuck = future
            raise Slow from None

    def end(self) -> None:
        self._asked.put(None)

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            future, work = asked
            try:
                future.set_result(work())
            except BaseException as error:  # whoever asked is told
                future.set_exception(error)
