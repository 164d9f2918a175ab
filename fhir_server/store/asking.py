"""asking — questions to a database, one after the other, by who does not reach it.

https://hl7.org/fhir/R4/http.html

A question is given out, and its rows come back. So what is asked after what is said once, for a
database that answers at once and for one whose answers are waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, TypeVar

from fhir_server.store.select import Rendered

T = TypeVar("T")
Rows = Sequence[Sequence[Any]]
Asking = Generator[Rendered, Rows, T]
MANY = 1000  # so many rows are not gone through while everyone else waits


def onward(asking: Asking[T], found: Rows | None = None) -> Rendered | T:
    """The next question, after the rows of the one before; in the end what all of them came to."""
    try:
        return next(asking) if found is None else asking.send(found)
    except StopIteration as end:
        told: T = end.value
        return told


def answered(asking: Asking[T], ask: Callable[[Rendered], Rows]) -> T:
    """What the questions come to, where a database answers at once."""
    step = onward(asking)
    while isinstance(step, Rendered):
        step = onward(asking, ask(step))
    return step


async def awaited(asking: Asking[T], ask: Callable[[Rendered], Awaitable[Rows]]) -> T:
    """What they come to, where its answers are waited for."""
    step = onward(asking)
    while isinstance(step, Rendered):
        found = await ask(step)
        if len(found) > MANY:
            step = await asyncio.to_thread(onward, asking, found)
        else:
            step = onward(asking, found)
    return step
