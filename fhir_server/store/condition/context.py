"""context — where a condition is asked: of which row, in which dialect, by whom.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from fhir_server.store.condition.part import NO, YES, Part, both, either, member
from fhir_server.store.contract import EVERYTHING, Condition, Ground, Restriction
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
    restriction: Restriction
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
        return both([alive, reach(self, types)])


def reach(context: Context, types: Sequence[str] = ()) -> Part:
    """What is asked of, within what the caller may reach; an empty `types` means every type.

    It is told by the row of `current`, the one table that knows whose a resource is, and by whose
    care its owner is in. One ground is asked as it is, so that an index can serve it.
    """
    restriction = context.restriction
    if restriction.is_plain:
        return _plainly(restriction, frozenset(types), context.row, context.dialect)
    return _reach(context, frozenset(types))


@lru_cache(maxsize=2048)
def _plainly(restriction: Restriction, types: frozenset[str], row: str, dialect: Dialect) -> Part:
    """Where nothing is asked but what `current` and `care` tell, it is written once for all who
    reach the same."""
    return _reach(Context(dialect, {}, restriction).of(row), types)


def _reach(context: Context, asked: frozenset[str]) -> Part:
    restriction = context.restriction
    allowed = restriction.types
    of = asked if allowed is None else allowed & asked if asked else allowed
    parts = []
    if of or allowed is not None:
        parts.append(member(f"{context.row}.type", type_numbers(of), context.dialect))
    within = restriction.among(of)
    if within.grounds is not None and not within.is_of_types:
        grounds = [_ground(context, ground) for ground in within.grounds]
        parts.append(either(map(_apart, grounds) if len(grounds) > 1 else grounds))
    return both(parts)


def _apart(part: Part) -> Part:
    return part if part in (YES, NO) else Part(f"({part.text})", part.values)


def _ground(context: Context, ground: Ground) -> Part:
    """Every fact of it holds."""
    row, dialect, mark = context.row, context.dialect, context.dialect.mark
    parts = []
    if ground.types is not None:
        parts.append(member(f"{row}.type", type_numbers(ground.types), dialect))
    if ground.owners is not None:
        parts.append(member(f"{row}.owner", sorted(ground.owners), dialect))
        if ground.owners and 0 not in ground.owners:
            parts.append(Part(f"{row}.owner <> 0"))  # as the index says it
    if ground.facility is not None:
        parts.append(Part(f"{row}.facility = {mark} and {row}.facility <> 0", (ground.facility,)))
    if ground.barred:
        barred = member(f"{row}.owner", sorted(ground.barred), dialect)
        parts.append(Part(f"not ({barred.text})", barred.values))
    if ground.in_care_of is not None:
        parts.append(_in_care(context, *ground.in_care_of))
    if ground.where is not None:
        # What a scope says of a resource is not about whom its holder may reach besides.
        told = replace(context, restriction=EVERYTHING).write(ground.where)
        parts += [Part(dialect.alive.replace("c.", f"{row}.")), told]
    return both(parts)


def _in_care(context: Context, facility: int, moment: int) -> Part:
    """A probe of a primary key."""
    mark, fence = context.dialect.mark, context.dialect.fence
    text = (
        f"exists (select 1 from care y where y.patient = {context.row}.owner"
        f" and y.facility = {mark} and y.until > {mark}{fence})"
    )
    return Part(text, (facility, moment))
