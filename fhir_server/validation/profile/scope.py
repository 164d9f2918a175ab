"""scope — where a check stands: the resource, what it is in, the day, and what is known already.

https://hl7.org/fhir/R4/references.html#contained
https://hl7.org/fhir/R4/bundle.html#references
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from fhir_server.foundation.fhirpath.scope import Exhausted, Meter
from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.primitive import DAY_MS, EPOCH, interval
from fhir_server.foundation.resource import Resource, literal
from fhir_server.validation.invariant import Env

MAX_DEPTH = 40  # profiles within each other: a target's target's target
STEPS_OF_ENTRY = 2_000  # an entry of a Bundle adds so many to the steps its check may take
MOST_ENTRIES = 10_000
# What an answer depended on, beside the value that was asked about: `Scope.touched`.
DAY, AROUND = 1, 2

# The date a resource is about: its codes are judged by what was in force then.
DATES: dict[str, tuple[str, ...]] = {
    "AllergyIntolerance": ("recordedDate",),
    "Claim": ("created",),
    "Composition": ("date",),
    "Condition": ("recordedDate",),
    "Coverage": ("period",),
    "DiagnosticReport": ("effectivePeriod", "effectiveDateTime", "issued"),
    "DocumentReference": ("date",),
    "Encounter": ("period",),
    "EpisodeOfCare": ("period",),
    "Immunization": ("occurrenceDateTime",),
    "MedicationAdministration": ("effectivePeriod", "effectiveDateTime"),
    "MedicationDispense": ("whenHandedOver", "whenPrepared"),
    "MedicationRequest": ("authoredOn",),
    "MedicationStatement": ("effectivePeriod", "effectiveDateTime"),
    "Observation": ("effectivePeriod", "effectiveDateTime", "effectiveInstant", "issued"),
    "Procedure": ("performedPeriod", "performedDateTime"),
    "ServiceRequest": ("authoredOn",),
    "Task": ("authoredOn",),
}


class Leaf(NamedTuple):
    """One thing asked of a value, in both ways: whether it holds, and what to tell if not.

    holds: None where it never refuses (it is only information). whole: it is asked of the Box of
    a primitive, not of the value in it. fast: the invariant it is, as Python that may raise; alone:
    which is about the value and nothing else. coded: it asks terminology.
    """

    holds: Callable[[Any, Scope], bool] | None
    tell: Callable[[Any, Scope, str], Iterator[Issue]]
    whole: bool = False
    fast: Callable[[Any, Any, Env], bool] | None = None
    alone: bool = False
    coded: bool = False


class Box(dict[str, Any]):
    """A primitive with what stands in its `_name`, where both are asked about."""


Periods = tuple[Any, Any] | None  # a period, and those around it


def bare(value: Any) -> Any:
    """A value without its box."""
    return value.get("value") if value.__class__ is Box else value


def boxed(value: Any, beside: Any = None) -> Box:
    """A primitive in a box."""
    if isinstance(value, Box):
        return value
    box = Box(beside if isinstance(beside, dict) else {})
    if value is not None:
        box["value"] = value
    return box


class Surroundings:
    """One check() call: what is the same for every resource within it."""

    __slots__ = (
        "depth",
        "found",
        "generation",
        "hurried",
        "memo",
        "meter",
        "thorough",
        "today",
        "told",
        "unsupported",
        "zone",
    )

    def __init__(self, today: dt.date, zone: int, *, thorough: bool, most: int) -> None:
        self.meter = Meter(most)  # raises Exhausted
        self.found: list[Issue] = []  # so far
        self.hurried = False  # nothing is to be made that takes a while
        self.today = today
        self.zone = zone
        self.thorough = thorough
        self.memo: dict[tuple[int, str], bool] = {}  # whether a value is valid against a profile
        self.told: set[tuple[int, str]] = set()  # what is being walked, or was
        self.unsupported: list[str] = []  # what a profile marks mustSupport, and is not there
        self.depth = 0
        self.generation: object = None  # of terminology: another one, other answers


class Scope:
    """One resource that is being checked: alone, contained, or in an entry of a Bundle."""

    __slots__ = (
        "_by_id",
        "_env",
        "_own",
        "around",
        "bundle",
        "meter",
        "periods",
        "resource",
        "root",
        "touched",
    )

    def __init__(
        self,
        resource: Resource,
        around: Surroundings,
        *,
        container: Resource | None = None,
        bundle: Bundle | None = None,
    ) -> None:
        self.resource = resource
        self.root = container or resource
        self.around = around
        self.meter = around.meter
        self.bundle = bundle
        self.periods: Periods = None  # around what is being checked, the innermost first
        self._own: dt.date | None = None
        self._by_id: dict[str, Resource] | None = None  # the contained ones
        self._env: Env | None = None
        self.touched = 0

    @property
    def env(self) -> Env:
        """Where invariants are asked. What they are told of it is not seen here: who asks one
        that is about more than the value says so in `touched`."""
        if self._env is None:
            self._env = Env(self.resource, self.root, self.find, meter=self.meter)
        return self._env

    def spend(self, steps: int) -> None:
        """Raises Exhausted where the whole check takes more than it may."""
        meter = self.meter
        meter.steps += steps
        if meter.steps > meter.most:
            raise Exhausted

    def inner(self, resource: Resource) -> Scope:
        """The scope of a resource that this one refers to, contains or holds."""
        self.touched |= AROUND
        if resource is self.resource:
            return self
        if self._contained(resource.get("id")) is resource:
            return Scope(resource, self.around, container=self.root, bundle=self.bundle)
        bundle = self.bundle
        if self.resource.get("resourceType") == "Bundle":
            bundle = Bundle(self.resource)
        return Scope(resource, self.around, bundle=bundle)

    @property
    def date(self) -> dt.date:
        """The day a code of this place is judged at."""
        self.touched |= DAY
        periods = self.periods
        while periods is not None:
            period, periods = periods
            ended = self.ended(period)
            if ended is not None:
                return ended
        if self._own is None:
            self._own = self._date_of_resource()
        return self._own

    def _date_of_resource(self) -> dt.date:
        type = self.resource.get("resourceType", "")
        for name in DATES.get(type, ()):
            value = self.resource.get(name)
            if isinstance(value, dict):
                value = value.get("end") or value.get("start")
            found = self.day(value)
            if found is not None:
                return found
        return self.around.today

    def day(self, text: Any) -> dt.date | None:
        """The last day that a date or dateTime can mean, here."""
        if not isinstance(text, str):
            return None
        if len(text) == 10 and text[4] == text[7] == "-":  # most are written like this
            with suppress(ValueError):
                return dt.date.fromisoformat(text)
        try:
            last = interval(text, self.around.zone)[1] - 1
            return dt.date.fromordinal((last + self.around.zone * 60_000) // DAY_MS + EPOCH)
        except (ValueError, OverflowError):
            return None

    def ended(self, period: Any) -> dt.date | None:
        """The day a Period ended; None where it has not."""
        if not isinstance(period, dict):
            return None
        end = self.day(period.get("end"))
        return end if end is not None and end < self.around.today else None

    def find(self, reference: str) -> Resource | None:
        """The resource a reference names, as far as it is at hand."""
        self.touched |= AROUND
        if reference.startswith("#"):
            return self._contained(reference[1:]) if len(reference) > 1 else self.root
        return None if self.bundle is None else self.bundle.find(reference)

    def _contained(self, id: Any) -> Resource | None:
        if "contained" not in self.root or not isinstance(id, str):
            return None
        if self._by_id is None:
            self._by_id = {}
            contained = self.root["contained"]
            for each in contained if isinstance(contained, list) else ():
                if isinstance(each, dict) and isinstance(each.get("id"), str):
                    self._by_id.setdefault(each["id"], each)
        return self._by_id.get(id)


class Bundle:
    """The entries of a Bundle, by the ways a reference may name them."""

    __slots__ = ("_by_name", "_resource")

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._by_name: dict[str, Resource] | None = None

    def find(self, reference: str) -> Resource | None:
        """R4 bundle#references: by fullUrl; a relative one also by its type and id."""
        if self._by_name is None:
            self._by_name = self._named()
        found = self._by_name.get(reference)
        if found is None and (named := literal(reference)) and not named.base:
            found = self._by_name.get(str(named.key))
        return found

    def _named(self) -> dict[str, Resource]:
        names: dict[str, Resource] = {}
        entries = self._resource.get("entry")
        for entry in entries if isinstance(entries, list) else ():
            resource = entry.get("resource") if isinstance(entry, dict) else None
            if not isinstance(resource, dict):
                continue
            url = entry.get("fullUrl")
            if isinstance(url, str):
                names.setdefault(url, resource)
                if named := literal(url):
                    names.setdefault(str(named.key), resource)
            elif isinstance(id := resource.get("id"), str):
                names.setdefault(f"{resource.get('resourceType')}/{id}", resource)
        return names
