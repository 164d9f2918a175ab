"""parameters — which SearchParameters each type has.

https://hl7.org/fhir/R4/searchparameter.html
https://hl7.org/fhir/R4/searchparameter-registry.html

Each (base type, code) of R4 has a number below CUSTOM, which stands in the index in its place;
parameters given from outside bring their own, from CUSTOM up. A number is never given twice, so
a row of the index needs no type beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from fhir_server.conformance.definitions import Definitions
from fhir_server.foundation.outcome import FhirError, UnknownType
from fhir_server.search.dominant import MOST, free
from fhir_server.search.path import Get, Path, Refers, Step, paths

CUSTOM = 4096  # the first number of a parameter that is not R4's own
LAST_CUSTOM = 8191  # a KeyRow.v holds 13 bits of it
ANY = 100  # so many targets mean any resource

# R4 publishes these as examples of the SearchParameter resource; two of them repeat real ones.
EXAMPLES = "http://hl7.org/fhir/SearchParameter/example"
KINDS = frozenset({"date", "number", "quantity", "reference", "special", "string", "token", "uri"})

# When a thing was, is or will be: the date by which a type is read, newest first.
MAIN_DATE: dict[str, str] = {
    line.split()[0]: line.split()[1]
    for line in """
    Account period
    AdverseEvent date
    AllergyIntolerance date
    Appointment date
    AuditEvent date
    Basic created
    Bundle timestamp
    CarePlan date
    CareTeam date
    ChargeItem occurrence
    Claim created
    ClaimResponse created
    ClinicalImpression date
    Communication sent
    CommunicationRequest authored
    Composition date
    Condition recorded-date
    Consent date
    Contract issued
    CoverageEligibilityRequest created
    CoverageEligibilityResponse created
    DetectedIssue identified
    DeviceRequest authored-on
    DiagnosticReport date
    DocumentManifest created
    DocumentReference date
    Encounter date
    EpisodeOfCare date
    ExplanationOfBenefit created
    FamilyMemberHistory date
    Flag date
    Goal start-date
    ImagingStudy started
    Immunization date
    ImmunizationEvaluation date
    ImmunizationRecommendation date
    Invoice date
    List date
    MeasureReport date
    Media created
    Medication expiration-date
    MedicationAdministration effective-time
    MedicationDispense whenhandedover
    MedicationRequest authoredon
    MedicationStatement effective
    NutritionOrder datetime
    Observation date
    Patient birthdate
    PaymentNotice created
    PaymentReconciliation created
    Person birthdate
    Procedure date
    Provenance recorded
    QuestionnaireResponse authored
    RelatedPerson birthdate
    RequestGroup authored
    ResearchStudy date
    ResearchSubject date
    RiskAssessment date
    Schedule date
    ServiceRequest authored
    Slot start
    Specimen collected
    SupplyRequest date
    Task authored-on
    TestReport issued
    VisionPrescription datewritten
    """.strip().splitlines()
}


class Component(NamedTuple):
    """One part of a composite: the parameter's url, and where it is from the composite's place."""

    definition: str
    expression: str


# R4 search#string: of HumanName and Address "the search covers the elements of type string"
PARTS: dict[str, tuple[str, ...]] = {
    "HumanName": ("family", "given", "text", "prefix", "suffix"),
    "Address": ("line", "district", "city", "state", "country", "postalCode", "text"),
}

# R4 search#recursive: the references that make a strict hierarchy, each of a type to itself
PART_OF: dict[str, str] = {
    "CarePlan": "part-of",
    "Communication": "part-of",
    "DeviceDefinition": "parent",
    "Encounter": "part-of",
    "Location": "partof",
    "MedicationStatement": "part-of",
    "Organization": "partof",
    "Procedure": "part-of",
    "ResearchStudy": "partof",
    "Specimen": "parent",
    "Task": "part-of",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A SearchParameter as one type has it.

    type: token | string | reference | date | number | quantity | uri | composite | special.
    paths: where its values are. narrowed: its rows are those of a wider parameter of the same
    number (`patient` of `subject`), told apart by the target's type. bit: of a narrowed one, 1 +
    the bit beside the resource that says that it has a value. main: it is the type's main date.
    stored: it has rows in the index (`_id` and `_lastUpdated` have not). also: the numbers of
    narrower parameters (`family` of `name`), whose rows are not written again under this one;
    elsewhere: where these have theirs. parts: of a reference, the numbers of the parameters by
    which a resource of a target type names what it is a part of.
    """

    of: str
    code: str
    type: str
    number: int
    url: str
    targets: tuple[str, ...] = ()
    expression: str = ""
    components: tuple[Component, ...] = ()
    paths: tuple[Path, ...] = ()
    narrowed: bool = False
    bit: int = 0
    main: bool = False
    stored: bool = True
    also: tuple[int, ...] = ()
    elsewhere: frozenset[tuple[Step, ...]] = frozenset()
    parts: tuple[int, ...] = ()

    @property
    def supported(self) -> bool:
        """Whether it can be searched by."""
        return self.type in KINDS or self.type == "composite"

    @property
    def types(self) -> frozenset[str]:
        """The datatypes its values have."""
        return frozenset(path.type for path in self.paths)

    @property
    def many(self) -> bool:
        """Whether a resource may have more than one value; choices of one element are one."""
        return len({path.element for path in self.paths}) > 1 or any(p.many for p in self.paths)


