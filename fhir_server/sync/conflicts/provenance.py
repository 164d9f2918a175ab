"""provenance — who made one version of several, and of which.

https://hl7.org/fhir/R4/provenance.html
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from fhir_server.foundation.bundle import instant
from fhir_server.foundation.resource import Resource
from fhir_server.interaction.sourcing import TERMS, agent, named
from fhir_server.security.caller import Caller
from fhir_server.store.contract import NewVersion
from fhir_server.sync.lineage import Rev

CHOSEN = "A person chose between versions of different places."
MERGED = "Changes of different places were merged."


def of_several(version: NewVersion, parents: Iterable[Rev], caller: Caller, why: str) -> Resource:
    """The Provenance of a version with several parents, without its id."""
    return {
        "resourceType": "Provenance",
        "target": [{"reference": named(version)}],
        "recorded": instant(time.time_ns() // 1_000_000),
        "activity": {
            "coding": [
                {"system": TERMS + "v3-DataOperation", "code": "UPDATE", "display": "revise"}
            ],
            "text": why,
        },
        "agent": [agent(caller)],
        "entity": [
            {"role": "revision", "what": {"reference": f"{version.key}/_history/{parent}"}}
            for parent in sorted(parents)
        ],
    }
