"""event — an entry of the audit as an AuditEvent, in the shapes of IHE Basic Audit (1.1.4).

https://hl7.org/fhir/R4/auditevent.html

An AuditEvent claims a profile of IHE only where it is whole by it: what was refused has another
outcome than 0, a command line no network, and what tells of several patients is of none of them.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from fhir_server.foundation.bundle import instant
from fhir_server.foundation.resource import Key, Resource
from fhir_server.security.audit.said import Said
from fhir_server.store.contract import Entered

BALP = "https://profiles.ihe.net/ITI/BALP/"
PROFILE = BALP + "StructureDefinition/IHE.BasicAudit."
DCM = "http://dicom.nema.org/resources/ontology/DCM"
RESTFUL = "http://hl7.org/fhir/restful-interaction"
TERMS = "http://terminology.hl7.org/CodeSystem/"
TYPES = "http://hl7.org/fhir/resource-types"
CLIENTS = "urn:fhir-server:client"  # the system of the ids clients are registered under
UNKNOWN = "unknown"  # of an entry that was damaged
RULE = "urn:fhir-server:rule:"
BASIS = "urn:fhir-server:basis:"  # a decision or a request that the caller named
TOKEN = "urn:ietf:params:oauth:jti:"  # noqa: S105 - the prefix of a token's number, no token
AGENTS = frozenset(
    {"PractitionerRole", "Practitioner", "Organization", "Device", "Patient", "RelatedPerson"}
)
MOST = 10_000  # resources one AuditEvent tells of; the entry itself has all of them

SOURCE = ("110153", "Source Role ID")
DESTINATION = ("110152", "Destination Role ID")
APPLICATION = ("110150", "Application")
AUTHOR = ("AUT", "author (originator)")
RECIPIENT = ("IRCP", "information recipient")


@dataclass(frozen=True, slots=True)
class Shape:
    """How an interaction is told. profile: of IHE, without and with `Patient` before it."""

    action: str = "E"
    subtype: str = ""  # of restful-interaction; empty: the interaction's own name
    profile: str = ""
    client: tuple[str, str] = SOURCE
    server: tuple[str, str] | None = DESTINATION  # None: the custodian
    user: tuple[str, str] = RECIPIENT
    query: bool = False


WRITE = Shape("C", profile="Create", user=AUTHOR)
READ = Shape("R", profile="Read", client=DESTINATION, server=SOURCE)
QUERY = Shape("E", profile="Query", query=True)
SHAPES: Mapping[str, Shape] = {
    "create": WRITE,
    "update": Shape("U", profile="Update", user=AUTHOR),
    "patch": Shape("U", profile="Update", user=AUTHOR),
    "delete": Shape("D", profile="Delete", client=APPLICATION, server=None, user=AUTHOR),
    "read": READ,
    "vread": READ,
    "search-type": QUERY,
    "search-system": QUERY,
    "search-compartment": Shape("E", subtype="search", profile="Query", query=True),
    "history-instance": Shape("R", client=DESTINATION, server=SOURCE),
    "history-type": Shape("E", query=True),
    "history-system": Shape("E", query=True),
    "batch": Shape(query=True),
    "transaction": Shape(query=True),
    "operation": Shape(query=True),
}
OTHER = Shape(query=True)


def audit_event(
    id: str, entered: Entered, said: Said, names: Mapping[int, Key], base: str
) -> Resource:
    """id: see naming. names: the patients' ids by their numbers, as far as they are known here."""
    shape = SHAPES.get(said.interaction, OTHER)
    profiles = claimed(said, shape)
    purpose = purposes(said)
    return {
        "resourceType": "AuditEvent",
        "id": id,
        "meta": {
            "versionId": "1",
            "lastUpdated": instant(entered.at),
            **({"profile": profiles} if profiles else {}),
        },
        "type": coding(TERMS + "audit-event-type", "rest", "Restful Operation"),
        "subtype": [subtype(said, shape)],
        "action": shape.action,
        "recorded": instant(entered.at),
        "outcome": outcome(said.status),
        **({"outcomeDesc": f"{said.status} {said.code}".strip()} if said.failed else {}),
        **({"purposeOfEvent": purpose} if purpose else {}),
        "agent": list(agents(said, shape, base)),
        "source": {
            "site": host_of(base),
            "observer": {"identifier": {"value": host_of(base)}},
            "type": [coding(TERMS + "security-source-type", "4", "Application Server")],
        },
        "entity": list(entities(said, shape, names)),
    }


def claimed(said: Said, shape: Shape) -> list[str]:
    if said.failed or not said.address or not shape.profile:
        return []
    if shape.query and not said.url:
        return []
    if not shape.query and len(said.resources) != 1:
        return []
    return [PROFILE + ("Patient" if len(said.patients) == 1 else "") + shape.profile]