class Parameters:
    """All SearchParameters, by type. Each type's expressions are followed when first asked for.

    stamp: changes whenever a number, a kind or an expression of R4's own does. official: these
    without the custom ones.
    """

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self.official = self
        self._custom: Mapping[int, Mapping[str, Any]] = {}
        self._building: frozenset[int] = frozenset()
        self._refusal: Callable[[Parameter], FhirError] | None = None
        self._indexed: dict[str, tuple[Parameter, ...]] = {}
        self._facts: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
        self._of: dict[str, dict[str, Parameter]] = {}
        official = sorted(
            ((base, fact["code"], fact) for fact in definitions.search_parameters
             if "expression" in fact and not fact["url"].startswith(EXAMPLES)
             for base in fact["base"]),
            key=lambda row: row[:2],
        )  # fmt: skip
        assert len(official) < CUSTOM
        for number, (base, _, fact) in enumerate(official, 1):
            self._facts.setdefault(base, []).append((number, fact))
        told = [(base, number, f["type"], f["code"], f["expression"])
                for base, facts in self._facts.items() for number, f in facts]  # fmt: skip
        self.stamp = hashlib.blake2b(json.dumps(told).encode(), digest_size=8).hexdigest()

    def extended(
        self,
        custom: Mapping[int, Mapping[str, Any]],
        building: frozenset[int] = frozenset(),
        refusal: Callable[[Parameter], FhirError] | None = None,
    ) -> Parameters:
        """R4's parameters and these.

        custom: facts in the shape of `definitions.search_parameters`, by number, each of one base
        type and with a code R4 does not give it. building: those whose index is not whole yet;
        they are written and not asked. refusal: how that is said. R4's own are the same whatever
        these are.
        """
        for number in custom:
            if not CUSTOM <= number <= LAST_CUSTOM:
                raise ValueError(f"{number} is not from {CUSTOM} to {LAST_CUSTOM}")
        found = copy(self.official)
        found.official = self.official
        found._custom, found._building, found._refusal = custom, building, refusal
        found._of, found._indexed = {}, {}
        return found

    def indexed(self, type: str) -> tuple[Parameter, ...]:
        """The custom parameters of a type that are written into the index, the unready too."""
        found = self._indexed.get(type)
        if found is None:
            bases = self.definitions.ancestors(type) if self._custom else ()
            found = self._indexed[type] = tuple(
                self._parameter(type, number, fact)
                for number, fact in sorted(self._custom.items())
                if fact["base"][0] in bases
            )
        return found

    def demand_ready(self, types: Iterable[str], code: str) -> None:
        """Refuse a custom parameter whose index is not whole yet, and that `of` leaves out."""
        for type in types if self._building else ():
            for one in self.indexed(type):
                if one.code == code and one.number in self._building and self._refusal:
                    raise self._refusal(one)

    def of(self, type: str) -> dict[str, Parameter]:
        """The parameters of a type, by code: its own and those of all resources."""
        found = self._of.get(type)
        if found is None and self.official is not self:
            own = self.official.of(type)
            ready = {p.code: p for p in self.indexed(type) if p.number not in self._building}
            found = self._of[type] = {**ready, **own} if ready else own
        if found is None:
            if type not in self.definitions.resource_types:
                raise UnknownType(f"R4 has no resource type `{type}`.")
            known: dict[str, Parameter] = {
                fact["code"]: self._parameter(type, number, fact)
                for base in reversed(self.definitions.ancestors(type))
                for number, fact in self._facts.get(base, ())
            }
            self._of[type] = found = _said_once(_marked(type, _shared(known)))
        return found

    def everywhere(self) -> dict[str, Parameter]:
        """The parameters that every type has: `_id`, `_lastUpdated`, `_tag`, ..."""
        return {code: found for code, found in self.of("Basic").items() if code[0] == "_"}

    def _parameter(self, type: str, number: int, fact: Mapping[str, Any]) -> Parameter:
        code, kind = fact["code"], fact["type"]
        targets = tuple(fact.get("target") or ())
        if len(targets) > ANY:
            targets = tuple(sorted(self.definitions.resource_types))
        followed = kind in KINDS
        return Parameter(
            of=type,
            code=code,
            type=kind,
            number=number,
            url=fact["url"],
            targets=targets,
            expression=fact["expression"],
            components=tuple(Component(*part) for part in fact.get("component") or ()),
            paths=paths(self.definitions, fact["expression"], type) if followed else (),
            main=MAIN_DATE.get(type) == code,
            stored=(followed or kind == "composite") and code not in ("_id", "_lastUpdated"),
            parts=self._parts(targets) if kind == "reference" else (),
        )

    def _parts(self, targets: Sequence[str]) -> tuple[int, ...]:
        return tuple(
            number
            for type in targets
            if type in PART_OF
            for number, fact in self._facts.get(type, ())
            if fact["code"] == PART_OF[type]
        )


