"""What the model's hub and nodes speak of."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from fhir_server.sync.epochs import Place

# Sorted pairs of an element and its value; () is a deletion; a list is sorted pairs of key, value.
Body = tuple[Any, ...]
Revision = str  # "<generation>-<hash>": also the FHIR versionId
Ask = dict[str, Any]
DELETED: Body = ()
CLINICAL = {"allergy", "link"}  # lists a merge never shortens, and never revives into
LISTS = CLINICAL | {"telecom"}
UNKNOWN, ABSENT = object(), object()
PAGE, CHUNK = 3, 3


class Broken(AssertionError):
    """An invariant does not hold."""


class Crash(Exception):
    """The process died here: what was not committed is gone, and no answer is sent."""


class Busy(Exception):
    """Another transaction holds the resource."""


class Version(NamedTuple):
    """One version of a resource. A body of None is a stub: its lineage alone is known."""

    resource: str
    parents: tuple[Revision, ...]
    body: Body | None


class Row(NamedTuple):
    """A row of the hub's log. `safe` is the oldest transaction open when it was written."""

    place: Place
    kind: str  # version | home | held | outside
    resource: str
    what: Any  # a Revision, the homes (before, after), or a node
    patients: tuple[str, str]  # whose record the resource was, and is
    safe: int
    audience: str | None = None  # only for the mutant that decides it when it is written


def revision(version: Version) -> Revision:
    """A version is called by what it says and what it follows: the same change is one revision."""
    longest = max((int(parent.split("-")[0]) for parent in version.parents), default=0)
    said = repr((version.resource, sorted(version.parents), version.body)).encode()
    return f"{1 + longest}-{hashlib.blake2b(said, digest_size=6).hexdigest()}"


def valid(body: Body) -> bool:
    """The hub's profile, stricter than a node's: what is closed has a note."""
    said = dict(body)
    return body == DELETED or said["status"] != "closed" or bool(said["note"])


def sees(node: str, home: str | None) -> bool:
    """A post sees those registered with it, and n2 is a hospital that sees those of n0 too."""
    return home == node or (node, home) == ("n2", "n0")


def flat(body: Body | None) -> dict[tuple[str, str], Any]:
    """Every place in a body and what stands there, items of lists by their keys."""
    if body is None or body == DELETED:
        return {("deleted", ""): body == DELETED}
    places: dict[tuple[str, str], Any] = {("deleted", ""): False}
    for element, value in body:
        if element in LISTS:
            places.update({(element, key): item for key, item in value})
        else:
            places[element, ""] = value
    return places


def merge(bases: Sequence[Body | None], ours: Body, theirs: Body, mutant: str = "") -> Body | None:
    """Two bodies made one against their nearest common ancestors; None: a person must choose."""
    if mutant == "last-writer-wins":
        return theirs
    if ours == theirs:
        return ours
    if DELETED in (ours, theirs):
        return None
    before = [flat(base) if base is not None else None for base in bases]
    left, right = flat(ours), flat(theirs)
    made: dict[str, Any] = {element: [] if element in LISTS else None for element, _ in ours}
    for place in sorted(left.keys() | right.keys()):
        element, key = place
        known = {b.get(place, ABSENT) if b is not None else UNKNOWN for b in before} or {UNKNOWN}
        base = known.pop() if len(known) == 1 else UNKNOWN  # ancestors that differ are none
        one, other = left.get(place, ABSENT), right.get(place, ABSENT)
        if one != other and base not in (one, other):
            return None
        lacking = ABSENT in (one, other) and base is not ABSENT
        if lacking and element in CLINICAL and mutant != "merge-shortens":
            return None  # neither dropped nor revived by a machine
        value = one if one == other or base == other else other
        if element == "deleted" or value is ABSENT:
            continue
        if element in LISTS:
            made[element].append((key, value))
        else:
            made[element] = value
    parts = ((name, tuple(v) if isinstance(v, list) else v) for name, v in made.items())
    return tuple(sorted(parts))
