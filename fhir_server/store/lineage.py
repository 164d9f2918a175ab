"""lineage — every version known of a resource, and which it was made from.

https://hl7.org/fhir/R4/http.html#versioning

A version follows the row before its first one, unless the table `lineage` says otherwise. What only
that table knows is a stub.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from fhir_server.foundation.resource import Key
from fhir_server.store.condition import member
from fhir_server.store.contract import Position, rid, version_id
from fhir_server.store.contract.lineage import Known, State
from fhir_server.store.dialect import Dialect
from fhir_server.store.row import id_of, revs_of, whole_digest
from fhir_server.store.select import Rendered
from fhir_server.store.types import LEFT_NUMBER, NAMES

AT_ONCE = 500  # resources of one statement
Row = Sequence[Any]


def known_sql(rids: Sequence[int], dialect: Dialect) -> Rendered:
    """Rows of `version` in the order of each resource's history, and rows of `lineage`."""
    of_version, of_lineage = (member(f"{one}.rid", rids, dialect) for one in "vl")
    num = "v.num" if dialect.postgresql else "0"
    text = (
        f"select v.rid, v.seq, {num} as num, v.generation, v.digest_hi, v.digest_lo, v.type, v.id,"
        " v.method, v.body is null as gone, cast(null as bytea) as parents from version v"
        f" where {of_version.text} union all"
        " select l.rid, null, null, l.generation, l.digest_hi, l.digest_lo, null, null, null, null,"
        f" l.parents from lineage l where {of_lineage.text} order by 1, 2, 3"
    )
    return Rendered(text, (*of_version.values, *of_lineage.values))


def known(rows: Sequence[Row], keys: Sequence[Key]) -> dict[Key, Sequence[Known]]:
    """What `known_sql` found of these."""
    wanted = {rid(key): key for key in keys}
    told: defaultdict[int, dict[str, tuple[str, ...]]] = defaultdict(dict)
    written: defaultdict[int, list[Row]] = defaultdict(list)
    for row in rows:
        if row[1] is None:
            told[row[0]][_rev(row)] = revs_of(bytes(row[10]))
        else:
            written[row[0]].append(row)
    return {
        wanted[number]: _of_one(written[number], told[number])
        for number in {**written, **told}
        if _is(wanted[number], written[number])
    }


def _is(key: Key, rows: Sequence[Row]) -> bool:
    """Two ids can share a number; the store holds the first of them only."""
    return not rows or key == (NAMES[rows[0][6] - 1], id_of(bytes(rows[0][7])))


def _of_one(rows: Sequence[Row], told: Mapping[str, tuple[str, ...]]) -> tuple[Known, ...]:
    found: dict[str, Known] = {}
    before: tuple[str, ...] = ()
    for row in rows:
        rev = _rev(row)
        if rev not in found and row[8] != LEFT_NUMBER:
            state: State = "deleted" if row[9] else "alive"
            found[rev] = Known(rev, told.get(rev, before), state, Position(row[1], row[2]))
        before = (rev,)
    stubs = (Known(rev, parents, "stub", None) for rev, parents in told.items())
    return (*found.values(), *(stub for stub in stubs if stub.rev not in found))


def _rev(row: Row) -> str:
    return version_id(row[3], whole_digest(row[4], row[5]))


def parents_told(rows: Sequence[Row]) -> dict[tuple[int, str], tuple[str, ...]]:
    """Of each version with a row in `lineage`, by rid: what was told."""
    return {
        (number, version_id(generation, whole_digest(high, low))): revs_of(bytes(parents))
        for number, generation, high, low, parents in rows
    }
