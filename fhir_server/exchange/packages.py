"""packages — FHIR packages in the store: added, listed, removed, and tried on what is stored.

https://hl7.org/fhir/R4/packages.html
https://hl7.org/fhir/R4/implementationguide.html

A package's definitions are stored as the resources they are, so they take effect in every worker,
are in the backup, and have a history. What belongs to a package carries its tag; the package
itself is an ImplementationGuide with `packageId` and `version`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, TypeVar

from fhir_server.conformance.canonicals import CONFORMANCE_TYPES, Canonical, Canonicals, of_resource
from fhir_server.conformance.package import Package
from fhir_server.foundation.outcome import Conflict, FhirError, Issue, NotFound, Unavailable
from fhir_server.foundation.resource import ID, Key, Resource
from fhir_server.interaction import auditing, bundle, update
from fhir_server.interaction.context import BY_OPERATOR, Circumstances, Server
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import EVERYTHING, Place, Select, Stored, rid
from fhir_server.validation.validator import Validator

TAG = "https://fhir-server.example/CodeSystem/package"  # code: `name#version`
GUIDE = "https://fhir-server.example/package/"  # the URL of the ImplementationGuide we write
UNNAMED = re.compile(r"[^A-Za-z0-9_]")  # R4 ig-0: a name a machine can use
ENTRIES = 200  # stored at once, or not at all
PAGE = 500

T = TypeVar("T")
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Installed:
    """A package in the store."""

    name: str
    version: str
    definitions: int
    needs: tuple[tuple[str, str], ...]  # name, version

    @property
    def label(self) -> str:
        return f"{self.name}#{self.version}" if self.version else self.name


# --- adding --------------------------------------------------------------------------------------


@dataclass(slots=True)
class Added:
    """What became of a package's definitions; refused: by type and id, why."""

    stored: int = 0
    refused: dict[str, list[Issue]] = field(default_factory=dict)


async def add(server: Server, package: Package, progress: Progress = lambda _done: None) -> Added:
    """Store a package's definitions. Done again it changes nothing.

    Definitions that are not valid R4 are told and left out; packages do hold such. Raises
    Unavailable where the store is; what was stored before stays, and adding again goes on.
    """
    wanted = [entry for entry in package.entries if entry.type in CONFORMANCE_TYPES]
    taken = {stored.key: resource_of(stored) async for stored in each(server, CONFORMANCE_TYPES)}
    resources = [named(entry, package.identity, taken) for entry in wanted]
    added = Added()
    for part in parts(resources):
        try:
            await put(server, part, package.identity)
            added.stored += len(part)
        except Unavailable:
            raise
        except FhirError:
            for one in part:
                await put_alone(server, one, added, package.identity)
        progress(added.stored + len(added.refused))
    await put(server, [guide(package)], package.identity)
    return added


async def put(server: Server, resources: Sequence[Resource], name: str) -> None:
    """name: the package's, for the audit."""
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in resources
    ]
    whole: Resource = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    await bundle.bundle(server, bundle.Ask(whole), by_command(server, name))


def by_command(server: Server, name: str) -> Circumstances:
    return auditing.of_file(server, BY_OPERATOR, "package", name)


async def put_alone(server: Server, resource: Resource, added: Added, name: str) -> None:
    try:
        await update.update(
            server,
            update.Ask(resource["resourceType"], resource["id"], resource),
            by_command(server, name),
        )
        added.stored += 1
    except Unavailable:
        raise
    except FhirError as refusal:
        added.refused[f"{resource['resourceType']}/{resource['id']}"] = refusal.issues


def named(entry: Canonical, label: str, taken: dict[Key, Resource]) -> Resource:
    """The definition under an id nobody else has, with the package's tag."""
    resource = entry.load()
    type, url, version = entry.type, entry.url, entry.version
    id = resource.get("id")

    def is_free(candidate: str) -> bool:
        there = taken.get(Key(type, candidate))
        same = of_resource(there, "") if there is not None else None
        return there is None or (same is not None and (same.url, same.version) == (url, version))

    if not isinstance(id, str) or not ID.fullmatch(id) or not is_free(id):
        digest = blake2b(f"{url}|{version}".encode(), digest_size=6).hexdigest()
        id = f"{id[:50] if isinstance(id, str) and ID.fullmatch(id) else type}-{digest}"
    meta = dict(resource.get("meta") or {})
    tags = [tag for tag in meta.get("tag", []) if tag.get("system") != TAG]
    found = {**resource, "id": id, "meta": {**meta, "tag": [*tags, {"system": TAG, "code": label}]}}
    taken[Key(type, id)] = found
    return found


def guide(package: Package) -> Resource:
    """The package itself."""
    label = package.identity
    digest = blake2b(label.encode(), digest_size=6).hexdigest()
    needs = [
        {"uri": GUIDE + name, "packageId": name, "version": version or "*"}
        for name, version in sorted(package.dependencies.items())
    ]
    return {
        "resourceType": "ImplementationGuide",
        "id": f"package-{digest}",
        "meta": {"tag": [{"system": TAG, "code": label}]},
        "url": GUIDE + package.name,
        **({"version": package.version} if package.version else {}),
        "name": UNNAMED.sub("_", package.name),
        "status": "active",
        "packageId": package.name,
        "fhirVersion": ["4.0.1"],
        **({"dependsOn": needs} if needs else {}),
    }


