"""shapes — the searches of W3, each with values drawn from what is stored and what it must answer.

https://hl7.org/fhir/R4/search.html

A Shape draws Questions; a Question has the URL and a function that finds, by going through all
facts, every match with the date it is ordered by.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import quote

from bench.search.facts import UNDATED, ZONE, Facts, Line, Person, Place, Visit
from fhir_server.foundation.folding import other_spelling, words
from fhir_server.foundation.primitive import interval

PAGE = 20
CCCD, BHYT = "http://fhir.hl7.org.vn/core/sid/cccd", "http://fhir.hl7.org.vn/core/sid/bhyt"
ICD = "http://hl7.org/fhir/sid/icd-10"
ATC = "http://www.whocc.no/atc"

Match = tuple[int, str]  # the main date, the id


class Question(NamedTuple):
    """matches: all of them, newest first. total: whether the answer must tell their number."""

    path: str
    matches: Callable[[], list[Match]] | None = None
    total: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """grows: its answer, or the work that any answer takes, grows with the number of patients.

    mixed: it is one of W3's, and asked in the mixed run as often as any other of them.
    """

    name: str
    draw: Callable[[Sample], Question]
    grows: bool = False
    mixed: bool = True


class Sample:
    """Values drawn from the facts, the same ones for the same seed."""

    def __init__(self, facts: Facts, seed: int) -> None:
        self.facts = facts
        self.random = random.Random(seed)
        self.people = list(facts.people.values())
        self.named = [person for person in self.people if person.family and person.at > UNDATED[0]]
        self.visits = list(facts.visits.values())
        self.lines = list(facts.lines.values())
        self.places = list(facts.places.values())
        self.deep: list[str] = []  # URLs of fiftieth pages, found by walking to them
        self.versions: list[str] = []  # URLs of versions, found by reading

    def person(self) -> Person:
        return self.random.choice(self.named)

    def visit(self) -> Visit:
        return self.random.choice(self.visits)

    def line(self) -> Line:
        return self.random.choice(self.lines)

    def place(self) -> Place:
        return self.random.choice(self.places)

    # what is found

    def of(self, records: Iterable[Any], holds: Callable[[Any], bool]) -> list[Match]:
        return sorted(((one.at, one.id) for one in records if holds(one)), reverse=True)

    def those(self, holds: Callable[[Person], bool]) -> Callable[[], list[Match]]:
        return lambda: self.of(self.people, holds)

    def seen(self, holds: Callable[[Visit], bool]) -> Callable[[], list[Match]]:
        return lambda: self.of(self.visits, holds)

    def told(self, holds: Callable[[Line], bool]) -> Callable[[], list[Match]]:
        return lambda: self.of(self.lines, holds)


def day_of(at: int) -> tuple[str, int, int]:
    """The day a moment falls on here, and its beginning and end."""
    here = datetime.fromtimestamp(at / 1000, timezone(timedelta(minutes=ZONE)))
    day = here.strftime("%Y-%m-%d")
    return day, *interval(day, ZONE)


def month_of(at: int) -> tuple[str, int, int]:
    month = day_of(at)[0][:7]
    return month, *interval(month, ZONE)


def url(type: str, *pairs: tuple[str, str], count: int | None = PAGE) -> str:
    told = [f"{quote(name, ':.')}={quote(value, ':|,/')}" for name, value in pairs]
    return f"/fhir/{type}?" + "&".join([*told, *([f"_count={count}"] if count is not None else [])])


def begun(asked: str, found: Iterable[str]) -> bool:
    """Whether one of the words begins so, or is the same word as others write it."""
    other = other_spelling(asked)
    return any(word.startswith(asked) or word == other for word in found)


# --- Patient -------------------------------------------------------------------------------------


def _identifier(system: str) -> Callable[[Sample], Question]:
    def draw(sample: Sample) -> Question:
        mine: list[str] = []
        while not mine:
            mine = [one for one in sample.person().identifiers if one.startswith(f"{system}|")]
        found = sample.those(lambda p: mine[0] in p.identifiers)
        return Question(url("Patient", ("identifier", mine[0])), found)

    return draw


def _family(sample: Sample) -> Question:
    family = sample.person().family[0]
    found = sample.those(lambda p: begun(family, p.family))
    return Question(url("Patient", ("family", family)), found)


def _family_born(sample: Sample) -> Question:
    person = sample.person()
    day, lo, hi = day_of(person.at)
    family = person.family[0]
    found = sample.those(lambda p: lo <= p.at and p.until <= hi and begun(family, p.family))
    return Question(url("Patient", ("family", family), ("birthdate", day)), found)


def _named(asked: str) -> Callable[[Person], bool]:
    wanted = words(asked)
    return lambda p: all(begun(one, p.names) for one in wanted)


def _name(choose: Callable[[Sample, Person], str]) -> Callable[[Sample], Question]:
    def draw(sample: Sample) -> Question:
        asked = choose(sample, sample.person())
        return Question(url("Patient", ("name", asked)), sample.those(_named(asked)))

    return draw


def _contains(sample: Sample) -> Question:
    asked = max(sample.person().names, key=len)[1:4]
    other = other_spelling(asked)
    found = sample.those(lambda p: any(asked in word or word == other for word in p.names))
    return Question(url("Patient", ("name:contains", asked)), found)


def _born(sample: Sample) -> Question:
    month, lo, hi = month_of(sample.person().at)
    pairs = (("birthdate", f"ge{month}"), ("birthdate", f"le{month}"))

    def holds(p: Person) -> bool:
        """R4 search#prefix: a year alone may begin before the month and end after it."""
        within = lo <= p.at and p.until <= hi
        return p.until > p.at and (within or p.until > hi) and (within or p.at < lo)

    return Question(url("Patient", *pairs), sample.those(holds))