def outcome(status: int) -> str:
    """R4 audit-event-outcome: 4 "often equivalent to an HTTP 400", 8 to a 500."""
    return "0" if status < 400 else "4" if status < 500 else "8"


def subtype(said: Said, shape: Shape) -> Resource:
    code = shape.subtype or said.interaction
    if said.interaction in SHAPES:
        return coding(RESTFUL, code, code)
    return {"code": code}


# --- who -----------------------------------------------------------------------------------------


def agents(said: Said, shape: Shape, base: str) -> Iterator[Resource]:
    name = said.client or UNKNOWN
    client: Resource = {
        "type": concept(DCM, *shape.client),
        "who": {"identifier": {"system": CLIENTS, "value": name}},
        "altId": name,
        "requestor": not said.user,
    }
    if not said.user:
        client |= rights(said)
    if said.address:
        client["network"] = {"address": said.address, "type": "2"}
    yield client
    yield {
        "type": concept(DCM, *shape.server)
        if shape.server
        else concept(TERMS + "provenance-participant-type", "custodian", "Custodian"),
        "who": {"identifier": {"value": host_of(base)}},
        "requestor": False,
        "network": {"address": base, "type": "5"},
    }
    if said.user:
        yield {
            "type": concept(TERMS + "v3-ParticipationType", *shape.user),
            "who": person(said.user),
            "requestor": True,
            **rights(said),
        }
    if said.facility:
        yield {
            "type": concept(TERMS + "v3-RoleClass", "PROV", "healthcare provider"),
            "who": {"reference": f"Organization/{said.facility}"},
            "requestor": False,
        }


def person(user: str) -> Resource:
    """`Practitioner/123`, or `<issuer>|<subject>` of an outside provider."""
    issuer, bar, subject = user.partition("|")
    if bar:
        return {"identifier": {"system": issuer, "value": subject}}
    type = user.partition("/")[0]
    return {"reference": user} if type in AGENTS else {"identifier": {"value": user}}


def rights(said: Said) -> Resource:
    """By what right the requestor asked."""
    found: Resource = {}
    if said.roles:
        found["role"] = [{"text": role} for role in said.roles]
    policy = [TOKEN + said.token] if said.token else []
    policy += [RULE + quote(rule) for rule in said.rules]
    if said.basis and "/" not in said.basis:
        policy.append(BASIS + quote(said.basis))
    if policy:
        found["policy"] = policy
    if purpose := purposes(said):
        found["purposeOfUse"] = purpose
    return found


def purposes(said: Said) -> list[Resource]:
    if not said.purpose and not said.reason:
        return []
    told: Resource = {}
    if said.purpose:
        told["coding"] = [{"system": TERMS + "v3-ActReason", "code": said.purpose}]
    if said.reason:
        told["text"] = said.reason
    return [told]


# --- what ----------------------------------------------------------------------------------------


def entities(said: Said, shape: Shape, names: Mapping[int, Key]) -> Iterator[Resource]:
    if shape.query or (said.failed and said.url):
        yield {
            "type": object_type("2"),
            "role": coding(TERMS + "object-role", "24", "Query"),
            "description": said.url or said.interaction,
            "query": base64.b64encode((said.url or said.interaction).encode()).decode(),
        }
    for type, id, version, _ in said.resources[:MOST]:
        yield {
            "what": {"reference": f"{type}/{id}/_history/{version}"},
            "type": object_type("2"),
            "role": coding(TERMS + "object-role", "4", "Domain Resource"),
        }
    for number in said.patients:
        yield {
            "what": {"reference": str(names[number])}
            if number in names
            else {"identifier": {"system": "urn:fhir-server:patient", "value": str(number)}},
            "type": object_type("1"),
            "role": coding(TERMS + "object-role", "1", "Patient"),
        }
    if "/" in said.basis:
        yield {
            "what": {"reference": said.basis},
            "type": coding(TYPES, "Consent", "Consent"),
        }
    if said.request:
        yield {
            "what": {"identifier": {"value": said.request}},
            "type": {"system": BALP + "CodeSystem/BasicAuditEntityType", "code": "XrequestId"},
        }


def object_type(code: str) -> Resource:
    display = {"1": "Person", "2": "System Object"}[code]
    return coding(TERMS + "audit-entity-type", code, display)


def coding(system: str, code: str, display: str) -> Resource:
    return {"system": system, "code": code, "display": display}


def concept(system: str, code: str, display: str) -> Resource:
    return {"coding": [coding(system, code, display)]}


def host_of(base: str) -> str:
    return urlsplit(base).netloc or base
