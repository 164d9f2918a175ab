"""facility — the Organization a resource names as the one that keeps it.

https://hl7.org/fhir/R4/organization.html
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fhir_server.foundation.resource import Key, Resource
from fhir_server.interaction.context import Circumstances, Server
from fhir_server.store.contract import rid

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
