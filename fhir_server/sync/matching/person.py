"""person — what a Patient says of who it is: numbers, birth, sex, name, commune.

https://hl7.org/fhir/R4/patient.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from fhir_server.foundation.folding import fold
from fhir_server.foundation.resource import Key, Resource
from fhir_server.sync.matching.rules import Form, Rules
from fhir_server.terminology.site import OWN

COMMUNE = f"{OWN}/StructureDefinition/commune"
BETWEEN = re.compile(r"[\s.\-]+")  # how people part the digits of a number
CARD = re.compile(r"[A-Z]{2}[1-5][0-9]{2}([0-9]{10})")
GENDERS = frozenset({"male", "female"})
DAY = 10  # characters of a whole date
NOT_NOW = ("temp", "old")
MOST = 100  # identifiers, names and addresses that are looked at


class Number(NamedTuple):
    """A number a person has, whichever way it is written."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Person:
    """links: the Patients it says are the same person."""

    key: Key
    numbers: frozenset[Number]
    birth: str
    gender: str
    names: frozenset[str]
    communes: frozenset[str]
    links: frozenset[str]


def person_of(rules: Rules, patient: Resource) -> Person:
    return Person(
        key=Key("Patient", patient["id"]),
        numbers=frozenset(_numbers(rules, patient)),
        birth=patient.get("birthDate", ""),
        gender=patient["gender"] if patient.get("gender") in GENDERS else "",
        names=frozenset(_names(patient)),
        communes=frozenset(_communes(patient)),
        links=frozenset(_links(patient)),
    )


def _numbers(rules: Rules, patient: Resource) -> Iterator[Number]:
    for told in patient.get("identifier", ())[:MOST]:
        written = BETWEEN.sub("", told.get("value", "")).upper()
        for form in rules.forms:
            if form.system == told.get("system") and (form.old or _is_now(told)):
                value = _value(form, written)
                if value:
                    yield Number(form.number, value)


def _is_now(identifier: dict[str, Any]) -> bool:
    """Of a number that was taken back nobody knows whose it is."""
    return identifier.get("use") not in NOT_NOW and "end" not in identifier.get("period", {})


def _value(form: Form, written: str) -> str:
    """The number; empty where it is not of the form, or is one digit again and again."""
    card = CARD.fullmatch(written) if form.card else None
    found = card[1] if card else "" if form.card else written
    is_one = len(found) == form.digits and found.isascii() and found.isdecimal()
    return found if is_one and len(set(found)) > 1 else ""


def _names(patient: Resource) -> Iterator[str]:
    for told in patient.get("name", ())[:MOST]:
        if told.get("use") in NOT_NOW:
            continue
        parts = (told.get("family") or "", *(each for each in told.get("given", ()) if each))
        name = fold(told.get("text") or " ".join(parts))
        if " " in name:  # one word is no name of a person
            yield name


def _communes(patient: Resource) -> Iterator[str]:
    for told in patient.get("address", ())[:MOST]:
        if told.get("use") in NOT_NOW or "end" in told.get("period", {}):
            continue
        codes = [
            extension.get("valueCoding", {}).get("code")
            for extension in told.get("extension", ())
            if extension.get("url") == COMMUNE
        ]
        yield from (code for code in codes if code)
        if not codes and told.get("city"):
            yield fold(told["city"])


def _links(patient: Resource) -> Iterator[str]:
    for told in patient.get("link", ()):
        reference = told.get("other", {}).get("reference")
        if isinstance(reference, str):
            yield reference


# --- two of them ---------------------------------------------------------------------------------


def same(fact: str, one: Person, other: Person) -> bool | None:
    """Whether two Patients are the same in this; None: it is not known of both."""
    match fact:
        case "birthDate":
            first, second = sorted((one.birth, other.birth), key=len)
            return second.startswith(first) if first else None
        case "gender":
            return one.gender == other.gender if one.gender and other.gender else None
        case "name":
            return not one.names.isdisjoint(other.names) if one.names and other.names else None
    known = one.communes and other.communes
    return not one.communes.isdisjoint(other.communes) if known else None


class Verdict(NamedTuple):
    """What two Patients with the same number are. against: the facts that speak against it."""

    number: str
    is_one: bool
    against: tuple[str, ...] = ()


def judged(rules: Rules, one: Person, other: Person) -> Verdict | None:
    """By the first rule that finds them to be one person, else what the last one says."""
    verdict = None
    for number in sorted(one.numbers & other.numbers):
        rule = rules.rules.get(number.name)
        if rule is None:
            continue
        against = [fact for fact in rule.same if same(fact, one, other) is not True]
        against += [fact for fact in rule.unless if same(fact, one, other) is False]
        verdict = Verdict(number.name, not against, tuple(dict.fromkeys(against)))
        if verdict.is_one:
            return verdict
    return verdict


def is_likely(rules: Rules, one: Person, other: Person) -> bool:
    """Whether they may be one person, by what they have in common beside numbers."""
    exact = len(one.birth) == DAY and one.birth == other.birth
    return bool(rules.likely) and exact and all(same(f, one, other) is True for f in rules.likely)
