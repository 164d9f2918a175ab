"""stretches — the matches of a page, and where a link leads to very many, how they are found.

https://hl7.org/fhir/R4/search.html#chaining
https://hl7.org/fhir/R4/http.html#paging

Such a link is taken out of the search. The rest is walked in the order of the answer, a stretch at
a time, and the link is asked of each resource of a stretch, until the page is full: pages begin,
end and follow one another as they do without it. Where what was walked shows that more would have
to be walked than are at the other end, the store gathers those instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from fhir_server.foundation.outcome import TooCostly
from fhir_server.interaction.context import Server
from fhir_server.interaction.holding import Holding, Parted, TooFar, ends, leads_to_many, parted
from fhir_server.interaction.paging import Cursor
from fhir_server.interaction.sorting import at, order_of, walked
from fhir_server.search.query import Query
from fhir_server.store.contract import (
    COLLECTED,
    Collected,
    Condition,
    Order,
    Page,
    Place,
    Select,
    Stored,
)
from fhir_server.store.contract.watch import Step

SHORTEST, LONGEST = 100, 500  # resources of a stretch
LOOK = 600  # resources that are walked before it is asked whether gathering costs less
WALKED = 20_000  # resources that are walked for one page
GATHERED = 20_000  # resources at the other end that the store may gather instead
COUNTING = 1.0  # seconds that it may take to know that there are not more


async def matches(
    server: Server, query: Query, select: Select, cursor: Cursor | None
) -> tuple[Order, Page]:
    """The page, and its order. Raises TooCostly."""
    ways = parted(select.where)
    if ways.asked is None or walked(server, query.sort) is None:
        ways = Parted(select.where, None)
    with Step("order"):
        found = replace(select, where=ways.found)
        order = await order_of(server, query, found, begun=cursor.begun if cursor else None)
    asked = _Asked(server, order, at(order, cursor), cursor, query.count)
    page = None
    if ways.asked is not None:
        with Step("stretches") as step:
            walk = _Walk(asked, found, ways.asked, Holding(server, select.restriction))
            try:
                page = await walk.page()
            except TooFar:
                if not await walk.fewer_than(GATHERED):
                    raise
            finally:
                step.found = walk.walked
    with Step("matches") as step:
        if page is None:
            page = await asked.page(select)
        step.found = len(page.rows)
    return order, page


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which page of a search is asked for."""

    server: Server
    order: Order
    after: Place | None
    cursor: Cursor | None
    limit: int

    @property
    def bound(self) -> str | None:
        return self.cursor.bound if self.cursor else None

    @property
    def backward(self) -> bool:
        return self.cursor.backward if self.cursor else False

    async def page(self, select: Select) -> Page:
        return await self.server.store.search(
            select,
            limit=self.limit,
            order=self.order,
            after=self.after,
            bound=self.bound,
            backward=self.backward,
        )


@dataclass
class _Walk:
    """In the direction in which the page is read. walked: how many resources so far."""

    asked: _Asked
    select: Select
    link: Condition
    holding: Holding
    walked: int = 0
    found: list[tuple[Place, Stored]] = field(default_factory=list)

    async def page(self) -> Page | None:
        """None where it had better be gathered. Raises TooFar."""
        asked, bound, after = self.asked, self.asked.bound, self.asked.after
        size = min(LONGEST, max(SHORTEST, asked.limit + 1))
        if isinstance(asked.order, Collected):  # which reads all for each page
            size = COLLECTED
        look = LOOK
        while True:
            stretch = await asked.server.store.search(
                self.select,
                limit=size,
                order=asked.order,
                after=after,
                bound=bound,
                backward=asked.backward,
            )
            bound = bound or stretch.bound
            await self._take(stretch)
            if len(self.found) > asked.limit or not stretch.more:
                return self._page(bound)
            if self.walked >= WALKED:
                raise TooFar(f"{self.walked:,} resources were asked for what it leads to.")
            if self.walked >= look:
                if await self.fewer_than(min(self._to_walk(), GATHERED)):
                    return None
                look = self.walked * 2
            after, size = stretch.edge, min(LONGEST, size * 2)

    async def fewer_than(self, number: int) -> bool:
        """Whether no more than that are at the other ends."""
        for link in ends(self.link):
            if leads_to_many(link.where):  # to count them, each of theirs would be asked
                return False
            there = Select(link.types, link.where, restriction=self.select.restriction)
            try:
                number -= await self.asked.server.store.count(
                    there, at_most=number + 1, patience=COUNTING
                )
            except TooCostly:
                return False
            if number < 0:
                return False
        return True

    def _to_walk(self) -> int:
        """How many are still to be walked, if what comes is like what came."""
        missing = self.asked.limit + 1 - len(self.found)
        return self.walked * missing // max(len(self.found), 1)

    async def _take(self, stretch: Page) -> None:
        items = list(zip(stretch.places, stretch.rows, strict=True))
        if self.asked.backward:
            items.reverse()
        self.walked += len(items)
        rows = {place.rid: stored for place, stored in items}
        met = await self.holding.of(self.select.types, self.link, rows)
        self.found += [item for item in items if item[0].rid in met]

    def _page(self, bound: str) -> Page:
        """One more than the page holds tells whether there is another."""
        limit, backward = self.asked.limit, self.asked.backward
        more, kept = len(self.found) > limit, self.found[:limit]
        edge = None
        if more:  # read backward, a page ends with the place it is parted by
            edge = self.found[limit if backward else limit - 1][0]
        if backward:
            kept.reverse()
        rows, places = [stored for _, stored in kept], [place for place, _ in kept]
        return Page(rows, more, bound, edge, places)
