"""descent — what a unit says of versions beside the one that stands for each resource.

https://hl7.org/fhir/R4/http.html#versioning
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fhir_server.store.contract import NewVersion, rid, version_id
from fhir_server.store.contract.lineage import Earlier
from fhir_server.store.contract.log import OWNER, Mark, owner_body
from fhir_server.store.row import halves, packed_revs

# A row of the table lineage: rid, digest_hi, digest_lo, generation, parents.
LineageRow = tuple[int, int, int, int, bytes]


def lineage_rows(new: NewVersion) -> list[LineageRow]:
    """The parents of its rows that are not the row before, and those of its stubs."""
    if new.parents is None and not new.earlier and not new.stubs:
        return []
    number = rid(new.key)
    told = [(stub.generation, stub.digest, stub.parents) for stub in new.stubs]
    told += _unlike(new)
    return [
        (number, *halves(digest), generation, packed_revs(parents))
        for generation, digest, parents in told
    ]


def _unlike(new: NewVersion) -> Iterator[tuple[int, bytes, tuple[str, ...]]]:
    before = () if new.follows is None else (new.follows.version_id,)
    rows: Sequence[Earlier | NewVersion] = (*new.earlier, new)
    for row in rows:
        if row.parents is not None and tuple(row.parents) != before:
            yield row.generation, row.digest, row.parents
        before = (version_id(row.generation, row.digest),)


def owner_of(new: NewVersion) -> int:
    """Whose it is; a deleted resource stays within reach of those who could reach it."""
    if new.tail is not None or new.rows.owner:
        return new.rows.owner
    return owner_before(new)


def owner_before(new: NewVersion) -> int:
    return new.before.owner or (0 if new.follows is None else new.follows.owner)


def changed_owner(new: NewVersion) -> Mark | None:
    """What the log is to say where it was one patient's and no longer is."""
    was = owner_before(new)
    if new.tail is None or not was or was == new.rows.owner:
        return None
    return Mark(OWNER, rid(new.key), was, owner_body(new.rows.owner))


def owners_changed(new: Sequence[NewVersion], numbers: Sequence[int]) -> list[tuple[int, Mark]]:
    """Of each that changed it, the number of its row and the mark that stands there too."""
    told = ((number, changed_owner(one)) for number, one in zip(numbers, new, strict=True))
    return [(number, mark) for number, mark in told if mark is not None]
