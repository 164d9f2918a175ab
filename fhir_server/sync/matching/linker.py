"""linker — what links the Patients of a write, with the rules it goes by.

https://hl7.org/fhir/R4/patient.html#linking
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fhir_server.interaction.context import Circumstances, Server
from fhir_server.store.contract import Unit
from fhir_server.store.contract.side import CONFLICT, Put
from fhir_server.sync.matching.linking import linked
from fhir_server.sync.matching.rules import Rules


@dataclass(frozen=True, slots=True)
class Linker:
    """every_write: what clients write is looked at, and not only what nodes send."""

    rules: Rules
    every_write: bool = False

    async def linked(self, server: Server, circumstances: Circumstances, unit: Unit) -> Unit:
        """The unit with what links its Patients. One that is in a conflict is left as it is: it is
        linked when that is over."""
        if all(new.key.type != "Patient" for new in unit.versions):
            return unit
        busy = frozenset(
            row.rid
            for put in unit.side
            if isinstance(put, Put) and put.table is CONFLICT
            for row in put.rows
        )
        told = await linked(server, self.rules, circumstances, unit.versions, busy)
        return replace(
            unit,
            versions=told.versions,
            assumptions=(*unit.assumptions, *told.assumptions),
            expects=(*unit.expects, *told.expects),
        )
