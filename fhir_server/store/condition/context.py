"""context — where a condition is asked: of which row, in which dialect, by whom.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fhir_server.store.condition.part import Part, both, member
from fhir_server.store.contract import EVERYTHING, Condition, Restriction
from fhir_server.store.dialect import Dialect
from fhir_server.store.types import type_numbers


@dataclass(frozen=True, slots=True)
class Context:
    """Conditions on the resource of a row of `current`.

    row: that row's alias. main, rid: where its place is known. writers: a function for each kind
    of condition. restriction: what the caller may reach; of use where a condition is about other
    resources than the row's. walked: one row is asked after the other, so that a set is to be read
    once, and not for each.
    """

    dialect: Dialect
    writers: Mapping[type, Callable[[Context, Any], Part]]
    restriction: Restriction = EVERYTHING
    row: str = "c"
    main: str = "c.main_lo"
    rid: str = "c.rid"
    walked: bool = False

    def write(self, condition: Condition) -> Part:
        return self.writers[type(condition)](self, condition)

    def of(self, row: str) -> Context:
        """The same, asked of another row of `current`."""
        return replace(self, row=row, main=f"{row}.main_lo", rid=f"{row}.rid")

    def within(self, types: Sequence[str]) -> Part:
        """The row is alive, of these types, and within the caller's reach."""
        alive = Part(self.dialect.alive.replace("c.", f"{self.row}."))
        return both([alive, reach(types, self.restriction, self.row, self.dialect)])


def reach(types: Sequence[str], restriction: Restriction, alias: str, dialect: Dialect) -> Part:
    """What is asked of, within what the caller may reach; an empty `types` means every type.

    `alias` is a row of `current`, the one table that knows the owner.
    """
    asked = frozenset(types)
    allowed = (
        asked if restriction.types is None else restriction.types & (asked or restriction.types)
    )
    parts = []
    if asked or restriction.types is not None:
        parts.append(member(f"{alias}.type", type_numbers(allowed), dialect))
    if restriction.owners is not None:
        parts.append(member(f"{alias}.owner", sorted(restriction.owners), dialect))
    return both(parts)