def _gender(sample: Sample) -> Question:
    gender = sample.person().gender
    found = sample.those(lambda p: p.gender == gender)
    return Question(url("Patient", ("gender", gender), ("_total", "accurate")), found, total=True)


def _address(sample: Sample) -> Question:
    asked = " ".join(sample.person().address[-6:-3])
    wanted = words(asked)
    found = sample.those(lambda p: all(begun(one, p.address) for one in wanted))
    return Question(url("Patient", ("address", asked)), found)


def _organization(sample: Sample) -> Question:
    organization = sample.person().organization
    found = sample.those(lambda p: p.organization == organization)
    return Question(url("Patient", ("organization", f"Organization/{organization}")), found)


def _ten(sample: Sample) -> Question:
    ids = {sample.person().id for _ in range(10)}
    found = sample.those(lambda p: p.id in ids)
    return Question(url("Patient", ("_id", ",".join(sorted(ids)))), found)


def _latest(sample: Sample) -> Question:
    type = sample.random.choice(("Patient", "Encounter", "MedicationRequest"))
    return Question(url(type, ("_sort", "-_lastUpdated")))


def _has(sample: Sample) -> Question:
    code = _reason(sample)
    patients = None

    def found() -> list[Match]:
        nonlocal patients
        patients = {visit.patient for visit in sample.visits if code in visit.reasons}
        return sample.of(sample.people, lambda p: p.id in patients)

    return Question(url("Patient", ("_has:Encounter:patient:reason-code", f"{ICD}|{code}")), found)


# --- Encounter -----------------------------------------------------------------------------------


def _of_patient(sample: Sample) -> Question:
    patient = sample.visit().patient
    found = sample.seen(lambda v: v.patient == patient)
    pairs = (("patient", f"Patient/{patient}"), ("_sort", "-date"))
    return Question(url("Encounter", *pairs), found)


def _day(sample: Sample) -> Question:
    day, lo, hi = day_of(sample.visit().at)
    return Question(
        url("Encounter", ("date", day)), sample.seen(lambda v: lo <= v.at and v.end <= hi)
    )


def _provider_day(sample: Sample) -> Question:
    visit = sample.visit()
    day, lo, hi = day_of(visit.at)
    found = sample.seen(lambda v: v.provider == visit.provider and lo <= v.at and v.end <= hi)
    pairs = (("service-provider", f"Organization/{visit.provider}"), ("date", day))
    return Question(url("Encounter", *pairs), found)


def _provider_month(sample: Sample) -> Question:
    visit = sample.visit()
    month, lo, hi = month_of(visit.at)
    found = sample.seen(lambda v: v.provider == visit.provider and lo <= v.at and v.end <= hi)
    pairs = (
        ("service-provider", f"Organization/{visit.provider}"),
        ("date", month),
        ("_total", "accurate"),
    )
    return Question(url("Encounter", *pairs), found, total=True)


def _reason(sample: Sample) -> str:
    while not (reasons := sample.visit().reasons):
        pass
    return sample.random.choice(reasons)


def _reason_code(sample: Sample) -> Question:
    code = _reason(sample)
    found = sample.seen(lambda v: code in v.reasons)
    return Question(url("Encounter", ("reason-code", f"{ICD}|{code}")), found)


def _status_provider(sample: Sample) -> Question:
    visit = sample.visit()
    found = sample.seen(lambda v: v.provider == visit.provider and v.status == visit.status)
    pairs = (("status", visit.status), ("service-provider", f"Organization/{visit.provider}"))
    return Question(url("Encounter", *pairs), found)


