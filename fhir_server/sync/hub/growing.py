"""growing — what is written of one resource when versions of it have come.

https://hl7.org/fhir/R4/http.html#versioning
https://hl7.org/fhir/R4/provenance.html

Heads that can be made one are made one, if the result is valid. What is left apart is told by a
Task, and who made one of two is told by a Provenance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from fhir_server.foundation.outcome import Issue
from fhir_server.interaction import facility, writing
from fhir_server.interaction.context import Circumstances, Server
from fhir_server.interaction.judging import found_errors, judged
from fhir_server.security.caller import HUB
from fhir_server.store.codec import resource_of, tail_of
from fhir_server.store.contract import EVERYTHING, NO_ROWS, IndexRows, NewVersion, Stored
from fhir_server.store.contract.lineage import Earlier, Stub
from fhir_server.sync.conflicts.keeping import Kept, kept
from fhir_server.sync.conflicts.provenance import MERGED, of_several
from fhir_server.sync.hub.quarantine import parsed
from fhir_server.sync.hub.tree import Tree, Version
from fhir_server.sync.lineage import Rev
from fhir_server.sync.words.push import plain

NONE: Mapping[Rev, IndexRows] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Grown:
    """version: what stands for the resource, with all rows before it. own: the server's beside it,
    Provenances. told: how its conflict is kept."""

    tree: Tree
    version: NewVersion
    own: tuple[NewVersion, ...] = ()
    told: Kept = field(default_factory=Kept)


async def grown(
    server: Server,
    circumstances: Circumstances,
    tree: Tree,
    newest: Stored | None,
    rows: Mapping[Rev, IndexRows] = NONE,
) -> Grown | None:
    """None where nothing is to be written. newest: what stood for the resource. rows: of versions
    whose rows are made already."""
    await settle(server, tree)
    shown = tree.finish()
    if shown is None:
        return None
    version = _as_new(server, circumstances, tree, shown, newest, rows.get(shown.rev))
    if len(tree.rows) > 1 or tree.stubs:
        version = replace(
            version,
            earlier=tuple(_earlier(row) for row in tree.rows[:-1]),
            stubs=tuple(_stub(rev, parents) for rev, parents in tree.stubs.items()),
        )
    told = Kept()
    if tree.was_apart or tree.is_apart:
        told = await kept(
            server, circumstances, tree.key, tree.lineage, tree.bodies, issues=tree.issues
        )
    own = tuple(_provenance(server, circumstances, tree, each) for each in tree.merges)
    return Grown(tree, version, own, told)


async def settle(server: Server, tree: Tree) -> None:
    """Make one of two heads as long as any two can be."""
    await _read(server, tree)
    while (made := tree.merge(server.definitions)) is not None:
        issues: list[Issue] = []
        if made.body is not None:
            issues = await judged(server, made.body, None, expected_type=tree.key.type)
        if found_errors(issues):
            tree.leave(made, tuple(issues))
        else:
            tree.add_merge(made)
        await _read(server, tree)


async def _read(server: Server, tree: Tree) -> None:
    missing = tree.missing()
    if missing:
        wanted = [(tree.key, rev) for rev in sorted(missing)]
        for stored in await server.store.at_versions(wanted, EVERYTHING):
            body = None if stored.deleted else plain(resource_of(stored))
            tree.bodies[stored.version_id] = body


def _as_new(
    server: Server,
    circumstances: Circumstances,
    tree: Tree,
    shown: Version,
    newest: Stored | None,
    rows: IndexRows | None,
) -> NewVersion:
    is_told_again = shown.rev in tree.before.versions or any(
        row.rev == shown.rev for row in tree.rows[:-1]
    )
    if shown.body is not None:
        new = writing.new_version(
            server,
            circumstances,
            shown.body,
            shown.method,
            newest,
            shown.parents,
            rows=rows,
            named=parsed(shown.rev),
        )
    elif newest is not None:
        new = writing.deletion(server, newest, shown.parents)
    else:
        new = _never_seen(server, circumstances, tree, shown)
    return replace(new, parents=None) if is_told_again else new


def _never_seen(
    server: Server, circumstances: Circumstances, tree: Tree, shown: Version
) -> NewVersion:
    """The deletion of what came with it."""
    bodies = [row.body for row in tree.rows if row.body is not None]
    owner = server.indexer.owner(bodies[-1]) if bodies else 0
    generation, digest = parsed(shown.rev)
    return NewVersion(
        key=tree.key,
        generation=generation,
        digest=digest,
        method="DELETE",
        tail=None,
        rows=replace(NO_ROWS, owner=owner),
        facility=facility.of_caller(circumstances),
        parents=shown.parents,
    )


def _earlier(row: Version) -> Earlier:
    tail = None if row.body is None else tail_of(row.body)
    return Earlier(*parsed(row.rev), row.method, tail, row.parents)


def _stub(rev: str, parents: tuple[str, ...]) -> Stub:
    return Stub(*parsed(rev), parents)


def _provenance(
    server: Server, circumstances: Circumstances, tree: Tree, made: Version
) -> NewVersion:
    named = NewVersion(tree.key, *parsed(made.rev), made.method, None)
    told = writing.with_id(of_several(named, made.parents, HUB, MERGED), server.new_id())
    return writing.new_version(server, circumstances, told, "POST", None)
