"""reporting — what one client, one person or everybody was told in some time: whose records, what
of them, and by which way.

https://hl7.org/fhir/R4/security.html#audit
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from fhir_server.security.audit import said
from fhir_server.security.audit.said import Said
from fhir_server.store.contract import Entered

ALL = "all fields"
EXPORT = "$export"


@dataclass
class Report:
    """Sums over entries. fields: of each type, how often it was told whole or which part of it."""

    entries: int = 0
    first: int = 0
    last: int = 0
    unreadable: int = 0
    interactions: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    fields: Counter[tuple[str, str]] = field(default_factory=Counter)
    purposes: Counter[str] = field(default_factory=Counter)
    users: Counter[str] = field(default_factory=Counter)
    addresses: Counter[str] = field(default_factory=Counter)
    patients: Counter[int] = field(default_factory=Counter)
    exports: list[tuple[int, str]] = field(default_factory=list)

    def take(self, entered: Entered) -> None:
        self.entries += 1
        self.first = min(self.first or entered.at, entered.at)
        self.last = max(self.last, entered.at)
        try:
            told = said.read(entered.body)
        except said.Unreadable:
            self.unreadable += 1
            return
        self.interactions[told.interaction] += 1
        self.addresses[told.address or "this machine"] += 1
        if told.user:
            self.users[told.user] += 1
        if told.purpose:
            self.purposes[told.purpose] += 1
        if told.failed:
            self.refused[f"{told.status} {told.code}".strip()] += 1
        if EXPORT in told.url:
            self.exports.append((entered.at, told.url))
        if told.resources:
            self._resources(told)
        self.patients.update(told.patients)

    def _resources(self, told: Said) -> None:
        part = fields_of(told.url)
        for type, number in Counter(one[0] for one in told.resources).items():
            self.types[type] += number
            self.fields[(type, part)] += number


def report(entries: Iterable[Entered]) -> Report:
    found = Report()
    for entered in entries:
        found.take(entered)
    return found


def fields_of(url: str) -> str:
    """Which part of the resources a URL asks for."""
    query = urlsplit(url).query
    if "_elements" not in query and "_summary" not in query:
        return ALL
    asked = dict(parse_qsl(query))
    if elements := asked.get("_elements"):
        return ", ".join(sorted(elements.split(",")))
    summary = asked.get("_summary", "false")
    return ALL if summary == "false" else f"summary: {summary}"
