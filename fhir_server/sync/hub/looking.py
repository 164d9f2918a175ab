"""looking — all that is looked up before a group is taken: what is there, and what its node may.

https://hl7.org/fhir/R4/security.html#AccessDenied

A node writes of the patients who are in its facility's care, who ever were, and whom it registered:
what it wrote while a patient was there is taken after they have moved. So is what it made of a
record that it might write as it was then, whoever's that record is now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fhir_server.foundation.outcome import Forbidden, Issue
from fhir_server.foundation.resource import Key
from fhir_server.interaction import facility
from fhir_server.interaction.context import Circumstances, Server
from fhir_server.interaction.reaching import Content, within
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import (
    EVERYTHING,
    FOREVER,
    Care,
    Ground,
    Position,
    Restriction,
    Stored,
    rid,
)
from fhir_server.store.contract.side import HELD, RECEIPT, HeldRow
from fhir_server.sync.hub import quarantine
from fhir_server.sync.hub.circles import Apart
from fhir_server.sync.hub.facts import facts_of
from fhir_server.sync.hub.judging import Judging, Named
from fhir_server.sync.hub.quarantine import version_key
from fhir_server.sync.hub.tree import Tree
from fhir_server.sync.lineage import Known, Lineage, Parents, State
from fhir_server.sync.words import Outcome, Pushed

DEEPEST = 1000  # ancestors of one version that are kept apart
RECEIPTS = 20  # of one version, that are looked at
PATIENT = "Patient"
WRITES = ("create", "update", "delete")


@dataclass
class Looked:
    """What a group is judged by.

    newest: of what it writes. places: of versions that are stored. held, refused: versions that are
    kept apart, or were refused, and of these what they were made from. issues: what the validator
    says. contents: of those that are valid. may: what may be written, deleted or read as it is now.
    might: versions as of which it may be written or deleted.
    within: versions that may be written by what they say. references: of each version to what.
    there: of these what is stored, within reach where it is a Patient. sent: those of which the
    node has sent something. at_home: whether patients are at home at the facility, who ever were.
    circling: what is kept apart and waits for each version alone. coming: what is taken to be here
    while a circle is judged. patients: of whom the node may write. allowed: interactions with types
    that it may write some records of. restored: the hub came back from a backup, so that nodes may
    know of versions that it has lost.
    """

    newest: Mapping[Key, Stored]
    trees: dict[Key, Tree]
    places: dict[Named, Position]
    held: dict[Named, HeldRow] = field(default_factory=dict)
    refused: dict[Named, Parents] = field(default_factory=dict)
    issues: dict[Named, tuple[Issue, ...]] = field(default_factory=dict)
    contents: dict[Named, Content] = field(default_factory=dict)
    may: dict[str, frozenset[Key]] = field(default_factory=dict)
    might: dict[str, frozenset[Named]] = field(default_factory=dict)
    within: set[Named] = field(default_factory=set)
    references: dict[Named, tuple[Key, ...]] = field(default_factory=dict)
    there: set[Key] = field(default_factory=set)
    sent: set[Key] = field(default_factory=set)
    circling: dict[Named, frozenset[Key]] = field(default_factory=dict)
    coming: set[Key] = field(default_factory=set)
    at_home: dict[int, bool] = field(default_factory=dict)
    patients: frozenset[int] = frozenset()
    types: frozenset[str] = frozenset()
    allowed: frozenset[tuple[str, str]] = frozenset()
    restored: bool = False

    def is_new(self, one: Pushed) -> bool:
        return not self.trees[one.key].knows(one.rev)


async def looked(
    server: Server, circumstances: Circumstances, members: Sequence[Pushed], judging: Judging
) -> Looked:
    found = await _trees(server, members)
    found.types = frozenset(server.definitions.resource_types)
    found.allowed = frozenset(
        (interaction, type)
        for type in {one.key.type for one in members} & found.types
        for interaction in WRITES
        if _may(circumstances, interaction, type)
    )
    new = [one for one in members if found.is_new(one) and one.key.type in found.types]
    await _ancestors(server, found, members)
    if any(one.stubs for one in members):
        found.restored = len(await server.store.epochs()) > 1
    await _judge(server, circumstances, found, new, judging)
    await _refer(server, found, circumstances.caller.client)
    await _reach(server, circumstances, found, new)
    return found


def _may(circumstances: Circumstances, interaction: str, type: str) -> bool:
    try:
        circumstances.access.demand(interaction, type)
    except Forbidden:
        return False
    return True


# --- what is there --------------------------------------------------------------------------------


async def _trees(server: Server, members: Sequence[Pushed]) -> Looked:
    keys = list(dict.fromkeys(one.key for one in members))
    newest = await server.store.newest(keys, EVERYTHING)
    known = await server.store.lineage(list(newest)) if newest else {}
    trees, places = {}, {}
    for key in keys:
        told = known.get(key, ())
        versions = {one.rev: Known(one.parents, State(one.state)) for one in told}
        last = newest[key].version_id if key in newest else ""
        trees[key] = Tree(key, Lineage(versions), last)
        places.update({(key, one.rev): one.position for one in told if one.position is not None})
    return Looked(newest, trees, places)


async def _ancestors(server: Server, found: Looked, members: Sequence[Pushed]) -> None:
    """What is kept apart of the group's versions, and of their past."""
    wanted = {(one.key, one.rev) for one in members if found.is_new(one)}
    own = set(wanted)
    wanted |= {(one.key, parent) for one in members for parent in one.parents}
    unknown: set[Named] = set()
    while wanted and len(found.held) < DEEPEST:
        rows = await server.store.side.rows(HELD, [version_key(*name) for name in wanted])
        by_name = {name: rows.get(version_key(*name)) for name in wanted}
        held = {name: row for name, row in by_name.items() if row is not None}
        found.held.update(held)
        unknown |= wanted - held.keys() - own
        parents = {(key, one) for (key, _), r in held.items() for one in quarantine.parents_of(r)}
        wanted = _unheard(found, parents) - unknown
    await _learn_refused(server, found, sorted(_unheard(found, unknown)))


