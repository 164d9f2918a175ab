"""load — a world's records into a server, by the same interaction a client would use.

https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from fhir_server.demo.files import Progress, watched
from fhir_server.demo.records import expected, generate
from fhir_server.demo.visit import put, transaction
from fhir_server.foundation.resource import key
from fhir_server.interaction.auditing import of_file
from fhir_server.interaction.bundle import Ask, bundle
from fhir_server.interaction.context import Circumstances, Server
from fhir_server.store.contract import EVERYTHING

ENTRIES = 500  # stored at once, or not at all


@dataclass(frozen=True, slots=True)
class Loaded:
    """How many resources were stored, and how many were there already."""

    stored: int
    already: int


async def load(
    server: Server,
    *,
    patients: int,
    seed: int = 1,
    progress: Progress | None = None,
    circumstances: Circumstances,
) -> Loaded:
    """Store a world's records. What is there already is left as it is, even where it was changed
    or deleted since; so a load that was broken off can simply be done again.
    """
    stored = already = 0
    records = watched(generate(patients, seed), expected(patients), progress)
    while part := list(islice(records, ENTRIES)):
        there = await server.store.newest([key(resource) for resource in part], EVERYTHING)
        missing = [put(resource) for resource in part if key(resource) not in there]
        if missing:
            each = of_file(server, circumstances, "demo", f"{patients:,} patients, seed {seed}")
            await bundle(server, Ask(transaction(missing)), each)
        stored, already = stored + len(missing), already + len(part) - len(missing)
    return Loaded(stored, already)
