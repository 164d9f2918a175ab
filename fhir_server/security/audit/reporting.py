"""reporting — what one client, one person or everybody was told in some time: whose records, what
of them, and by which way.

https://hl7.org/fhir/R4/security.html#audit

However many entries there are, what is kept is a number for each patient, and for each of at most
MOST other names.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

from fhir_server.security.audit import said
from fhir_server.store.contract import Entered

ALL = "all fields"
EXPORT = "$export"
MOST = 10_000  # persons, addresses, selections of fields, exports that are told by name
OTHERS = "others"
TOLD_EVERY = 20_000  # entries between two looks at how far it is

T = TypeVar("T")
Progress = Callable[[int], None]  # entries read


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
    exported: int = 0  # how many exports there were

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
        count(self.addresses, told.address or "this machine", OTHERS)
        if told.user:
            count(self.users, told.user, OTHERS)
        if told.purpose:
            count(self.purposes, told.purpose, OTHERS)
        if told.failed:
            self.refused[f"{told.status} {told.code}".strip()] += 1
        if EXPORT in told.url:
            self._export(entered.at, told.url)
        if told.resources:
            part = fields_of(told.url)
            for type, *_ in told.resources:
                self.types[type] += 1
                count(self.fields, (type, part), (type, OTHERS))
        patients = self.patients
        for patient in told.patients:
            patients[patient] += 1

    def _export(self, at: int, url: str) -> None:
        self.exported += 1
        if len(self.exports) < MOST:
            self.exports.append((at, url))


def count(counted: Counter[T], name: T, others: T) -> None:
    """One more of a name; of those that come when there are MOST, one more of the others."""
    counted[name if name in counted or len(counted) < MOST else others] += 1


def report(entries: Iterable[Entered], progress: Progress = lambda _read: None) -> Report:
    found = Report()
    with uncollected():
        for entered in entries:
            found.take(entered)
            if found.entries % TOLD_EVERY == 0:
                progress(found.entries)
    return found


@contextmanager
def uncollected() -> Iterator[None]:
    """Nothing here refers to itself, and looking for what does takes a third of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def fields_of(url: str) -> str:
    """Which part of the resources a URL asks for."""
    if "_elements" not in url and "_summary" not in url:
        return ALL
    asked = dict(parse_qsl(urlsplit(url).query))
    if elements := asked.get("_elements"):
        return ", ".join(sorted(elements.split(",")))
    summary = asked.get("_summary", "false")
    return ALL if summary == "false" else f"summary: {summary}"