def _unheard(found: Looked, names: Iterable[Named]) -> set[Named]:
    return {
        (key, rev)
        for key, rev in names
        if not found.trees[key].has_heard_of(rev) and (key, rev) not in found.held
    }


async def _learn_refused(server: Server, found: Looked, names: Sequence[Named]) -> None:
    by_key = {version_key(*name): name for name in names}
    rows = await server.store.side.ranges(RECEIPT, "by_version", list(by_key), limit=RECEIPTS)
    for row in rows:
        if row.outcome == Outcome.REFUSED.value:
            name = by_key[row.rid, row.generation, row.digest]
            found.refused[name] = facts_of(row).parents


# --- what it says ---------------------------------------------------------------------------------


async def _judge(
    server: Server,
    circumstances: Circumstances,
    found: Looked,
    new: Sequence[Pushed],
    judging: Judging,
) -> None:
    told = await judging.of(new)
    valid = {name: (one, one.rows) for name, one in told.items() if one.rows is not None}
    places = await facility.wholes(
        server, circumstances, {one.facility for one, _ in valid.values()}
    )
    here = facility.of_caller(circumstances)
    found.issues.update((name, one.issues) for name, one in told.items())
    for name, (one, rows) in valid.items():
        key = name[0]
        place = places[one.facility] or (here if key not in found.newest else None)
        found.contents[name] = Content(key, rows, place)
        found.references[name] = one.references


async def _refer(server: Server, found: Looked, node: str) -> None:
    every = {key for keys in found.references.values() for key in keys} - found.trees.keys()
    others = sorted(key for key in every if key.type != PATIENT)
    found.there.update(await server.store.newest(others, EVERYTHING) if others else ())
    missing = {rid(key): key for key in others if key not in found.there}
    prefixes = [(number,) for number in missing]
    rows = await server.store.side.ranges(RECEIPT, "by_version", prefixes, limit=RECEIPTS)
    found.sent.update(missing[row.rid] for row in rows if row.node == node)
    apart = Apart(server)
    for (key, rev), keys in found.references.items():
        if ahead := found.sent.intersection(keys):
            found.circling[key, rev] = await apart.waits_for(key, ahead)


# --- what the node may ----------------------------------------------------------------------------


