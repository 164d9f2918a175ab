"""visit — a visit as a facility's own system sends it: one transaction Bundle.

https://hl7.org/fhir/R4/http.html#transaction
https://hl7.org/fhir/R4/bundle.html#references
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from itertools import islice

from fhir_server.demo.facility import organizations, people
from fhir_server.demo.medication_request import medication_requests
from fhir_server.demo.records import Event, What, events, resources
from fhir_server.demo.systems import SID
from fhir_server.demo.world import World
from fhir_server.foundation.resource import Resource

Bundle = Resource
IF_NONE_EXIST = frozenset({"Patient", "Encounter"})


class Way(Enum):
    """How a facility's system sends what is new."""

    POST = "post"  # everything is created; the server chooses the ids
    CONDITIONAL = "conditional"  # created unless its identifier is there already
    PUT = "put"  # under ids of the sender's own, so that sending again changes nothing


def facility_bundles(size: int = 500) -> Iterator[Bundle]:
    """The organizations and practitioners every visit speaks of, under ids of their own."""
    every = (put(resource) for source in (organizations(), people()) for resource in source)
    while part := list(islice(every, size)):
        yield transaction(part)


def visits(
    patients: int, seed: int, *, way: Way = Way.CONDITIONAL, history: bool = False
) -> Iterator[Bundle]:
    """A transaction for each visit of a world, in order of time.

    Organization, and a Patient who came before, are named by identifier (conditional
    references). With `history`, some visits are followed by what was mended later.
    """
    world = World(patients, seed)
    for event in events(world, history=history):
        if entries := entries_of(world, event, way, history=history):
            yield transaction(entries)


def entries_of(world: World, event: Event, way: Way, *, history: bool) -> list[Resource]:
    """What is sent at this moment. Nobody can delete what the server named, not knowing it."""
    if event.what is What.DELETED:
        line = next(medication_requests(world.key, event.care), None)
        return [_delete(line)] if line and way is not Way.POST else []
    written = list(resources(world, event, history=history))
    references = _references(event, way)
    names = {f"{told['resourceType']}/{told['id']}": f"urn:uuid:{told['id']}" for told in written}
    if way is Way.PUT:
        names = {}
    again = event.what is not What.VISIT
    return [_entry(_pointing(told, references | names), way, again=again) for told in written]


def transaction(entries: list[Resource]) -> Bundle:
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def _references(event: Event, way: Way) -> dict[str, str]:
    """What other facilities' records are called by: their identifiers, not our ids."""
    visit = event.care.visit
    system, value = visit.person.identifier
    found = {
        f"Organization/{place.id}": f"Organization?identifier={SID['ma-cskcb']}|{place.code}"
        for place in (visit.facility, visit.person.home)
    }
    if way is not Way.PUT:
        found[f"Patient/{visit.person.id}"] = f"Patient?identifier={system}|{value}"
    return found


def _pointing(resource: Resource, references: dict[str, str]) -> Resource:
    """The same resource, its references at the first level written another way."""
    pointed = dict(resource)
    for name, value in resource.items():
        match value:
            case {"reference": str(reference)} if reference in references:
                pointed[name] = value | {"reference": references[reference]}
    return pointed


def _entry(resource: Resource, way: Way, *, again: bool) -> Resource:
    type = resource["resourceType"]
    entry: Resource = {"fullUrl": f"urn:uuid:{resource['id']}", "resource": resource}
    if way is Way.PUT or (way is Way.CONDITIONAL and type not in IF_NONE_EXIST):
        return entry | {"request": {"method": "PUT", "url": f"{type}/{resource['id']}"}}
    told = {name: value for name, value in resource.items() if name != "id"}
    entry["resource"] = told
    query = (
        "identifier={system}|{value}".format(**told["identifier"][0])
        if "identifier" in told
        else ""
    )
    if again:
        return entry | {"request": {"method": "PUT", "url": f"{type}?{query}"}}
    request = {"method": "POST", "url": type}
    if type == "Patient" or (way is Way.CONDITIONAL and query):
        request["ifNoneExist"] = query
    return entry | {"request": request}


def put(resource: Resource) -> Resource:
    """An entry that stores the resource under its own id."""
    type, id = resource["resourceType"], resource["id"]
    entry = {"fullUrl": f"urn:uuid:{id}", "resource": resource}
    return entry | {"request": {"method": "PUT", "url": f"{type}/{id}"}}


def _delete(resource: Resource) -> Resource:
    url = f"{resource['resourceType']}/{resource['id']}"
    return {"request": {"method": "DELETE", "url": url}}
