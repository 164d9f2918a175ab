"""facts — what the oracle remembers of each record: enough to answer every shape by brute force."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fhir_server.foundation.folding import words
from fhir_server.foundation.primitive import interval

Resource = dict[str, Any]
UNDATED = (-(2**62), -(2**62))  # comes last
ZONE = 420  # minutes east of UTC
PAIRED = "|"


class Person(NamedTuple):
    id: str
    at: int  # the main date, in milliseconds: what the answers are ordered by
    until: int  # the end of it: of some the year alone is known
    family: tuple[str, ...]
    names: tuple[str, ...]  # folded words
    address: tuple[str, ...]
    gender: str
    identifiers: tuple[str, ...]  # system|value
    organization: str


class Visit(NamedTuple):
    id: str
    at: int
    end: int
    patient: str
    provider: str
    kind: str  # Encounter.class
    status: str
    reasons: tuple[str, ...]


class Line(NamedTuple):
    """A MedicationRequest."""

    id: str
    at: int
    patient: str
    encounter: str
    codes: tuple[str, ...]


class Place(NamedTuple):
    """An Organization."""

    id: str
    at: int
    names: tuple[str, ...]
    identifiers: tuple[str, ...]
    part_of: str


@dataclass
class Facts:
    """All records by id, each as it stands now."""

    people: dict[str, Person] = field(default_factory=dict)
    visits: dict[str, Visit] = field(default_factory=dict)
    lines: dict[str, Line] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)

    def add(self, resource: Resource) -> None:
        id = resource["id"]
        match resource["resourceType"]:
            case "Patient":
                self.people[id] = _person(resource)
            case "Encounter":
                self.visits[id] = _visit(resource)
            case "MedicationRequest":
                self.lines[id] = _line(resource)
            case "Organization":
                self.places[id] = _place(resource)


def _person(it: Resource) -> Person:
    return Person(
        it["id"],
        *(interval(it["birthDate"], ZONE) if "birthDate" in it else UNDATED),
        _words(name.get("family") for name in it.get("name", ())),
        _words(_texts(it.get("name", ()), "family", "given", "text", "prefix", "suffix")),
        _words(_texts(it.get("address", ()), "line", "district", "city", "state", "country",
                      "postalCode", "text")),
        it.get("gender", ""),
        _identifiers(it),
        _id(it.get("managingOrganization")),
    )  # fmt: skip


def _visit(it: Resource) -> Visit:
    period = it.get("period", {})
    return Visit(
        it["id"],
        interval(period["start"], ZONE)[0],
        interval(period["end"], ZONE)[1] if "end" in period else 2**62,
        _id(it["subject"]),
        _id(it.get("serviceProvider")),
        it["class"]["code"],
        it["status"],
        tuple(c["code"] for reason in it.get("reasonCode", ()) for c in reason["coding"]),
    )


def _line(it: Resource) -> Line:
    drug = it.get("medicationCodeableConcept", {})
    return Line(
        it["id"],
        interval(it["authoredOn"], ZONE)[0],
        _id(it["subject"]),
        _id(it.get("encounter")),
        tuple(coding["code"] for coding in drug.get("coding", ())),
    )


def _place(it: Resource) -> Place:
    names = [it.get("name"), *it.get("alias", ())]
    return Place(it["id"], 0, _words(names), _identifiers(it), _id(it.get("partOf")))


def _identifiers(it: Resource) -> tuple[str, ...]:
    return tuple(
        f"{one.get('system', '')}{PAIRED}{one['value']}" for one in it.get("identifier", ())
    )


def _texts(values: Any, *parts: str) -> list[str]:
    found: list[str] = []
    for value in values:
        for part in parts:
            text = value.get(part)
            found += text if isinstance(text, list) else [text] if text else []
    return found


def _words(texts: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for text in texts if text for word in words(text)))


def _id(reference: Resource | None) -> str:
    return str((reference or {}).get("reference", "")).rpartition("/")[2]
