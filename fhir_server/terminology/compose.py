"""compose — what a ValueSet resource says it is made of, read once.

https://hl7.org/fhir/R4/valueset.html#compositions
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from fhir_server.foundation.resource import Resource
from fhir_server.terminology.concept import Concept
from fhir_server.terminology.element import objects, text
from fhir_server.terminology.moment import first_day
from fhir_server.terminology.system import SNOMED, Filter

LOINC_ALL = "http://loinc.org/vs"
ALL_CODES = {LOINC_ALL: "http://loinc.org"}  # value sets that systems define for all their codes


@dataclass(frozen=True, slots=True)
class Part:
    """An include or exclude: what is in all of it at once."""

    system: str | None
    version: str | None = None
    concepts: dict[str, Concept] | None = None  # None: all that the filters admit
    filters: tuple[Filter, ...] = ()
    imports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Composed:
    """A value set. carried: its own expansion, for when it cannot be computed."""

    resource: Resource
    url: str | None
    version: str | None
    includes: tuple[Part, ...]
    excludes: tuple[Part, ...] = ()
    inactive: bool | None = None
    locked: dt.date | None = None
    carried: tuple[Concept, ...] | None = None
    carried_whole: bool = True  # the expansion carried is not one page of several

    @property
    def canonical(self) -> str:
        return f"{self.url}|{self.version}" if self.version else self.url or ""


def composed(resource: Resource) -> Composed:
    """A ValueSet, whatever a client may have written in it."""
    compose = resource.get("compose")
    compose = compose if isinstance(compose, dict) else {}
    inactive, expansion = compose.get("inactive"), resource.get("expansion")
    carried = _carried(expansion) if isinstance(expansion, dict) else None
    total = expansion.get("total") if isinstance(expansion, dict) else None
    return Composed(
        resource=resource,
        url=text(resource.get("url")),
        version=text(resource.get("version")),
        includes=tuple(_part(each) for each in objects(compose.get("include"))),
        excludes=tuple(_part(each) for each in objects(compose.get("exclude"))),
        inactive=inactive if isinstance(inactive, bool) else None,
        locked=first_day(compose.get("lockedDate")),
        carried=carried,
        carried_whole=not isinstance(total, int) or total <= len(carried or ()),
    )


def of_all_codes(url: str, system: str) -> Composed:
    """The value set of all codes of a system."""
    return _implicit(url, Part(system))


def implicit(url: str) -> Composed | None:
    """A value set that a code system's own rules define, without a resource.

    R4 snomedct#implicit:  [system]?fhir_vs  |  ?fhir_vs=isa/[sctid]  |  ?fhir_vs=refset/[sctid]
    """
    if url in ALL_CODES:
        return of_all_codes(url, ALL_CODES[url])
    base, question, rest = url.partition("?fhir_vs")
    if not question or not (base == SNOMED or base.startswith(f"{SNOMED}/")):
        return None
    version = base if base != SNOMED else None
    kind, _, value = unquote(rest.removeprefix("=")).partition("/")
    match kind, value:
        case "", "":
            return _implicit(url, Part(SNOMED, version))
        case "isa", str() if value.isascii() and value.isdigit():
            return _implicit(url, Part(SNOMED, version, None, (Filter("concept", "is-a", value),)))
        case "refset", str() if value.isascii() and value.isdigit():
            return _implicit(url, Part(SNOMED, version, None, (Filter("concept", "in", value),)))
    return None


def _implicit(url: str, part: Part) -> Composed:
    include: Resource = {"system": part.system}
    if part.filters:
        include["filter"] = [
            {"property": each.property, "op": each.op, "value": each.value} for each in part.filters
        ]
    resource = {
        "resourceType": "ValueSet",
        "url": url,
        "status": "active",
        "compose": {"include": [include]},
    }
    return Composed(resource, url, None, (part,))


def _part(given: Resource) -> Part:
    system, version = text(given.get("system")), text(given.get("version"))
    listed = given.get("concept")
    filters = tuple(
        Filter(*(str(each.get(name) or "") for name in ("property", "op", "value")))
        for each in objects(given.get("filter"))
    )
    imports = given.get("valueSet")
    return Part(
        system=system,
        version=version,
        concepts=_concepts(system, version, listed) if isinstance(listed, list) else None,
        filters=filters,
        imports=tuple(each for each in imports if isinstance(each, str))
        if isinstance(imports, list)
        else (),
    )


def _concepts(system: str | None, version: str | None, listed: Any) -> dict[str, Concept]:
    found: dict[str, Concept] = {}
    for each in objects(listed):
        if code := text(each.get("code")):
            found.setdefault(code, _concept(system or "", version, code, each))
    return found


def _concept(system: str, version: str | None, code: str, given: Resource) -> Concept:
    designations = tuple(
        (text(each.get("language")), _use(each), value)
        for each in objects(given.get("designation"))
        if (value := text(each.get("value")))
    )
    return Concept(
        system=system,
        version=version,
        code=code,
        display=text(given.get("display")),
        designations=designations,
        abstract=given.get("abstract") is True,
        inactive=given.get("inactive") is True,
    )


def _use(designation: Resource) -> str | None:
    use = designation.get("use")
    return text(use.get("code")) if isinstance(use, dict) else None


def _carried(expansion: Resource) -> tuple[Concept, ...]:
    found = []
    waiting = list(reversed(objects(expansion.get("contains"))))
    while waiting:
        each = waiting.pop()
        if code := text(each.get("code")):
            system, version = text(each.get("system")), text(each.get("version"))
            found.append(_concept(system or "", version, code, each))
        waiting.extend(reversed(objects(each.get("contains"))))
    return tuple(found)
