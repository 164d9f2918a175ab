"""reached — what a caller reaches, read through the indexes by patient and by facility.

https://hl7.org/fhir/R4/security.html#authorization%2Faccess-control

So what a small facility asks costs what it has, however much others have. Each ground is a way by
itself, which leads to all that it allows and perhaps to more: of each row that is met the whole
restriction is asked besides, as everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from fhir_server.store.condition import Part, both, depth, every, joined, member
from fhir_server.store.contract import Ground, ReferredBy, Restriction, RidIn, Select
from fhir_server.store.dialect import Bigints, Dialect
from fhir_server.store.select.weighing import MINUTE, Treated, is_of_few
from fhir_server.store.types import type_numbers

DEEPEST = 7  # conditions; deeper ones leave no room for more statements around them
NOBODYS = frozenset({0})  # the owner of what belongs to no patient
WAYS = 24  # so many are one question; beyond, the types are walked


class Way(NamedTuple):
    """patients: whose records are read, as a table p(patient); None: nobody's in particular. row:
    what an index is entered by, of the row of `current`."""

    patients: Part | None
    row: Part


def grounds_of(select: Select) -> tuple[Ground, ...]:
    """What is reached of what is asked for; () where not all of it is read through an index of its
    own, where it is a few patients', or where the search names resources itself."""
    if is_of_few(select) or depth(select.where) > DEEPEST:
        return ()
    if any(isinstance(c, RidIn) or _is_told(c) for c in every(select.where)):
        return ()
    return grounds_among(select.types, select.restriction)


def grounds_among(types: Sequence[str], restriction: Restriction) -> tuple[Ground, ...]:
    """The same of all there is of these types."""
    grounds = restriction.among(frozenset(types)).grounds or ()
    if not types or len(grounds) * len(types) > WAYS:
        return ()
    deep = any(g.where is not None and depth(g.where) + 2 > DEEPEST for g in grounds)
    return grounds if not deep and all(map(_is_indexed, grounds)) else ()


def grounds_of_past(types: Sequence[str], restriction: Restriction) -> tuple[Ground, ...]:
    """The same of a history, of every type where none is named: what is nobody's is read by its
    type, most of which is told of."""
    grounds = restriction.among(frozenset(types)).grounds or ()
    nobodys = (g for g in grounds if not _is_indexed(g))
    if all(g.owners == NOBODYS and (types or g.types is not None) for g in nobodys):
        return grounds
    return ()


def _is_told(condition: object) -> bool:
    """It tells the few resources that can meet it (see select/body)."""
    return isinstance(condition, ReferredBy) and condition.owned and not condition.many


def _is_indexed(ground: Ground) -> bool:
    """What is nobody's is in no index by patient."""
    if ground.facility is not None or ground.in_care_of is not None:
        return True
    return ground.owners is not None and 0 not in ground.owners


def treated_by(grounds: Sequence[Ground]) -> list[Treated]:
    """Who has to be counted before it is known what it costs to read theirs; a count is good for
    a minute."""
    ways = (g.in_care_of for g in grounds if g.facility is None and g.owners is None)
    return [Treated(way[0], way[1] // MINUTE * MINUTE) for way in ways if way is not None]


def way_of(ground: Ground, row: str, dialect: Dialect) -> Way:
    mark = dialect.mark
    if ground.facility is not None:  # as the partial index says it
        return Way(
            None, Part(f"{row}.facility = {mark} and {row}.facility <> 0", (ground.facility,))
        )
    if not _is_indexed(ground):
        return Way(None, Part(f"{row}.owner = 0"))
    somebodys = Part(f"{row}.owner = p.patient and {row}.owner <> 0")
    if ground.owners is not None and 0 not in ground.owners:
        return Way(_given(sorted(ground.owners), dialect), somebodys)
    assert ground.in_care_of is not None, "every ground is read through an index"
    text = f"select distinct y.patient from care y where y.facility = {mark} and y.until > {mark}"
    if dialect.postgresql:  # as an array they are known to be few
        return Way(Part(f"unnest(array({text})) p(patient)", ground.in_care_of), somebodys)
    return Way(Part(f"({text}) p", ground.in_care_of), somebodys)


def _given(patients: Sequence[int], dialect: Dialect) -> Part:
    if dialect.postgresql:
        return Part(f"unnest({dialect.mark}) p(patient)", (Bigints(patients),))
    text = f"(select value as patient from json_each({dialect.mark})) p"
    return Part(text, (json.dumps(list(patients)),))


def those(types: Sequence[str], grounds: Sequence[Ground], dialect: Dialect) -> Part:
    """A table k(rid) of all that the grounds lead to, each once, and what was deleted too; no
    types: whichever."""
    found = []
    for ground in grounds:
        patients, row = way_of(ground, "x", dialect)
        of = types or (() if _is_indexed(ground) else ground.types or ())
        told = both([row, member("x.type", type_numbers(of), dialect)] if of else [row])
        text, values = f"select x.rid from current x where {told.text}", told.values
        if patients is not None and dialect.postgresql:  # apart, or it would read all of an index
            text = f"select f.rid from {patients.text} cross join lateral ({text} offset 0) f"
        elif patients is not None:
            text = f"select x.rid from {patients.text} cross join current x where {told.text}"
        found.append(Part(text, (() if patients is None else patients.values) + values))
    inner = joined(" union ", found)
    return Part(f"({inner.text}) k", inner.values)
