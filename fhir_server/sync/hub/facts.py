"""facts — what a receipt keeps beside its outcome: what was said of a version, and its origin.

https://hl7.org/fhir/R4/operationoutcome.html
"""

from __future__ import annotations

from typing import NamedTuple

import orjson

from fhir_server.foundation.outcome import Issue
from fhir_server.store.contract.side import ReceiptRow
from fhir_server.sync.hub import quarantine
from fhir_server.sync.lineage import Parents


class Facts(NamedTuple):
    """parents: of a version of which nothing else is kept. recorded: when it was stored at the
    node, by its clock, in milliseconds since 1970 UTC; 0: that is not known. offset: milliseconds
    that clock was ahead of the hub's when it was sent."""

    issues: tuple[Issue, ...] = ()
    parents: Parents = ()
    recorded: int = 0
    offset: int = 0


def text_of(facts: Facts) -> str:
    """What there is to be kept: a receipt is written for every version that is sent."""
    told: dict[str, object] = {}
    if facts.issues:
        told["issues"] = [quarantine.said(each) for each in facts.issues[: quarantine.MOST_ISSUES]]
    if facts.parents:
        told["parents"] = facts.parents
    if facts.recorded:
        told["recorded"] = facts.recorded
        told["offset"] = facts.offset
    return orjson.dumps(told).decode()


def facts_of(row: ReceiptRow) -> Facts:
    told = orjson.loads(row.facts)
    issues = tuple(quarantine.issue(each) for each in told.get("issues", ()))
    parents = tuple(told.get("parents", ()))
    return Facts(issues, parents, told.get("recorded", 0), told.get("offset", 0))