def _shared(found: dict[str, Parameter]) -> dict[str, Parameter]:
    """Parameters that would write the same rows have one number, and write them once."""
    first: dict[object, Parameter] = {}
    for parameter in sorted(found.values(), key=lambda p: p.number):
        # not tokens: which values are dominant goes by the parameter's code
        if parameter.stored and parameter.paths and parameter.type != "token":
            first.setdefault((parameter.type, parameter.paths), parameter)
    return {code: _as_one(parameter, first) for code, parameter in found.items()}


def _as_one(parameter: Parameter, first: Mapping[object, Parameter]) -> Parameter:
    if (parameter.type, parameter.paths) not in first or parameter.main:
        return parameter
    same = first[parameter.type, parameter.paths]
    if same.number != parameter.number:
        return parameter if same.main else replace(parameter, number=same.number)
    # R4 search#reference: `patient` "also refers to Observation.subject, but is limited"
    ends = {path.steps[-1] for path in parameter.paths}
    target = ends.pop()
    if ends or not isinstance(target, Refers):
        return parameter
    wide = tuple(replace(path, steps=path.steps[:-1]) for path in parameter.paths)
    wider = first.get((parameter.type, wide))
    if wider is None:
        return parameter
    return replace(parameter, number=wider.number, targets=(target.type,), narrowed=True)


def _marked(type: str, found: dict[str, Parameter]) -> dict[str, Parameter]:
    """A narrowed parameter has no rows by which its having a value could be told, and most
    encounters name a practitioner: it is told by a bit, which takes no room."""
    narrowed = sorted(code for code, parameter in found.items() if parameter.narrowed)
    bits = {code: bit for bit, code in enumerate(narrowed, free(type))}
    assert free(type) + len(narrowed) <= MOST
    return found | {code: replace(found[code], bit=bit) for code, bit in bits.items()}


# --- words said once -----------------------------------------------------------------------------


def _said_once(found: dict[str, Parameter]) -> dict[str, Parameter]:
    """A parameter leaves to narrower ones what is theirs."""
    strings = [p for p in found.values() if p.type == "string" and p.stored and p.paths]
    return {
        code: _left(parameter, strings) if parameter in strings else _divided(parameter, found)
        for code, parameter in found.items()
    }


def _divided(wide: Parameter, found: Mapping[str, Parameter]) -> Parameter:
    """A token or quantity whose every place is a narrower one's has no rows: `combo-code` is what
    `code` and `component-code` are. A row costs 43 bytes on SQLite and 130 on PostgreSQL."""
    if wide.type not in ("token", "quantity") or not wide.stored:
        return wide
    ways = frozenset(wide.paths)
    narrower = [
        other
        for other in found.values()
        if other.type == wide.type and other.stored and frozenset(other.paths) < ways
    ]
    if not ways or ways != frozenset(path for other in narrower for path in other.paths):
        return wide
    return replace(
        wide,
        also=tuple(sorted({other.number for other in narrower})),
        elsewhere=frozenset(path.steps for path in ways),
    )


def _left(wide: Parameter, strings: Sequence[Parameter]) -> Parameter:
    narrower = [
        other
        for other in strings
        if other.number != wide.number and all(_is_within(path, wide) for path in other.paths)
    ]
    return replace(
        wide,
        also=tuple(sorted({other.number for other in narrower})),
        elsewhere=frozenset(path.steps for other in narrower for path in other.paths),
    )


def _is_within(path: Path, wide: Parameter) -> bool:
    """Whether the wider parameter has a way to the same value, or to what it is a part of."""
    match path.steps:
        case (*onward, Get(key, _, None)):
            parent = tuple(onward)
            return any(
                path.steps == way.steps or (parent == way.steps and key in PARTS.get(way.type, ()))
                for way in wide.paths
            )
    return False
