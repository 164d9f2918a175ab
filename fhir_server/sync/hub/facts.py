"""facts — what a receipt keeps beside its outcome: what was said of a version, and its parents.

https://hl7.org/fhir/R4/operationoutcome.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from fhir_server.foundation.outcome import Issue
from fhir_server.store.contract.side import ReceiptRow
from fhir_server.sync.hub import quarantine
from fhir_server.sync.lineage import Parents


class Facts(NamedTuple):
    """parents: of a version of which nothing else is kept."""

    issues: tuple[Issue, ...] = ()
    parents: Parents = ()


NONE = "{}"


def text_of(issues: Sequence[Issue], parents: Parents = ()) -> str:
    told: dict[str, object] = {}
    if issues:
        told["issues"] = [quarantine.said(each) for each in issues[: quarantine.MOST_ISSUES]]
    if parents:
        told["parents"] = parents
    return orjson.dumps(told).decode()


def facts_of(row: ReceiptRow) -> Facts:
    if row.facts == NONE:
        return Facts()
    told = orjson.loads(row.facts)
    issues = tuple(quarantine.issue(each) for each in told.get("issues", ()))
    return Facts(issues, tuple(told.get("parents", ())))
