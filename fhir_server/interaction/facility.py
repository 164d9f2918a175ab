"""facility — the Organization a resource names as the one that keeps it.

https://hl7.org/fhir/R4/organization.html

A department is an Organization of its own in FHIR, and none in law: what names it is the
hospital's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from fhir_server.foundation.resource import Key, Resource
from fhir_server.interaction.context import Circumstances, Server
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import EVERYTHING, rid

# Where a resource names who is responsible for it. Who performed, ordered or paid is not meant.
NAMED = {
    "Account": "owner",
    "CareTeam": "managingOrganization",
    "Composition": "custodian",
    "Device": "owner",
    "DocumentReference": "custodian",
    "Encounter": "serviceProvider",
    "Endpoint": "managingOrganization",
    "EpisodeOfCare": "managingOrganization",
    "Group": "managingEntity",
    "HealthcareService": "providedBy",
    "Location": "managingOrganization",
    "Patient": "managingOrganization",
    "Person": "managingOrganization",
    "PractitionerRole": "organization",
}


DEPARTMENT = ("http://terminology.hl7.org/CodeSystem/organization-type", "dept")
DEEPEST = 8  # departments of departments that are followed
AT_ONCE = 500  # read from the store together


def named(server: Server, circumstances: Circumstances, resource: Resource) -> int:
    """The number of the Organization; 0: it names none that is kept here."""
    type = resource["resourceType"]
    if type == "Organization":
        return rid(Key(type, resource["id"]))
    told = resource.get(NAMED.get(type, ""))
    references = told if isinstance(told, list) else [told]
    found = (number(server, circumstances, each, "Organization") for each in references)
    return next((each for each in found if each), 0)


def of_caller(circumstances: Circumstances) -> int:
    """The number of the facility the caller acts for; 0: none."""
    facility = circumstances.caller.facility
    return rid(Key("Organization", facility)) if facility else 0


def number(server: Server, circumstances: Circumstances, reference: Any, type: str) -> int:
    """The number of the resource of this type that a Reference names; 0: none that is kept here."""
    text = reference.get("reference") if isinstance(reference, dict) else None
    if not isinstance(text, str):
        return 0
    site = server.indexer.site
    here = replace(site, base_urls=(circumstances.base, *site.base_urls)).own(text)
    return rid(here.key) if here is not None and here.key.type == type else 0


# --- departments ---------------------------------------------------------------------------------


async def wholes(
    server: Server,
    circumstances: Circumstances,
    numbers: Iterable[int],
    written: Mapping[int, Resource] | None = None,
) -> dict[int, int]:
    """For each Organization the facility it is a department of, at any depth; else itself.

    written: Organizations that are not stored yet. A circle has no whole, nor has what lies deeper
    than anybody builds: each of these is its own.
    """
    parents = {
        number: _whole(server, circumstances, each) for number, each in (written or {}).items()
    }
    level = set(numbers) - {0}
    for _ in range(DEEPEST):
        asked = level - parents.keys()
        parents |= server.departments.known(asked)
        if unknown := sorted(asked - parents.keys()):
            parents |= await _looked_up(server, circumstances, unknown)
        level = {parents[number] for number in level} - {0}
        if not level:
            break
    return {number: _top(parents, number) for number in numbers}


async def _looked_up(
    server: Server, circumstances: Circumstances, numbers: list[int]
) -> dict[int, int]:
    """Read whoever asks: where a record belongs does not depend on who writes it."""
    found = dict.fromkeys(numbers, 0)
    for at in range(0, len(numbers), AT_ONCE):
        for stored in await server.store.by_rid(numbers[at : at + AT_ONCE], EVERYTHING):
            found[rid(stored.key)] = _whole(server, circumstances, resource_of(stored))
    server.departments.learn(found)
    return found


def _whole(server: Server, circumstances: Circumstances, resource: Resource) -> int:
    """What an Organization is a department of; 0: it is none."""
    codings = (each for type in resource.get("type", ()) for each in type.get("coding", ()))
    if all((each.get("system"), each.get("code")) != DEPARTMENT for each in codings):
        return 0
    return number(server, circumstances, resource.get("partOf"), "Organization")


def _top(parents: Mapping[int, int], number: int) -> int:
    at = number
    for _ in range(DEEPEST):
        whole = parents.get(at, 0)
        if not whole:
            return at
        at = whole
    return number
