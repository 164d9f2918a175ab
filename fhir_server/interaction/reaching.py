"""reaching — whether content is within a caller's reach: what is to be written, and what once was.

https://hl7.org/fhir/R4/security.html#AccessDenied

The store judges resources as they are now. What is not there yet, and what a resource said before,
is judged here by what it says itself: whose it is, which facility keeps it, what is asked of it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from fhir_server.foundation.outcome import Forbidden
from fhir_server.foundation.resource import Key, Resource
from fhir_server.foundation.wire import parse, render
from fhir_server.interaction import facility
from fhir_server.interaction.context import Answer, Circumstances, Server
from fhir_server.search.evaluate import holds
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import (
    Care,
    Condition,
    Facts,
    IndexRows,
    NewVersion,
    Restriction,
    Select,
    Stored,
    Unit,
    rid,
)

FREELY = ("create", "update", "patch", "read")  # what opens a record to others is read, too
INTERACTIONS = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class Content:
    """What a version says. facility: None: it names none, so that its resource's counts, which is
    within reach. updated: milliseconds since 1970 UTC."""

    key: Key
    rows: IndexRows
    facility: int | None
    updated: int = 0


async def within(
    server: Server,
    reach: Restriction,
    contents: Sequence[Content],
    cares: Iterable[Care] = (),
) -> list[bool]:
    """Whether each is; cares: what is not stored yet, and counts."""
    if reach.is_free:
        return [True] * len(contents)
    treating = await _treating(server, reach, {content.rows.owner for content in contents} - {0})
    for care in cares:
        treating[care.patient] = treating.get(care.patient, frozenset()) | {care.facility}
    placeless = _placeless(reach)
    return [
        (placeless if content.facility is None else reach).allows(
            Facts(
                content.key.type,
                content.rows.owner,
                content.facility or 0,
                treating.get(content.rows.owner, frozenset()),
                partial(_meets, content),
            )
        )
        for content in contents
    ]


async def _treating(
    server: Server, reach: Restriction, patients: Iterable[int]
) -> dict[int, frozenset[int]]:
    """For each patient the facilities that have them in their care, where that matters."""
    moments = {ground.in_care_of[1] for ground in reach.grounds or () if ground.in_care_of}
    if not moments:
        return {}
    moment = max(moments)  # an Access has one
    return dict(await server.store.cared_by(sorted(patients), moment))


def _placeless(reach: Restriction) -> Restriction:
    """The same, whichever facility a resource is of."""
    return Restriction(tuple(replace(ground, facility=None) for ground in reach.grounds or ()))


def _meets(content: Content, where: Condition) -> bool:
    """A link is met by nothing here: what a scope asks of other resources only the store knows."""
    return holds(where, content.rows, rid=rid(content.key), updated=content.updated)


# --- what is to be written -----------------------------------------------------------------------


async def allowed(server: Server, circumstances: Circumstances, unit: Unit) -> Unit:
    """The unit, if its caller may write it. Refuses (403) what they may not: what they sent is why,
    and nothing else. Only a patient they reach, or register now, comes into a facility's care by
    what they write: naming one opens nobody's records.
    """
    types = frozenset({version.key.type for version in unit.versions} | {"Patient"})
    if all(circumstances.reach(each).among(types).is_free for each in FREELY):
        return unit
    people = [version for version in unit.versions if version.key.type == "Patient"]
    others = [version for version in unit.versions if version.key.type != "Patient"]
    await _demand(server, circumstances, people, ())
    registered = [care for version in people for care in version.cares or ()]
    await _demand(server, circumstances, others, registered)
    return await caring(server, circumstances, unit)


async def caring(
    server: Server, circumstances: Circumstances, unit: Unit, patients: Iterable[int] = ()
) -> Unit:
    """The unit without the care of patients whom its caller does not reach. patients: known to be
    the caller's all the same."""
    reach = circumstances.reach("read")
    if reach.is_free:
        return unit
    known = {rid(version.key) for version in unit.versions if version.key.type == "Patient"}
    known |= set(patients)
    named = {care.patient for version in unit.versions for care in version.cares or ()} - known
    theirs = Select(("Patient",), restriction=reach)
    known |= set(await server.store.meeting(tuple(named), theirs)) if named else set()
    return replace(unit, versions=tuple(_caring(version, known) for version in unit.versions))


def _caring(version: NewVersion, known: Container[int]) -> NewVersion:
    if all(care.patient in known for care in version.cares or ()):
        return version
    return replace(
        version, cares=tuple(care for care in version.cares or () if care.patient in known)
    )


