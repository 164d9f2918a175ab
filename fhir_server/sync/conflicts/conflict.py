"""conflict — the heads of a resource, what they come from, and where they are apart.

https://hl7.org/fhir/R4/http.html#concurrency
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from fhir_server.conformance.definitions import Definitions
from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Key, Resource
from fhir_server.interaction.context import Server
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import EVERYTHING
from fhir_server.sync.lineage import Known, Lineage, Rev, State
from fhir_server.sync.merging import ABSENT, UNKNOWN, Value, merged, places, same

Bodies = Mapping[Rev, Resource | None]  # None: a deletion


class Side(NamedTuple):
    """A version with its content; None: of a head, it is a deletion; of a base, it is not known."""

    rev: Rev
    resource: Resource | None


@dataclass(frozen=True, slots=True)
class Conflict:
    """heads: the one that is shown first. bases: their nearest common ancestors. issues: why what
    could be merged may not be stored so."""

    key: Key
    heads: tuple[Side, ...]
    bases: tuple[Side, ...] = ()
    issues: tuple[Issue, ...] = ()

    @property
    def revs(self) -> tuple[Rev, ...]:
        return tuple(head.rev for head in self.heads)


class Differing(NamedTuple):
    """A place at which the heads do not say the same.

    base: ABSENT: nothing stood there; UNKNOWN: what did is not known. heads: what each says, as
    base; UNKNOWN of a deletion. is_apart: both sides changed it, so that nobody can merge it.
    """

    path: str
    base: Value
    heads: tuple[Value, ...]
    is_apart: bool


def differing(definitions: Definitions, conflict: Conflict) -> list[Differing]:
    """The places at which heads differ, those that are apart first; where only one is alive, from
    what it was before."""
    living = [head.resource for head in conflict.heads if head.resource is not None]
    laid = [head.resource and places(definitions, head.resource) for head in conflict.heads]
    before = [base.resource and places(definitions, base.resource) for base in conflict.bases]
    apart = _apart(definitions, conflict, living)
    names = dict.fromkeys(name for told in (*laid, *before) if told for name in told)
    found = []
    for name in names:
        values = [UNKNOWN if told is None else told.get(name, ABSENT) for told in laid]
        stood = [UNKNOWN if told is None else told.get(name, ABSENT) for told in before]
        base = stood[0] if stood and all(same(one, stood[0]) for one in stood) else UNKNOWN
        said = [value for value in values if value is not UNKNOWN]
        if len(said) < len(values) and base is not UNKNOWN:
            said.append(base)  # one was deleted: what the other changed is told
        if all(same(value, said[0]) for value in said):
            continue
        is_apart = any(_is_within(name, path) for path in apart)
        found.append(Differing(name, base, tuple(values), is_apart))
    return sorted(found, key=lambda one: not one.is_apart)


def _apart(
    definitions: Definitions, conflict: Conflict, living: Sequence[Resource]
) -> frozenset[str]:
    bases = [base.resource for base in conflict.bases]
    pairs = combinations(living, 2)
    return frozenset(
        path for one, other in pairs for path in merged(definitions, bases, one, other).apart
    )


def _is_within(name: str, path: str) -> bool:
    return name == path or name.startswith((f"{path}.", f"{path}.where("))


# --- from the store ------------------------------------------------------------------------------


async def lineage_of(server: Server, key: Key) -> Lineage:
    """What is known here of a resource's versions."""
    known = (await server.store.lineage((key,))).get(key, ())
    return Lineage({one.rev: Known(one.parents, State(one.state)) for one in known})


async def conflict_of(
    server: Server,
    key: Key,
    lineage: Lineage,
    bodies: Bodies | None = None,
    issues: Sequence[Issue] = (),
) -> Conflict | None:
    """The conflict a resource is in; None: it has one head, or none.

    bodies: the content of versions that are not stored yet.
    """
    heads = lineage.heads()
    if len(heads) < 2:
        return None
    bases = nearest(lineage, heads)
    told = dict(bodies or {})
    wanted = [(key, rev) for rev in (*heads, *bases) if rev not in told]
    for stored in await server.store.at_versions(wanted, EVERYTHING) if wanted else ():
        told[stored.version_id] = None if stored.deleted else resource_of(stored)
    first, second = (tuple(Side(rev, told.get(rev)) for rev in revs) for revs in (heads, bases))
    return Conflict(key, first, second, tuple(issues))


def nearest(lineage: Lineage, heads: Sequence[Rev]) -> list[Rev]:
    """The ancestors that all of these have, and no other such ancestor follows."""
    shared = frozenset.intersection(*map(lineage.past, heads))
    passed = {rev for one in shared for rev in lineage.past(one) - {one}}
    return sorted(shared - passed)
