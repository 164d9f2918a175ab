"""measure — whether a MeasureReport reports what its Measure measures.

https://hl7.org/fhir/R4/measurereport.html
https://hl7.org/fhir/R4/measurereport-definitions.html#MeasureReport.group
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Resource
from fhir_server.validation import messages
from fhir_server.validation.content.question import Question


def measure_report(resource: Resource, path: str, question: Question) -> list[Issue]:
    """The issues of a MeasureReport, as far as its Measure is known."""
    url = resource.get("measure")
    known = question.canonicals
    measure = known.get(url, "Measure") if known and isinstance(url, str) else None
    if measure is None:
        return []
    groups = measure.get("group") or []
    check = _Report(str(url), groups)
    return list(check.groups(resource.get("group") or [], path))


class _Report:
    """One report beside the groups of its measure."""

    def __init__(self, url: str, groups: list[Resource]) -> None:
        self.url = url
        self.measured = groups

    def issue(self, key: str, place: str, **said: Any) -> Issue:
        return messages.issue(key, place, profile=self.url, **said)

    def groups(self, reported: list[Resource], path: str) -> Iterator[Issue]:
        """R4: one for each population group in the measure, told apart by their codes."""
        seen: set[int] = set()
        for index, group in enumerate(reported):
            place = f"{path}.group[{index}]"
            measured = self._of(group, index)
            if measured is None:
                yield self.issue("measure-group", place, named=_named(group))
            elif id(measured) in seen:
                yield self.issue("measure-group.twice", place, named=_named(group))
            else:
                seen.add(id(measured))
                yield from self._group(group, measured, place)

    def _of(self, group: Resource, index: int) -> Resource | None:
        """The group of the measure that is meant: by its code, or the only one, or by its place."""
        code = group.get("code")
        if code is not None and any("code" in one for one in self.measured):
            return next((one for one in self.measured if same(one.get("code"), code)), None)
        if len(self.measured) == 1:
            return self.measured[0]
        return self.measured[index] if index < len(self.measured) else None

    def _group(self, group: Resource, measured: Resource, path: str) -> Iterator[Issue]:
        populations = [one.get("code") for one in measured.get("population") or ()]
        yield from self._populations(group, populations, path)
        stratifiers = measured.get("stratifier") or []
        for index, stratifier in enumerate(group.get("stratifier") or ()):
            place = f"{path}.stratifier[{index}]"
            codes = stratifier.get("code") or []
            wanted = [one.get("code") for one in stratifiers]
            for at, code in enumerate(codes):
                if not any(same(one, code) for one in wanted):
                    yield self.issue("measure-stratifier", f"{place}.code[{at}]", code=told(code))
            for at, stratum in enumerate(stratifier.get("stratum") or ()):
                yield from self._populations(stratum, populations, f"{place}.stratum[{at}]")

    def _populations(self, holder: Resource, wanted: list[Any], path: str) -> Iterator[Issue]:
        for index, population in enumerate(holder.get("population") or ()):
            code = population.get("code")
            if code is not None and not any(same(one, code) for one in wanted):
                place = f"{path}.population[{index}].code"
                yield self.issue("measure-population", place, code=told(code))


def _named(group: Resource) -> str:
    code = told(group.get("code"))
    return f" (`{code}`)" if code else ""


def same(one: Any, other: Any) -> bool:
    """Whether two CodeableConcepts share a coding; by their text where neither has one."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return False
    if one.get("coding") and other.get("coding"):
        pairs = {(c.get("system"), c.get("code")) for c in one["coding"]}
        return any((c.get("system"), c.get("code")) in pairs for c in other["coding"])
    return one.get("text") is not None and one.get("text") == other.get("text")


def told(code: Any) -> str:
    """A CodeableConcept as a reader knows it."""
    if not isinstance(code, dict):
        return ""
    codes = [str(coding.get("code")) for coding in code.get("coding") or () if "code" in coding]
    return ", ".join(codes) or str(code.get("text", ""))