def _class_date(sample: Sample) -> Question:
    visit = sample.visit()
    month, lo, hi = month_of(visit.at)
    found = sample.seen(lambda v: v.kind == visit.kind and lo <= v.at and v.end <= hi)
    return Question(url("Encounter", ("class", visit.kind), ("date", month)), found)


def _included(sample: Sample) -> Question:
    patient = sample.visit().patient
    pairs = (
        ("patient", f"Patient/{patient}"),
        ("_include", "Encounter:patient"),
        ("_include", "Encounter:service-provider"),
    )
    return Question(url("Encounter", *pairs), sample.seen(lambda v: v.patient == patient))


def _of_family(sample: Sample) -> Question:
    family = sample.person().family[0]

    def found() -> list[Match]:
        theirs = {p.id for p in sample.people if begun(family, p.family)}
        return sample.of(sample.visits, lambda v: v.patient in theirs)

    return Question(url("Encounter", ("patient.family", family), ("_sort", "-date")), found)


def _of_identifier(sample: Sample) -> Question:
    person = sample.facts.people[sample.visit().patient]
    identifier = sample.random.choice(person.identifiers)

    def found() -> list[Match]:
        theirs = {p.id for p in sample.people if identifier in p.identifiers}
        return sample.of(sample.visits, lambda v: v.patient in theirs)

    return Question(url("Encounter", ("patient.identifier", identifier)), found)


def _fiftieth(sample: Sample) -> Question:
    return Question(sample.random.choice(sample.deep))


# --- MedicationRequest, Organization -------------------------------------------------------------


def _lines_of_patient(sample: Sample) -> Question:
    patient = sample.line().patient
    pairs = (("patient", f"Patient/{patient}"), ("_sort", "-authoredon"))
    return Question(
        url("MedicationRequest", *pairs), sample.told(lambda line: line.patient == patient)
    )


def _lines_of_visit(sample: Sample) -> Question:
    encounter = sample.line().encounter
    return Question(
        url("MedicationRequest", ("encounter", f"Encounter/{encounter}")),
        sample.told(lambda line: line.encounter == encounter),
    )


def _lines_of_class(sample: Sample) -> Question:
    """The encounters are very many, and do not tell whose the lines are."""
    visits = sample.facts.visits
    there = {id for id, visit in visits.items() if visit.kind == "IMP"}
    found = sample.told(lambda line: line.encounter in there)
    return Question(url("MedicationRequest", ("encounter.class", "IMP")), found)


def _drug(sample: Sample) -> tuple[Line, str]:
    while not (line := sample.line()).codes:
        pass
    return line, line.codes[0]


def _code_range(sample: Sample) -> Question:
    line, code = _drug(sample)
    month, lo, hi = month_of(line.at)
    found = sample.told(lambda one: code in one.codes and lo <= one.at < hi)
    pairs = (
        ("code", f"{ATC}|{code}"), ("authoredon", f"ge{month}"), ("authoredon", f"le{month}"),
    )  # fmt: skip
    return Question(url("MedicationRequest", *pairs), found)


def _line_included(sample: Sample) -> Question:
    patient = sample.line().patient
    pairs = (
        ("patient", f"Patient/{patient}"),
        ("_include", "MedicationRequest:encounter"),
        ("_include", "MedicationRequest:requester"),
    )
    return Question(
        url("MedicationRequest", *pairs), sample.told(lambda line: line.patient == patient)
    )


def _visit_with_lines(sample: Sample) -> Question:
    patient = sample.line().patient
    pairs = (("patient", f"Patient/{patient}"), ("_revinclude", "MedicationRequest:encounter"))
    return Question(url("Encounter", *pairs), sample.seen(lambda v: v.patient == patient))


def _places(sample: Sample, holds: Callable[[Place], bool]) -> Callable[[], list[Match]]:
    return lambda: sample.of(sample.places, holds)


def _place_name(sample: Sample) -> Question:
    asked = " ".join(sample.place().names[-2:])
    wanted = words(asked)
    found = _places(sample, lambda p: all(begun(one, p.names) for one in wanted))
    return Question(url("Organization", ("name", asked)), found)


def _place_identifier(sample: Sample) -> Question:
    identifier = sample.random.choice(sample.place().identifiers)
    found = _places(sample, lambda p: identifier in p.identifiers)
    return Question(url("Organization", ("identifier", identifier)), found)


