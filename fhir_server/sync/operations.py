"""operations — the extended operations of a running server: those of R4 and ours, and of sync.

https://hl7.org/fhir/R4/operations.html
"""

from __future__ import annotations

from fhir_server.operation import table
from fhir_server.operation.call import Operation
from fhir_server.sync import figures
from fhir_server.sync.conflicts import operation as conflicts
from fhir_server.sync.hub import origin, pulling, receiving, rescuing

OF_SYNC: tuple[Operation, ...] = (
    *conflicts.OPERATIONS,
    *pulling.OPERATIONS,
    *receiving.OPERATIONS,
    *figures.OPERATIONS,
    *origin.OPERATIONS,
    *rescuing.OPERATIONS,
)
OPERATIONS: tuple[Operation, ...] = (*table.OPERATIONS, *OF_SYNC)