async def _reach(
    server: Server, circumstances: Circumstances, found: Looked, new: Sequence[Pushed]
) -> None:
    place = facility.of_caller(circumstances)
    bases = await _bases(server, circumstances, found, new)
    owners = {content.rows.owner for content in bases.values()}
    patients = found.patients = await _patients(server, circumstances, found, new, place, owners)
    keys = list(found.newest)
    for interaction in WRITES[1:]:
        reach = widened(circumstances.reach(interaction), place, patients)
        there = await server.store.newest(keys, reach) if keys else {}
        found.may[interaction] = frozenset(there)
        once = await within(server, reach, list(bases.values())) if bases else ()
        found.might[interaction] = frozenset(
            name for name, might in zip(bases, once, strict=True) if might
        )
    named = {k for keys in found.references.values() for k in keys if k.type == PATIENT}
    reach = widened(circumstances.reach("read"), place, patients)
    read = await server.store.newest(sorted(named), reach) if named else {}
    found.may["read"] = frozenset(read)
    found.there.update(read)
    cares = [Care(patient, patient, place, FOREVER) for patient in sorted(patients)]
    for interaction in WRITES[:2]:
        written = [
            (one.key, one.rev)
            for one in new
            if (one.key, one.rev) in found.contents
            and (interaction == "create") is (one.key not in found.newest)
        ]
        contents = [found.contents[name] for name in written]
        told = await within(server, circumstances.reach(interaction), contents, cares)
        found.within.update(name for name, may in zip(written, told, strict=True) if may)


async def _bases(
    server: Server, circumstances: Circumstances, found: Looked, new: Sequence[Pushed]
) -> dict[Named, Content]:
    """The versions that new ones were made from, where others follow these by now. One that names
    no facility is of the caller's where the resource is of it still, else of none."""
    wanted = {
        (one.key, parent)
        for one in new
        if one.key in found.newest
        for parent in one.parents
        if (one.key, parent) in found.places and parent != found.newest[one.key].version_id
    }
    if not wanted:
        return {}
    here = facility.of_caller(circumstances)
    keys = sorted({key for key, _ in wanted})
    own = await server.store.newest(keys, Restriction((Ground(facility=here),)))
    bases: dict[Named, Content] = {}
    for each in await server.store.at_versions(sorted(wanted), EVERYTHING):
        if each.deleted:
            continue
        resource = resource_of(each)
        place = here if each.key in own else 0
        if named := facility.named(server, circumstances, resource):
            place = (await facility.wholes(server, circumstances, {named}))[named]
        rows = server.indexer.rows(resource)
        bases[each.key, each.version_id] = Content(each.key, rows, place, each.updated)
    return bases


async def _patients(
    server: Server,
    circumstances: Circumstances,
    found: Looked,
    new: Sequence[Pushed],
    place: int,
    also: Iterable[int],
) -> frozenset[int]:
    """Whom the facility has or ever had in its care, or registers. also: whose records the group's
    versions were made from."""
    owners = {stored.owner for stored in found.newest.values()} | set(also)
    owners |= {content.rows.owner for content in found.contents.values()}
    asked = sorted(owners - {0})
    homes = await server.store.homes(asked, place) if asked and place else {}
    found.at_home = {patient: is_home for (patient, _), is_home in homes.items()}
    known = set(found.at_home)
    for one in new:
        content = found.contents.get((one.key, one.rev))
        if content is None or one.key.type != PATIENT or one.key in found.newest:
            continue
        if content.facility == place:
            known.add(rid(one.key))
    named = {k for keys in found.references.values() for k in keys if k.type == PATIENT}
    own = await server.store.newest(sorted(named), circumstances.reach("update")) if named else {}
    return frozenset(known | {rid(key) for key in own})


def widened(reach: Restriction, place: int, patients: Iterable[int]) -> Restriction:
    """The same, where these patients are in the facility's care, too."""
    known = frozenset(patients)
    if reach.grounds is None or not known:
        return reach
    more = [
        replace(
            ground,
            in_care_of=None,
            owners=known if ground.owners is None else ground.owners & known,
        )
        for ground in reach.grounds
        if ground.in_care_of is not None and ground.in_care_of[0] == place
    ]
    return Restriction((*reach.grounds, *more))