# --- listing and removing ------------------------------------------------------------------------


async def installed(server: Server) -> list[Installed]:
    """The packages in the store, by name and version."""
    counted: Counter[str] = Counter()
    async for stored in each(server, CONFORMANCE_TYPES):
        counted.update(labels(resource_of(stored)))
    found = []
    async for stored in each(server, {"ImplementationGuide"}):
        resource = resource_of(stored)
        for label in labels(resource):
            needs = [(n.get("packageId"), n.get("version")) for n in resource.get("dependsOn", [])]
            name, _, version = label.partition("#")
            told = tuple((str(need), str(of)) for need, of in needs)
            found.append(Installed(name, version, counted[label], told))
    return sorted(found, key=lambda one: (one.name, one.version))


async def remove(server: Server, name: str, *, even_if_needed: bool = False) -> int:
    """Remove a package, `name` or `name#version`; how many definitions.

    Raises NotFound where it is not there, Conflict where there are several versions of it or
    another package needs it.
    """
    there = await installed(server)
    meant = [one for one in there if name in (one.name, one.label)]
    if not meant:
        known = ", ".join(f"`{one.label}`" for one in there) or "none"
        raise NotFound(f"There is no package `{name}` in the store. There are: {known}.")
    if len(meant) > 1:
        raise Conflict(f"Say which: {', '.join(f'`{one.label}`' for one in meant)}.")
    [package] = meant
    by = [one.label for one in there if any(need == package.name for need, _ in one.needs)]
    if by and not even_if_needed:
        raise Conflict(f"`{package.label}` is needed by {', '.join(f'`{one}`' for one in by)}.")
    keys = [
        stored.key
        async for stored in each(server, CONFORMANCE_TYPES | {"ImplementationGuide"})
        if package.label in labels(resource_of(stored))
    ]
    for part in parts(keys):
        entries = [{"request": {"method": "DELETE", "url": str(key)}} for key in part]
        whole: Resource = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        await bundle.bundle(server, bundle.Ask(whole), by_command(server, name))
    return package.definitions


def labels(resource: Resource) -> list[str]:
    """The packages a definition came with."""
    tags = (resource.get("meta") or {}).get("tag", [])
    return [tag["code"] for tag in tags if tag.get("system") == TAG and "code" in tag]


def parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), ENTRIES):
        yield items[start : start + ENTRIES]


async def each(server: Server, types: Iterable[str]) -> AsyncIterator[Stored]:
    """Every current resource of these types."""
    for type in sorted(types):
        select = Select((type,), restriction=EVERYTHING)
        after: Place | None = None
        while True:
            page = await server.store.search(select, limit=PAGE, after=after)
            for stored in page.rows:
                yield stored
            if not page.more:
                break
            last = page.rows[-1]
            after = Place(last.main, rid(last.key))


# --- trying --------------------------------------------------------------------------------------


@dataclass(slots=True)
class Tried:
    """What a profile would do to what is stored of its type."""

    profile: str
    type: str
    looked_at: int = 0
    refused: int = 0
    warned: int = 0
    rules: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)  # rule -> a resource that breaks it

    def take(self, stored: Stored, issues: Sequence[Issue]) -> None:
        self.looked_at += 1
        told = [issue for issue in issues if (issue.profile or "").startswith(self.profile)]
        errors = [issue for issue in told if issue.severity in ("error", "fatal")]
        self.refused += bool(errors)
        self.warned += bool(told) and not errors
        for rule in {issue.rule or issue.code for issue in errors}:
            self.rules[rule] += 1
            self.examples.setdefault(rule, str(stored.key))


async def against_stored(
    server: Server,
    validator: Validator,
    profiles: Sequence[Canonical],
    *,
    at_most: int | None = None,
    progress: Progress = lambda _done: None,
) -> list[Tried]:
    """How much of what is stored each profile would refuse, were it switched on.

    at_most: resources looked at for each profile, the newest first; None: all.
    """
    found = []
    done = 0
    for entry in profiles:
        structure = entry.load()
        if structure.get("kind") != "resource" or structure.get("abstract"):
            continue
        tried = Tried(entry.url, str(structure.get("type")))
        async for stored in each(server, {tried.type}):
            if at_most is not None and tried.looked_at >= at_most:
                break
            tried.take(stored, validator.check(resource_of(stored), profiles=[entry.url]))
            done += 1
            progress(done)
        found.append(tried)
    return found


def profiles_of(canonicals: Canonicals, package: Package) -> list[Canonical]:
    """The profiles on resources a package has, each as it would be known."""
    found = []
    for entry in package.entries:
        if entry.type == "StructureDefinition" and canonicals.get(entry.url) is not None:
            structure: dict[str, Any] = entry.load()
            if structure.get("derivation") == "constraint" and structure.get("kind") == "resource":
                found.append(entry)
    return found
