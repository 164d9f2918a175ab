"""live — the parameters and the indexer that hold now, renewed as a whole when definitions change.

https://hl7.org/fhir/R4/searchparameter.html

One for a worker process, told by its loop what the store's table of parameters says. Work under way
goes on with what it began with; where that is of before, the store refuses what it would write.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from fhir_server.foundation.outcome import FhirError, NotSupported, Unavailable
from fhir_server.search import custom
from fhir_server.search.index import Indexer
from fhir_server.search.parameters import Parameter, Parameters
from fhir_server.store.contract.parameter import (
    BUILDING,
    GONE,
    READY,
    Declared,
    Parameterised,
)

log = logging.getLogger(__name__)

AGAIN = 5  # seconds until an answer may be another


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds at one moment. change: see Unit.rules. building: numbers that may lack rows."""

    parameters: Parameters
    indexer: Indexer
    change: int = 0
    building: frozenset[int] = frozenset()


class Live:
    """The rules that hold now. table: what the store said last."""

    def __init__(self, indexer: Indexer) -> None:
        self.current = Rules(indexer.parameters, indexer)
        self.table = Parameterised()
        self._usable: dict[int, bool] = {}
        self._known: tuple[tuple[int, str], ...] = ()  # numbers and states

    @property
    def is_restless(self) -> bool:
        """Whether the table may change without a definition being stored."""
        return any(row.state in (BUILDING, GONE) for row in self.table.rows)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Of the parameters that rows are made of."""
        return tuple(number for number, _ in self._known)

    def take(self, table: Parameterised) -> None:
        """What the store's table says now."""
        self.table = table
        alive = [row for row in table.rows if row.state in (BUILDING, READY) and self._can(row)]
        known = tuple((row.number, row.state) for row in alive)
        if known == self._known and table.change == self.current.change:
            return
        building = frozenset(row.number for row in alive if row.state == BUILDING)
        parameters = self.current.parameters.extended(
            {row.number: custom.facts_of(row) for row in alive}, building, self.refusal
        )
        indexer = self.current.indexer.renewed(parameters)
        self.current = Rules(parameters, indexer, table.change, building)
        self._known = known

    def refusal(self, parameter: Parameter) -> FhirError:
        """Why a parameter cannot be searched by yet: it would answer half."""
        told = f"`{parameter.code}` of {parameter.of}"
        for row in self.table.rows:
            if row.number == parameter.number and row.began:
                return Unavailable(
                    f"{told} is being indexed, and cannot be searched by until that is done. How"
                    " far it is, `$reindex-status` tells those who may know.",
                    headers={"Retry-After": str(AGAIN)},
                )
        source = next((r.source for r in self.table.rows if r.number == parameter.number), "")
        place = f"{source}/$reindex" if source.startswith("SearchParameter/") else "$reindex"
        return NotSupported(
            f"{told} is not indexed yet: what was stored before it was defined would not be found."
            f" `POST [base]/{place}` indexes it."
        )

    def _can(self, row: Declared) -> bool:
        """Whether this program can index by it: another version may have declared it."""
        if row.number not in self._usable:
            facts = custom.facts_of(row)
            self._usable[row.number] = custom.usable(self.current.parameters, facts)
            if not self._usable[row.number]:
                log.warning("`%s` of %s cannot be indexed by here.", row.code, row.base)
        return self._usable[row.number]


def progress(row: Declared) -> str:
    """How far the index of a parameter has come, in words."""
    told = f"{row.done:,} of {max(row.total, row.done):,} resources"
    left = seconds_left(row)
    if left is None:
        return told
    return f"{told}, about {left} second{'s' * (left != 1)} to go"


def seconds_left(row: Declared) -> int | None:
    """At the rate it has; None where that is not known yet."""
    return round(max(row.total - row.done, 0) / row.rate) if row.rate > 0 else None