def _part_of(sample: Sample) -> Question:
    wholes = [place.part_of for place in sample.places if place.part_of]
    whole = sample.random.choice(wholes) if wholes else sample.place().id
    found = _places(sample, lambda p: p.part_of == whole)
    return Question(url("Organization", ("partof", f"Organization/{whole}")), found)


def _counted(sample: Sample) -> Question:
    visit = sample.visit()
    day, lo, hi = day_of(visit.at)
    found = sample.seen(lambda v: lo <= v.at and v.end <= hi)
    told = url("Encounter", ("date", day), ("_summary", "count"), count=None)
    return Question(told, found, total=True)


def _read(sample: Sample) -> Question:
    return Question(f"/fhir/Patient/{sample.person().id}")


def _version(sample: Sample) -> Question:
    return Question(sample.random.choice(sample.versions))


SHAPES = (
    Shape("Patient by id", _read),
    Shape("Patient, a version", _version),
    Shape("Patient?identifier (CCCD)", _identifier(CCCD)),
    Shape("Patient?identifier (BHYT)", _identifier(BHYT)),
    Shape("Patient?family", _family, grows=True),
    Shape("Patient?family&birthdate", _family_born, grows=True),
    Shape("Patient?name (a beginning)", _name(lambda s, p: p.names[-1][:3]), grows=True),
    Shape("Patient?name (two words)", _name(lambda s, p: " ".join(p.names[-2:])), grows=True),
    Shape("Patient?name (last, first)", _name(lambda s, p: f"{p.names[-1]} {p.names[0]}"),
          grows=True),
    Shape("Patient?name:contains", _contains, grows=True),
    Shape("Patient?birthdate (a month)", _born),
    Shape("Patient?gender&_total=accurate", _gender, grows=True),
    Shape("Patient?address", _address, grows=True),
    Shape("Patient?organization", _organization),
    Shape("Patient?_id (ten)", _ten),
    Shape("_sort=-_lastUpdated", _latest),
    Shape("Patient?_has:Encounter:patient:reason-code", _has, grows=True),
    Shape("Encounter?patient&_sort=-date", _of_patient),
    Shape("Encounter?date (a day)", _day),
    Shape("Encounter?service-provider&date", _provider_day),
    Shape("Encounter?service-provider&date (month)&_total", _provider_month, grows=True),
    Shape("Encounter?reason-code", _reason_code),
    Shape("Encounter?status&service-provider", _status_provider),
    Shape("Encounter?class&date (month)", _class_date),
    Shape("Encounter?patient&_include (two)", _included),
    Shape("Encounter?patient.family", _of_family, grows=True),
    Shape("Encounter?patient.identifier", _of_identifier),
    Shape("the 50th page", _fiftieth),
    Shape("MedicationRequest?patient&_sort=-authoredon", _lines_of_patient),
    Shape("MedicationRequest?encounter", _lines_of_visit),
    Shape("MedicationRequest?encounter.class (IMP)", _lines_of_class, mixed=False),
    Shape("MedicationRequest?code&authoredon (month)", _code_range),
    Shape("MedicationRequest?patient&_include (two)", _line_included),
    Shape("Encounter?patient&_revinclude", _visit_with_lines),
    Shape("Organization?name", _place_name),
    Shape("Organization?identifier", _place_identifier),
    Shape("Organization?partof", _part_of),
    Shape("Encounter?date&_summary=count", _counted, grows=True),
)  # fmt: skip

DEEP = ("/fhir/Encounter?class=AMB&_count=20", "/fhir/MedicationRequest?status=completed&_count=20")


def questions(shape: Shape, sample: Sample) -> Iterator[Question]:
    while True:
        yield shape.draw(sample)


def some(shape: Shape, sample: Sample, number: int) -> list[Question]:
    return list(islice(questions(shape, sample), number))


def wrong(question: Question, bundle: dict[str, Any]) -> str | None:
    """What of an answer is not as the oracle says, if anything."""
    if question.matches is None:
        return None
    matches = question.matches()
    entries = [e for e in bundle.get("entry", []) if e["search"]["mode"] == "match"]
    ids = [entry["resource"]["id"] for entry in entries]
    dates = {id: at for at, id in matches}
    expected = [] if "_summary=count" in question.path else [at for at, _ in matches[:PAGE]]
    if question.total and bundle.get("total") != len(matches):
        return f"total {bundle.get('total')}, expected {len(matches)}"
    if strange := [id for id in ids if id not in dates]:
        return f"{len(strange)} of {len(ids)} do not match, such as {strange[0]}"
    if len(set(ids)) != len(expected):
        return f"{len(ids)} entries, expected {len(expected)}"
    return None if [dates[id] for id in ids] == expected else "not the newest, or not in order"