async def _demand(
    server: Server,
    circumstances: Circumstances,
    versions: Iterable[NewVersion],
    cares: Sequence[Care],
) -> None:
    asked: dict[str, list[NewVersion]] = {}
    for version in versions:
        if version.tail is not None:  # what is deleted was within reach when it was found
            asked.setdefault(interaction_of(version), []).append(version)
    for interaction, written in asked.items():
        reach = circumstances.reach(interaction)
        contents = [Content(each.key, each.rows, _facility(each)) for each in written]
        judged = await within(server, reach, contents, cares)
        for version, may in zip(written, judged, strict=True):
            if not may:
                raise Forbidden(
                    f"You may not {interaction} this `{version.key.type}`: none of your roles "
                    "writes one for this patient, this facility, or by this scope.",
                    vietnamese=f"Bạn không có quyền {interaction} `{version.key.type}` này: không"
                    " vai trò nào của bạn được ghi cho người bệnh này, cơ sở này, hoặc với scope"
                    " này.",
                )


def _facility(version: NewVersion) -> int | None:
    return version.facility or (None if version.follows else 0)


def interaction_of(version: NewVersion) -> str:
    """By which right a version is written. Who brings something to life, creates it."""
    if version.follows is None:
        return "create"
    return INTERACTIONS.get(version.method, "update")


# --- what once was -------------------------------------------------------------------------------


async def those_within(
    server: Server, circumstances: Circumstances, interaction: str, found: Sequence[Stored]
) -> list[Stored]:
    """Of versions of resources that are within reach now those that were then, too."""
    note_owners(server, circumstances, found)
    reach = circumstances.reach(interaction)
    if reach.is_free or not found:
        return list(found)
    contents = [_content(server, circumstances, each) for each in found if not each.deleted]
    places = {content.facility or 0 for content in contents}
    of = await facility.wholes(server, circumstances, places)
    contents = [
        replace(content, facility=content.facility and of[content.facility]) for content in contents
    ]
    judged = iter(await within(server, reach, contents))
    deleted = {each.key for each in found if each.deleted}
    newest = await server.store.newest(tuple(deleted), reach) if deleted else {}
    return [each for each in found if (_is(each, newest) if each.deleted else next(judged))]


def note_owners(server: Server, circumstances: Circumstances, found: Iterable[Stored]) -> None:
    """For the audit: a version that was another patient's is told of them, too."""
    if circumstances.record is None:
        return
    for stored in found:
        if not stored.deleted:
            owner = server.indexer.owner(resource_of(stored))
            if owner != stored.owner:
                circumstances.record.was(stored, owner)


def _is(deletion: Stored, newest: dict[Key, Stored]) -> bool:
    """Whose a resource was when it was deleted is known of the last deletion alone."""
    last = newest.get(deletion.key)
    return last is not None and last.version_id == deletion.version_id


def _content(server: Server, circumstances: Circumstances, stored: Stored) -> Content:
    resource = resource_of(stored)
    named = facility.named(server, circumstances, resource)
    return Content(stored.key, server.indexer.rows(resource), named or None, stored.updated)


# --- what a write tells --------------------------------------------------------------------------


async def readable(server: Server, circumstances: Circumstances, answer: Answer) -> Answer:
    """The answer to a write, without the resources its caller may not read."""
    reach = circumstances.reach("read")
    if answer.body is None or reach.is_free:
        return answer
    if answer.key is None:
        return replace(answer, body=await readable_entries(server, reach, answer.body))
    if reach.among(frozenset({answer.key.type})).is_free:
        return answer
    stored = (await server.store.newest((answer.key,), reach)).get(answer.key)
    if stored is not None and stored.version_id == answer.version_id:
        return answer
    # Somebody may have written the next version since: what was kept is told all the same.
    written = (answer.key, answer.version_id or "")
    found = await server.store.at_versions((written,), reach)
    may = await those_within(server, circumstances, "read", found)
    return answer if may else replace(answer, body=None)


async def readable_entries(server: Server, reach: Restriction, body: bytes) -> bytes:
    """A Bundle without the resources that are not within reach; what became of them stays told."""
    told = parse(body)  # which keeps every number as it was written
    carrying = [entry for entry in told.get("entry", ()) if "resource" in entry]
    if reach.is_free or not carrying:
        return body
    wanted = [_version(entry["resource"]) for entry in carrying]
    if reach.among(frozenset(key.type for key, _ in wanted)).is_free:
        return body
    rows = await server.store.at_versions(wanted, reach)
    may = {(stored.key, stored.version_id) for stored in rows}
    for entry, version in zip(carrying, wanted, strict=True):
        if version not in may:
            del entry["resource"]
            entry.pop("fullUrl", None)
    return render(told)


def _version(resource: Resource) -> tuple[Key, str]:
    return Key(resource["resourceType"], resource["id"]), resource["meta"]["versionId"]
