"""text_following — the index of words is fed with what was written, a moment later.

https://hl7.org/fhir/R4/search.html#text

A write does not wait for its words. A search by words does: until the index has read all that was
committed when the search began, which takes milliseconds, or it is refused and told why. So who
writes finds what was written, and no answer rests on half an index.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec

from fhir_server.foundation.outcome import FhirError, Invalid, Unavailable
from fhir_server.search.texts import Texts
from fhir_server.store.codec import Damaged, resource_of
from fhir_server.store.condition import replaced, texts_in
from fhir_server.store.contract import Condition, RidIn, Standing, Store, Stored, TextHas

log = logging.getLogger(__name__)

INTERVAL = 0.1  # seconds between two looks
PAGE = 64  # versions of one look: a thread has the interpreter for some 5 ms
PATIENCE = 2.0  # seconds a search waits
FAR = 2000  # versions behind: more are not waited for
ELSEWHERE = 0.02  # seconds between two looks at another process's work
RARE = 1000  # resources that have a word: so many are written into the search
MAX_ASKED = 50
LATER = "10"  # seconds after which a refused search may come again

# What is stored was good when it was written; should it be damaged since, the rest is still read.
UNREADABLE = (
    FhirError, Damaged, msgspec.MsgspecError, AttributeError, KeyError, TypeError, ValueError
)  # fmt: skip
Observer = Callable[[int], None]

# How far it is tells how much others have written: `/metrics` tells it to those who may know.
BEHIND = (
    "The index of words has not read all that was written, and reads on. `_text`, `_content` and "
    "`:text` are answered once it has; try again later."
)


class TextFollowing:
    """Reads the store's change log into its index of words."""

    def __init__(self, texts: Texts, store: Store) -> None:
        self.texts = texts
        self.store = store
        self.observers: list[Observer] = []  # told how many versions are still to be read
        self._looking = asyncio.Lock()

    async def standing(self) -> Standing:
        found = await self.store.texts.standing(self.texts.edition)
        for observer in self.observers:
            observer(found.behind)
        return found

    async def look(self) -> bool:
        """Read a page, or wait while it is read here; False: another process is at it."""
        busy = self._looking.locked()
        async with self._looking:
            if busy:
                return True
            follow = self.store.texts.follow
            return await follow(self.texts.edition, self._terms, limit=PAGE) is not None

    async def follow(self) -> None:
        """Look again and again, until cancelled. A store that is away is asked again later."""
        while True:
            pause = INTERVAL
            try:
                found = await self.standing()
                if found.behind or not found.made:
                    began = time.monotonic()
                    if await self.look() and found.behind > PAGE:
                        pause = time.monotonic() - began  # others have as much of the machine
            except FhirError as error:  # the store is away for a while, and its users are told
                log.debug("The index of words: %s", error)
            except Exception:  # whatever it was, the next look may do better
                log.warning("The index of words could not be fed.", exc_info=True)
            await asyncio.sleep(pause)

    async def reached(self) -> None:
        """Return once all that is committed now has been read. Raises Unavailable."""
        until = time.monotonic() + PATIENCE
        found = await self.standing()
        target = found.newest
        while not found.made or found.reached < target:
            if found.behind >= FAR or time.monotonic() > until:
                raise Unavailable(BEHIND, headers={"Retry-After": LATER})
            if not await self.look():
                await asyncio.sleep(ELSEWHERE)
            found = await self.standing()

    async def settled(self, where: Condition) -> Condition:
        """What a search asks of words, once the index can answer it: who has the rare ones, and
        what is to be asked of each resource. Raises Unavailable, Invalid."""
        asked = texts_in(where)
        if not asked:
            return where
        if len(asked) > MAX_ASKED:
            raise Invalid(
                f"The search asks for words {len(asked)} times; at most {MAX_ASKED}. Ask in several"
                " searches."
            )
        await self.reached()
        return replaced(where, {each: await self._rare(each) for each in asked})

    async def _rare(self, asked: TextHas) -> Condition:
        found = await self.store.texts.rids(asked, at_most=RARE + 1)
        return replace(asked, many=True) if len(found) > RARE else RidIn(tuple(sorted(found)))

    def _terms(self, stored: Stored) -> Sequence[str]:
        try:
            return self.texts.terms(resource_of(stored))
        except UNREADABLE:
            log.warning("The words of one %s cannot be read.", stored.key.type)
            return ()
