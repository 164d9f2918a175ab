"""sourcing — Provenance of what was brought in, in the transaction that brings it.

https://hl7.org/fhir/R4/provenance.html

A Provenance names the versions it is of. One that named several patients would be in one's record,
and tell of the others; so each patient has one of their own, and what is not a Patient has one
together, in nobody's record, unless all of it is one patient's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fhir_server.foundation.bundle import instant
from fhir_server.foundation.resource import Resource
from fhir_server.security.caller import Caller
from fhir_server.store.contract import NewVersion, version_id

TERMS = "http://terminology.hl7.org/CodeSystem/"
CLIENTS, USERS = "urn:fhir-server:client", "urn:fhir-server:user"
SHA256 = "urn:oid:2.16.840.1.101.3.4.2.1"  # NIST's name of the algorithm, as that of its values
MOST_NAME = 200  # characters of a name


@dataclass(frozen=True, slots=True)
class Source:
    """Where what is written comes from. activity: why it was brought, in words."""

    name: str
    sha256: str  # of its bytes, in hexadecimal
    activity: str = "import"


def provenances(
    source: Source | None, caller: Caller, versions: Sequence[NewVersion]
) -> Iterator[Resource]:
    """Without their ids. What is deleted has none: its AuditEvent tells of it."""
    living = [version for version in versions if version.tail is not None]
    if source is None or not living:
        return
    for some in grouped(living):
        is_new = all(version.generation == 1 for version in some)
        yield {
            "resourceType": "Provenance",
            "target": [{"reference": named(version)} for version in some],
            "recorded": instant(time.time_ns() // 1_000_000),
            "activity": {
                "coding": [
                    {
                        "system": TERMS + "v3-DataOperation",
                        "code": "CREATE" if is_new else "UPDATE",
                        "display": "create" if is_new else "revise",
                    }
                ],
                "text": source.activity,
            },
            "agent": [agent(caller)],
            "entity": [
                {
                    "role": "source",
                    "what": {
                        "identifier": {"system": SHA256, "value": source.sha256},
                        "display": source.name[:MOST_NAME],
                    },
                }
            ],
        }


def grouped(versions: Sequence[NewVersion]) -> list[list[NewVersion]]:
    """What one Provenance may name together."""
    patients = [version for version in versions if version.key.type == "Patient"]
    if len({version.rows.owner for version in versions} - {0}) <= 1:
        return [list(versions)]
    others = [version for version in versions if version.key.type != "Patient"]
    return [*([patient] for patient in patients), *([others] if others else [])]


def named(version: NewVersion) -> str:
    return f"{version.key}/_history/{version_id(version.generation, version.digest)}"


def agent(caller: Caller) -> Resource:
    """Who brought it: the person where there is one, else the client."""
    system, value = (USERS, caller.user) if caller.user else (CLIENTS, caller.client)
    return {
        "type": {
            "coding": [
                {
                    "system": TERMS + "provenance-participant-type",
                    "code": "enterer",
                    "display": "Enterer",
                }
            ]
        },
        "who": {"identifier": {"system": system, "value": value}},
    }
