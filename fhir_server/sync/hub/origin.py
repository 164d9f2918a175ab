"""origin — `$sync-origin`: at which node a resource's versions were made, when, and by which clock.

https://hl7.org/fhir/R4/operations.html
https://hl7.org/fhir/R4/parameters.html

It is read from the receipts, so only versions that a node has sent are told of. Nothing here orders
anything, and no time in a record is changed by it.
"""

from __future__ import annotations

from collections.abc import Iterable

from fhir_server.foundation.bundle import instant
from fhir_server.foundation.outcome import Forbidden, NotFound
from fhir_server.foundation.resource import Key
from fhir_server.interaction.context import Answer, Circumstances, Server
from fhir_server.interaction.reaching import those_within
from fhir_server.operation.call import Call, Given, Operation
from fhir_server.operation.parameters import answer, parameters
from fhir_server.store.contract import rid, version_id
from fhir_server.store.contract.side import RECEIPT, ReceiptRow, Values
from fhir_server.sync.hub.facts import facts_of
from fhir_server.sync.hub.page import TAKEN_WORDS
from fhir_server.sync.lineage import Rev

NAME = "sync-origin"
DEFINITION = "https://fhir-server.example/OperationDefinition/sync-origin"
READ = 1000  # receipts of one look
LOOKS = 10  # of one resource
UNITS = "http://unitsofmeasure.org"


async def origin(server: Server, call: Call, circumstances: Circumstances) -> Answer:
    """Raises NotFound; Forbidden for who is not shown records whole."""
    assert call.type is not None and call.id is not None, "it is of an instance"
    if not circumstances.access.sees_whole:  # before it is looked for: its id may be a pseudonym
        raise Forbidden("When and where a record was written is for who may see it whole.")
    key = Key(call.type, call.id)
    reach = circumstances.reach("vread")
    if key not in await server.store.newest((key,), reach):
        raise NotFound(f"`{key}` is not here.")
    first: dict[Rev, ReceiptRow] = {}
    for row in await _receipts(server, key):
        rev = version_id(row.generation, row.digest)
        if rev not in first or row.at < first[rev].at:
            first[rev] = row
    stored = await server.store.at_versions([(key, rev) for rev in first], reach) if first else []
    within = await those_within(server, circumstances, "vread", stored)
    circumstances.tell(*within)
    shown = (first[rev] for rev in sorted({each.version_id for each in within}, key=_order))
    return answer(parameters([_told(key, row) for row in shown]))


def _order(rev: Rev) -> tuple[int, Rev]:
    return int(rev.partition("-")[0]), rev


async def _receipts(server: Server, key: Key) -> Iterable[ReceiptRow]:
    """Of the versions that were taken."""
    found: list[ReceiptRow] = []
    beyond: Values | None = None
    for _ in range(LOOKS):
        rows = await server.store.side.range(
            RECEIPT, "by_version", prefix=(rid(key),), beyond=beyond, limit=READ
        )
        found += (row for row in rows if row.outcome in TAKEN_WORDS)
        if len(rows) < READ:
            break
        beyond = RECEIPT.place(rows[-1], "by_version")[1:]
    return found


def _told(key: Key, row: ReceiptRow) -> Given:
    rev, facts = version_id(row.generation, row.digest), facts_of(row)
    parts = [
        Given("version", {"reference": f"{key}/_history/{rev}"}, "Reference"),
        Given("node", row.node, "string"),
        Given("incarnation", row.incarnation, "string"),
    ]
    if facts.recorded > 0:
        ahead = {"value": facts.offset / 1000, "unit": "s", "system": UNITS, "code": "s"}
        parts.append(Given("recorded", instant(facts.recorded), "instant"))
        parts.append(Given("offset", ahead, "Quantity"))
    parts.append(Given("received", instant(row.at), "instant"))
    return Given("origin", parts=tuple(parts))


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name=NAME,
        definition=DEFINITION,
        levels=frozenset({"instance"}),
        types=None,
        parameters=frozenset(),
        perform=origin,
    ),
)
