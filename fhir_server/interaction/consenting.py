"""consenting — the Consents that may be about a caller, looked up before anything is decided.

https://hl7.org/fhir/R4/consent.html

They are looked for whatever the caller itself reaches: a Consent that is hidden from somebody
decides what else is. Those are taken that name the caller's facility or person, those of the
patient in context, and those of the patients in the facility's care or recorded there.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial

from fhir_server.foundation.outcome import TooCostly
from fhir_server.foundation.resource import Key, Resource
from fhir_server.search.live import Live
from fhir_server.search.query import parse
from fhir_server.security.agreeing import MAX_CONSENTS, SILENCE, Agreement, agreed
from fhir_server.security.caller import Caller
from fhir_server.security.consent import SCOPES
from fhir_server.security.decision import weighed_for
from fhir_server.security.policy import Policy
from fhir_server.security.purpose import RESEARCH, is_a
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import EVERYTHING, Restriction, Select, Store, rid
from fhir_server.store.contract.reach import Ground

CONSENT = frozenset({"Consent"})
FEW = 100  # that are judged on the spot, in a millisecond
AT_ONCE = 500  # read from the store together
KNOWN_MS = 5000  # as long as what was found is taken for what is there
KEPT = 256  # callers for whom it is


class Consenting:
    """What Consents say to each caller, remembered for a few seconds."""

    def __init__(self, store: Store, live: Live, policy: Policy) -> None:
        self._store, self._live, self._policy = store, live, policy
        self._known: OrderedDict[tuple[str, str], tuple[int, Agreement]] = OrderedDict()

    async def about(self, caller: Caller, moment: int) -> Agreement:
        """Raises TooCostly where they are more than can be part of a query; Forbidden, as decide
        does."""
        purpose = weighed_for(self._policy, caller)
        if not purpose:
            return SILENCE
        at = (caller.identity, purpose)
        until, found = self._known.get(at, (0, SILENCE))
        if moment >= until:
            consents = await self.consents(caller, purpose, moment)
            judge = partial(agreed, consents, caller, purpose, self._policy, moment)
            found = judge() if len(consents) <= FEW else await asyncio.to_thread(judge)
            self._known[at] = (moment + KNOWN_MS, found)
            self._known.move_to_end(at)
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        return found

    async def consents(self, caller: Caller, purpose: str, moment: int) -> list[Resource]:
        """The active ones that may be about the caller."""
        rids = set[int]()
        for select in self._asked(caller, purpose, moment):
            rids.update(await self._store.find(select, at_most=MAX_CONSENTS + 1))
            if len(rids) > MAX_CONSENTS:
                raise TooCostly(
                    f"More than {MAX_CONSENTS} Consents decide what you may see, and nothing is"
                    " decided by a part of them. Tell the operator of this server."
                )
        numbers, found = sorted(rids), list[Resource]()
        for at in range(0, len(numbers), AT_ONCE):
            rows = await self._store.by_rid(numbers[at : at + AT_ONCE], EVERYTHING)
            found += map(resource_of, rows)
        return found

    def _asked(self, caller: Caller, purpose: str, moment: int) -> Iterator[Select]:
        for restriction, *pairs in self._about(caller, moment):
            for scope in _scopes(purpose):
                told = [("status", "active"), scope, *pairs]
                asked = parse(self._live.current.parameters, ("Consent",), told)
                yield Select(("Consent",), asked.where, restriction=restriction)

    def _about(
        self, caller: Caller, moment: int
    ) -> Iterator[tuple[Restriction, *tuple[tuple[str, str], ...]]]:
        place = f"Organization/{caller.facility}" if caller.facility else ""
        if caller.patient:
            patient = frozenset({rid(Key("Patient", caller.patient))})
            yield (Restriction((Ground(CONSENT, owners=patient),)),)
        if named := [each for each in (place, caller.user) if each and "|" not in each]:
            yield EVERYTHING, ("actor", ",".join(named))
        if caller.facility:
            number = rid(Key("Organization", caller.facility))
            own = Ground(CONSENT, facility=number)
            yield (Restriction((own, Ground(CONSENT, in_care_of=(number, moment)))),)


def _scopes(purpose: str) -> Iterator[tuple[str, str]]:
    """What a Consent must be of to count (see security.consent): else each patient's leave to be
    treated would have to be read, which decides nothing here."""
    known = "research", "treatment", "adr"
    counting = ["patient-privacy", *(["research"] if is_a(purpose, RESEARCH) else [])]
    yield "scope", ",".join(f"{SCOPES}|{code}" for code in counting)
    yield "scope:not", ",".join(f"{SCOPES}|{code}" for code in ("patient-privacy", *known))
