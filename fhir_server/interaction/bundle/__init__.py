"""batch and transaction — many asks in one Bundle: each for itself, or all of them or none.

https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.foundation.outcome import Invalid, NotSupported, TooLarge
from fhir_server.foundation.resource import Resource
from fhir_server.interaction.bundle.batch import batch
from fhir_server.interaction.bundle.transaction import transaction
from fhir_server.interaction.context import Answer, Circumstances, Server

KINDS = {"batch": batch, "transaction": transaction}


@dataclass(frozen=True, slots=True)
class Ask:
    resource: Resource


async def bundle(server: Server, ask: Ask, circumstances: Circumstances) -> Answer:
    """Raises Invalid, TooLarge; a transaction raises what its first refused entry would."""
    resource = ask.resource
    if resource.get("resourceType") != "Bundle":
        raise Invalid(
            f"A `{resource.get('resourceType')}` was posted to the base URL, where a Bundle of "
            "type batch or transaction belongs. Post a single resource to its own type.",
            expression="resourceType",
        )
    kind = resource.get("type")
    if not isinstance(kind, str) or kind not in KINDS:
        raise NotSupported(
            f"A Bundle of type `{kind}` cannot be posted here; `batch` and `transaction` can.",
            expression="Bundle.type",
        )
    entries = resource.get("entry", [])
    most = server.limits.bundle_entries
    if isinstance(entries, list) and len(entries) > most:
        raise TooLarge(
            f"The Bundle has {len(entries):,} entries, the most is {most:,} "
            "(setting `bundle_entries`). Send it in parts.",
            expression="Bundle.entry",
        )
    return await KINDS[kind](server, resource, circumstances)
