"""care — whom a resource brings into a facility's care, and for how long.

https://hl7.org/fhir/R4/patient.html
https://hl7.org/fhir/R4/encounter.html
https://hl7.org/fhir/R4/request.html

Registered there, on a visit there, or referred to it: so a facility comes to reach the records of a
patient (`reach = "care"` of access.toml). Care ends by itself some time after what it came from.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from fhir_server.foundation.primitive import interval
from fhir_server.foundation.resource import Key, Resource
from fhir_server.interaction import facility
from fhir_server.interaction.context import Circumstances, Server
from fhir_server.store.contract import FOREVER, Care, rid

DAY = 86_400_000  # milliseconds
AFTER = 180 * DAY  # of a visit that ended, and of a referral
OPEN = 365 * DAY  # of a visit that nobody has ended

ON_VISIT = frozenset({"planned", "arrived", "triaged", "in-progress", "onleave"})
REFERRED = frozenset({"active", "on-hold"})
TO_BE_DONE = frozenset(
    {"requested", "received", "accepted", "ready", "in-progress", "on-hold", "completed"}
)

Until = Callable[[Resource, int], int]  # of the resource, now: 0 where it brings nobody


def brought(
    server: Server, circumstances: Circumstances, resource: Resource, owner: int
) -> tuple[Care, ...] | None:
    """owner: the patient in whose compartment it is; 0: none. None: its type says nothing of it."""
    known = KNOWN.get(resource["resourceType"])
    if known is None:
        return None
    whom, element, until = known
    patient = (
        facility.number(server, circumstances, resource.get(whom), "Patient") if whom else owner
    )
    end = until(resource, int(time.time() * 1000))
    if not patient or not end:
        return ()
    told = resource.get(element)
    basis = rid(Key(resource["resourceType"], resource["id"]))
    places = {
        number
        for each in (told if isinstance(told, list) else [told])
        if (number := facility.number(server, circumstances, each, "Organization"))
    }
    return tuple(Care(basis, patient, place, end) for place in sorted(places))


def _registered(_: Resource, __: int) -> int:
    return FOREVER


def _on_visit(resource: Resource, now: int) -> int:
    if resource.get("status") in ON_VISIT:
        return now + OPEN
    return (
        _end_of(resource.get("period"), now) + AFTER if resource.get("status") == "finished" else 0
    )


def _referred(resource: Resource, now: int) -> int:
    return now + AFTER if resource.get("status") in REFERRED else 0


def _to_be_done(resource: Resource, now: int) -> int:
    return now + AFTER if resource.get("status") in TO_BE_DONE else 0


def _end_of(period: Any, now: int) -> int:
    """Never later than now: a visit does not end in years to come."""
    end = period.get("end") if isinstance(period, dict) else None
    try:
        return min(interval(end, 0)[1], now) if isinstance(end, str) else now
    except ValueError:
        return now


# type: the element that names the patient (empty: the owner), the one that names the facility, and
# until when.
KNOWN: dict[str, tuple[str, str, Until]] = {
    "Patient": ("", "managingOrganization", _registered),
    "Encounter": ("", "serviceProvider", _on_visit),
    "EpisodeOfCare": ("", "managingOrganization", _referred),
    "ServiceRequest": ("", "performer", _referred),
    "Task": ("for", "owner", _to_be_done),
}
