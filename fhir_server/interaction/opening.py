"""opening — the context in which an EMR opens an application: a patient, perhaps a visit.

https://hl7.org/fhir/R4/security.html#authorization%2Faccess-control

An application never reaches more by a launch than the EMR that made it: what the EMR may not read
is as if it were not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_server.foundation.outcome import Forbidden, NotFound
from fhir_server.foundation.resource import Key
from fhir_server.interaction.context import Circumstances, Server
from fhir_server.store.contract import rid


async def demand_context(
    server: Server, circumstances: Circumstances, facts: Mapping[str, Any]
) -> None:
    """Refuse what the caller does not reach, and a visit that is not this patient's. Raises
    NotFound, Forbidden."""
    if not circumstances.access.sees_whole:
        raise Forbidden("Who sees records de-identified opens no application about a patient.")
    patient = Key("Patient", facts["patient"])
    keys = [patient]
    if "encounter" in facts:
        keys.append(Key("Encounter", facts["encounter"]))
    found = await server.store.newest(tuple(keys), circumstances.reach("read"))
    for key in keys:
        stored = found.get(key)
        if stored is None or stored.deleted or stored.owner != rid(patient):
            raise NotFound(f"`{key}` is not here, or is not of this patient.")
        circumstances.tell(stored)
