"""gathering — what is asked while others are on their way is asked together.

https://hl7.org/fhir/R4/http.html#read

A round trip costs the client more than the row it brings: 75 us of its CPU for one read, 80 for
ten. So while `under_way` questions are out, the next ones gather, and go as one. Nobody waits
where nobody else asks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Told = TypeVar("Told")


class Gathering(Generic[Asked, Told]):
    """Asks together what waits together.

    together: answers several, in their order; an exception among the answers is raised to the one
    it belongs to, and one that is raised to them all.
    weight, most: how much one asks, and how much is asked at once.
    linger: seconds that is waited for more company, where there was some lately. Who comes alone
    never waits.
    """

    def __init__(
        self,
        together: Callable[[Sequence[Asked]], Awaitable[Sequence[Told | BaseException]]],
        *,
        weight: Callable[[Asked], int],
        most: int,
        under_way: int,
        linger: float = 0.0,
    ) -> None:
        self._together = together
        self._weight = weight
        self._most = most
        self._free = under_way
        self._linger = linger
        self._crowd = 0  # how many went together last
        self._waiting: deque[tuple[Asked, asyncio.Future[Told]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, asked: Asked) -> Told:
        future: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, future))
        self._begin()
        return await future

    def taken(self) -> list[tuple[Asked, asyncio.Future[Told]]]:
        """What waits and may go together: who takes it along answers it, or gives it back."""
        part = self._next()
        if part:
            self._crowd = len(part) + 1
        return part

    def given_back(self, part: Sequence[tuple[Asked, asyncio.Future[Told]]]) -> None:
        """Goes before what came meanwhile."""
        self._waiting.extendleft(reversed(part))
        if part:
            self._begin()

    def _begin(self) -> None:
        if self._free:
            self._free -= 1
            task = asyncio.create_task(self._serve())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def finished(self) -> None:
        """Everything that was asked has been answered."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self) -> None:
        try:
            if self._linger and self._crowd > 1:
                await asyncio.sleep(self._linger)
            while part := self._next():
                self._crowd = len(part)
                await self._answer(part)
                if self._linger and self._waiting:
                    await asyncio.sleep(self._linger)
        finally:
            self._free += 1

    def _next(self) -> list[tuple[Asked, asyncio.Future[Told]]]:
        """As many as may go together; what nobody waits for any more is left out."""
        part: list[tuple[Asked, asyncio.Future[Told]]] = []
        weight = 0
        while self._waiting:
            asked, future = self._waiting[0]
            weight += self._weight(asked)
            if part and weight > self._most:
                break
            self._waiting.popleft()
            if not future.done():
                part.append((asked, future))
        return part

    async def _answer(self, part: list[tuple[Asked, asyncio.Future[Told]]]) -> None:
        told: Sequence[Told | BaseException]
        try:
            told = await self._together([asked for asked, _ in part])
        except Exception as error:
            told = [error] * len(part)
        for (_, future), answer in zip(part, told, strict=True):
            if future.done():
                continue
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)
