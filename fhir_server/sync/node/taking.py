"""taking — what a page of the hub changes of what is known here, resource by resource.

https://hl7.org/fhir/R4/http.html#history

The node does not merge, and does not judge what comes: the hub has. Several heads stay side by side
until it is told more. Shown is its own work that the hub has not taken, else what the hub shows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fhir_server.foundation.resource import Key
from fhir_server.store.contract import rid
from fhir_server.sync.lineage import STANDING, Known, Lineage, Rev, State
from fhir_server.sync.words import Kind, Row, Stubbed


class Strange(Exception):
    """The hub says this disk sent what is not on it: it was set back, or copied."""


# --- the page as a whole -------------------------------------------------------------------------


@dataclass
class Told:
    """What a page says of each resource, once it is all read.

    coming: the versions, in their order. left: whether the resource is away from here in the end.
    whose: the patient in whose record the hub said that it is; 0: nobody's.
    """

    coming: dict[Key, list[Row]] = field(default_factory=dict)
    left: dict[int, bool] = field(default_factory=dict)
    whose: dict[int, int] = field(default_factory=dict)


def patients_left(rows: Iterable[Row]) -> set[int]:
    """The patients whose records leave: what is theirs must be known to `told`."""
    return {rid(row.key) for row in rows if row.kind is Kind.LEFT_RECORD}


def told(rows: Iterable[Row], compartments: Mapping[int, Collection[int]]) -> Told:
    """compartments: of patients who leave, what is known as theirs before the page."""
    found = Told()
    for row in rows:
        number = rid(row.key)
        if row.kind is Kind.LEFT_RECORD:
            before = {one for one in compartments[number] if found.whose.get(one, number) == number}
            within = {one for one, patient in found.whose.items() if patient == number}
            found.left |= dict.fromkeys({number, *before, *within}, True)
        elif row.kind is Kind.LEFT_RESOURCE:
            found.left[number] = True
        else:
            found.coming.setdefault(row.key, []).append(row)
            found.left[number] = False
            found.whose[number] = rid(Key("Patient", row.patient)) if row.patient else 0
    return found


# --- one resource --------------------------------------------------------------------------------


class Here(NamedTuple):
    """What is known of a resource before. versions: in the order they came; own: those of them
    the hub has not taken, as far as is known. shown: the one that stands for it; empty: none does.
    left: it is away."""

    versions: Mapping[Rev, Known]
    own: frozenset[Rev] = frozenset()
    shown: Rev = ""
    left: bool = False


class Change(NamedTuple):
    """new: versions to be written, in their order. stubs: what else is new of its past. shown: the
    version that stands for it from now on. left: it goes away."""

    new: tuple[Row, ...]
    stubs: tuple[Stubbed, ...]
    shown: Rev
    left: bool


def changed(here: Here, rows: Sequence[Row], *, left: bool) -> Change | None:
    """What is to be written of a resource; None: nothing. Raises Strange."""
    bodied = {rev for rev, known in here.versions.items() if known.state is not State.STUB}
    if any(row.kind is Kind.ECHO and row.rev not in bodied for row in rows):
        raise Strange
    new = {row.rev: row for row in rows if row.kind is Kind.VERSION and row.rev not in bodied}
    stubs = {stub.rev: stub for row in rows for stub in row.stubs}
    versions = dict(here.versions)
    for rev, row in new.items():
        versions.pop(rev, None)  # a stub may be there: it comes last now
        versions[rev] = Known(row.parents, _state(row))
    kept = tuple(stub for rev, stub in stubs.items() if rev not in versions)
    for stub in kept:
        versions[stub.rev] = Known(stub.parents, State.STUB)
    shown = displayed(Lineage(versions), here.own - {row.rev for row in rows})
    if not shown or (left and not here.shown and not new):
        return None  # it is not here, and need not go
    if not new and not kept and shown == here.shown and left == here.left:
        return None
    return Change(tuple(new.values()), kept, shown, left)


def _state(row: Row) -> State:
    return State.DELETED if row.body is None else State.ALIVE


def displayed(lineage: Lineage, own: Collection[Rev]) -> Rev:
    """The version that stands for the resource: the last one of its own that nothing follows, else
    the hub's. own: what the hub has not taken. Empty: there is none."""
    versions = lineage.versions
    standing = [rev for rev, known in versions.items() if known.state in STANDING]
    passed = _passed(versions, standing)
    mine = [rev for rev in standing if rev in own and rev not in passed]
    if mine:
        return mine[-1]
    hubs = [rev for rev in standing if rev not in own]
    passed = _passed(versions, hubs)
    heads = Lineage({rev: versions[rev] for rev in hubs if rev not in passed}).heads()
    return heads[0] if heads else ""


def _passed(versions: Mapping[Rev, Known], revs: Iterable[Rev]) -> set[Rev]:
    """What any of them follows, told by going over each version once."""
    found: set[Rev] = set()
    ahead = [parent for rev in revs for parent in versions[rev].parents]
    while ahead:
        one = ahead.pop()
        if one not in found:
            found.add(one)
            ahead.extend(versions[one].parents if one in versions else ())
    return found
