"""parameters — the table of parameters that are not R4's own, and what changes it.

https://hl7.org/fhir/R4/searchparameter.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_server.store.asking import Asking
from fhir_server.store.condition import Part, both, member
from fhir_server.store.contract import NewVersion, rid
from fhir_server.store.contract.parameter import (
    BUILDING,
    GONE,
    READY,
    REMOVED,
    Declaration,
    Declared,
    Filling,
    Parameterised,
    Reached,
    changes,
    source_key,
)
from fhir_server.store.dialect import Dialect
from fhir_server.store.select import Rendered
from fhir_server.store.types import type_numbers

SWEPT = 2000  # rows of one table taken away by one statement
COLUMNS = (
    "number, source, base, code, facts, state, change, horizon, reached_type, reached_seq,"
    " reached_num, done, total, refused, began, rate"
)
GIVE = (
    f"insert into parameter ({COLUMNS}) values (?,?,?,?,?,?,?,?,0,0,-1,0,0,0,0,0.0)"
    " returning number"
)
ALL = f"select {COLUMNS} from parameter order by number"


class Elsewhere(Exception):
    """The parameters do not stand where they were thought to."""


def read(rows: Sequence[Sequence[Any]]) -> Parameterised:
    """All parameters, from their rows in the order of COLUMNS."""
    found = tuple(_declared(row) for row in rows)
    return Parameterised(max((row.change for row in found), default=0), found)


def _declared(row: Sequence[Any]) -> Declared:
    return Declared(*[*row[:8], Reached(*row[8:11]), *row[11:]])


# --- what is said of some of them ----------------------------------------------------------------


def ask(numbers: Sequence[int], began: int, total: int, dialect: Dialect) -> Rendered:
    waiting = Part(f"state = '{BUILDING}' and began = 0")
    return _set(Part("began = ?, total = ?", (began, total)), numbers, waiting, dialect)


def cancel(numbers: Sequence[int], dialect: Dialect) -> Rendered:
    return _set(Part("began = 0"), numbers, Part(f"state = '{BUILDING}'"), dialect)


def finish(numbers: Sequence[int], before: Reached, dialect: Dialect) -> Rendered:
    now = Part(f"state = '{READY}', total = done, began = 0")
    return _set(now, numbers, _stand(before), dialect)


def remove(number: int, dialect: Dialect) -> Rendered:
    return _set(Part(f"state = '{REMOVED}'"), (number,), Part(f"state = '{GONE}'"), dialect)


def _stand(at: Reached) -> Part:
    reached = "reached_type = ? and reached_seq = ? and reached_num = ?"
    return Part(f"state = '{BUILDING}' and began <> 0 and {reached}", at)


def _set(now: Part, numbers: Sequence[int], which: Part, dialect: Dialect) -> Rendered:
    """Of these numbers those for which `which` holds; a row tells each that was changed."""
    where = both([which, member("number", numbers, dialect)])
    text = f"update parameter set {now.text} where {where.text} returning number"
    return Rendered(text.replace("?", dialect.mark), now.values + where.values)


# --- what takes several questions, in one transaction --------------------------------------------


def declare(
    source: str,
    generation: int | None,
    wanted: Sequence[Declaration],
    dialect: Dialect,
    horizon: str,
) -> Asking[bool]:
    """See ParameterTable.declare. horizon: asks for the seq that no version before it is beyond."""
    if generation is not None:
        newest = yield _generation(source, dialect)
        if [row[0] for row in newest] != [generation]:
            return False
    before = read((yield Rendered(ALL, ())))
    gone, new = changes(before.rows, source, wanted)
    change = before.change + 1
    if gone:
        alive = Part(f"state in ('{BUILDING}', '{READY}')")
        yield _set(
            Part(f"state = '{GONE}', change = ?, began = 0", (change,)), gone, alive, dialect
        )
    for number, one in new:
        ((held,),) = yield _held(one, dialect)
        ((here,),) = yield Rendered(horizon, ())
        state = BUILDING if held else READY
        told = (number, source, one.base, one.code, one.facts, state, change, here)
        yield Rendered(GIVE.replace("?", dialect.mark), told)
    return bool(gone or new)


def _generation(source: str, dialect: Dialect) -> Rendered:
    key = source_key(source)
    assert key is not None, "a version is of a resource"
    text = f"select v.generation from current p {dialect.version}"
    return Rendered(f"{text} where p.rid = {dialect.mark}", (rid(key),))


def _held(one: Declaration, dialect: Dialect) -> Rendered:
    """Whether there is a resource it could be of."""
    types = member("c.type", type_numbers(one.types), dialect)
    text = f"select exists (select 1 from current c where {types.text} and {dialect.alive})"
    return Rendered(text, types.values)


def fill(told: Filling, dialect: Dialect) -> Asking[list[NewVersion]]:
    """How far it is; then the rows to be added, of what is current still. Raises Elsewhere."""
    count = len(told.versions) + told.refused
    now = Part(
        "reached_type = ?, reached_seq = ?, reached_num = ?, done = done + ?,"
        " refused = refused + ?, rate = ?",
        (*told.reached, count, told.refused, told.rate),
    )
    moved = yield _set(now, told.numbers, _stand(told.before), dialect)
    if len(moved) != len(told.numbers):
        raise Elsewhere
    these = member("rid", [rid(version.key) for version, _ in told.versions], dialect)
    found = yield Rendered(f"select rid, seq from current where {these.text}", these.values)
    current = {(row[0], row[1]) for row in found}
    return [
        NewVersion(version.key, version.generation, version.digest, "PUT", None, rows)
        for version, rows in told.versions
        if (rid(version.key), version.position.seq) in current
    ]
