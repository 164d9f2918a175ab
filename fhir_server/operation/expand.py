"""expand — the codes that are in a value set, by the page.

https://hl7.org/fhir/R4/valueset-operation-expand.html
https://hl7.org/fhir/R4/valueset.html#expansion
"""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from fhir_server.foundation.outcome import Invalid, TooCostly, Unprocessable
from fhir_server.foundation.resource import Resource
from fhir_server.interaction.context import Answer, Circumstances, Server
from fhir_server.operation.call import Call, Operation
from fhir_server.operation.coded import canonical, day, definition, flag, refuse, whole
from fhir_server.operation.parameters import answer
from fhir_server.terminology.concept import Concept, Expansion, speaks
from fhir_server.terminology.moment import VIETNAM
from fhir_server.terminology.terms import Choice, Terms

MAX_PAGE = 10_000  # concepts of one answer
MAX_SAID = 100  # parameters of one name
# What the members of ValueSet that are about its content say; left out unless asked for
DEFINITION = ("compose", "expansion", "text", "description", "purpose", "copyright", "contact")


@dataclass(frozen=True, slots=True)
class Asked:
    """The parameters of an expansion."""

    filter: str
    offset: int
    count: int | None
    at: dt.date
    active_only: bool
    language: str | None
    designations: bool
    tokens: tuple[str, ...]  # of the designations that are wanted
    choice: Choice


async def expand(server: Server, call: Call, circumstances: Circumstances) -> Answer:
    """Raises Invalid; NotFound for an unknown value set; TooCostly; Unprocessable."""
    refuse(call, ("context", "contextDirection"))
    given = await definition(server, call, circumstances, "valueSet")
    terms = server.knowledge.current.terms
    value_set = (
        known(terms, given)
        if given is not None
        else canonical(call, "valueSetVersion", needed="`url` or `valueSet`")
    )
    asked = what(terms, call)
    # Thousands of members take a while: others go on meanwhile.
    found = await asyncio.to_thread(expanded, terms, value_set, asked)
    check_versions(call, found)
    return answer(told(call, asked, found))


def known(terms: Terms, resource: Resource) -> str | Resource:
    """A resource by its canonical where it is the very one known: what is made of it is kept."""
    name = f"{resource.get('url')}|{resource.get('version')}"
    return name if terms.canonicals.get(name, "ValueSet") == resource else resource


def what(terms: Terms, call: Call) -> Asked:
    tokens = tuple(str(each.value) for each in call.all("designation"))
    return Asked(
        filter=call.text_of("filter") or "" if call.all("filter") else "",
        offset=whole(call, "offset") or 0,
        count=whole(call, "count"),
        at=day(call) or terms.today(),
        active_only=flag(call, "activeOnly") is True,
        language=call.text_of("displayLanguage"),
        designations=flag(call, "includeDesignations") is True or bool(tokens),
        tokens=tokens,
        choice=Choice(
            versions=systems(call, "system-version"),
            forced=systems(call, "force-system-version"),
            without=frozenset(str(each.value) for each in call.all("exclude-system")),
            selectable=flag(call, "excludeNotForUI") is True,
        ),
    )


def systems(call: Call, name: str) -> tuple[tuple[str, str], ...]:
    """`[system]|[version]` of a repeating parameter. Raises Invalid."""
    found = []
    for each in call.all(name)[:MAX_SAID]:
        url, bar, version = str(each.value).partition("|")
        if not (url and bar and version):
            raise Invalid(
                f"`{name}` must be `[system]|[version]`, such as `http://loinc.org|2.56`.",
                expression=f"http.{name}",
            )
        found.append((url, version))
    return tuple(found)


def expanded(terms: Terms, value_set: str | Resource, asked: Asked) -> Expansion:
    found = terms.expand(
        value_set,
        filter=asked.filter,
        offset=asked.offset,
        count=asked.count,
        at=asked.at,
        active_only=asked.active_only,
        language=asked.language,
        choice=asked.choice,
    )
    if len(found.contains) > MAX_PAGE:
        raise TooCostly(
            f"{len(found.contains)} codes are more than one answer holds. Ask for pages of at most"
            f" {MAX_PAGE} with `count` and `offset`, or give a `filter`."
        )
    return found


def check_versions(call: Call, found: Expansion) -> None:
    """R4: "If a value set specifies a different version, an error is returned"."""
    for url, version in systems(call, "check-system-version"):
        for used in found.used:
            system, _, its = used.partition("|")
            if system == url and its != version:
                raise Unprocessable(
                    f"The value set takes `{used}`, not the version `{version}` of it.",
                    expression="http.check-system-version",
                )


def told(call: Call, asked: Asked, found: Expansion) -> Resource:
    """The value set with its expansion."""
    whole_definition = flag(call, "includeDefinition") is True
    left_out = ("expansion", "text") if whole_definition else DEFINITION
    value_set = {name: each for name, each in found.value_set.items() if name not in left_out}
    value_set.setdefault("status", "active")
    expansion: dict[str, Any] = {
        "identifier": f"urn:uuid:{uuid5(NAMESPACE_URL, identity(asked, found))}",
        "timestamp": dt.datetime.now(VIETNAM).isoformat(timespec="seconds"),
        "total": found.total,
    }
    if asked.offset or asked.count is not None:
        expansion["offset"] = asked.offset
    if said := [*said_parameters(call), *used_parameters(found)]:
        expansion["parameter"] = said
    if contains := [told_concept(each, asked) for each in found.contains]:
        expansion["contains"] = contains
    return {**value_set, "expansion": expansion}


def identity(asked: Asked, found: Expansion) -> str:
    """What all pages of one expansion have in common."""
    named = found.value_set.get("url"), found.value_set.get("version"), found.value_set.get("id")
    said = asked.filter, asked.at.isoformat(), asked.active_only, asked.choice, asked.language
    return repr((named, said, found.used, found.total))


def said_parameters(call: Call) -> list[Resource]:
    """R4: "all the parameters that affect the contents of the expansion are recorded"."""
    found = []
    for name, kind in SAID.items():
        for each in call.all(name)[:MAX_SAID]:
            match kind:
                case "Boolean":
                    value: Any = flag(call, name)
                case "Integer":
                    value = whole(call, name)
                case _:
                    value = str(each.value)
            found.append({"name": name, f"value{kind}": value})
    return found


def used_parameters(found: Expansion) -> list[Resource]:
    return [{"name": "version", "valueUri": used} for used in found.used if "|" in used]


SAID = {
    "filter": "String",
    "date": "DateTime",
    "activeOnly": "Boolean",
    "excludeNotForUI": "Boolean",
    "displayLanguage": "Code",
    "includeDesignations": "Boolean",
    "designation": "String",
    "system-version": "Uri",
    "force-system-version": "Uri",
    "check-system-version": "Uri",
    "exclude-system": "Uri",
    "count": "Integer",
    "offset": "Integer",
}


def told_concept(concept: Concept, asked: Asked) -> Resource:
    found: dict[str, Any] = {"system": concept.system} if concept.system else {}
    if concept.abstract:
        found["abstract"] = True
    if concept.inactive:
        found["inactive"] = True
    if concept.version:
        found["version"] = concept.version
    found["code"] = concept.code
    if concept.display:
        found["display"] = concept.display
    if asked.designations:
        named = [told_designation(*each) for each in concept.designations if is_wanted(each, asked)]
        if named:
            found["designation"] = named
    return found


def is_wanted(designation: tuple[str | None, str | None, str], asked: Asked) -> bool:
    """R4: a token that is "either a use or a language"."""
    language, use, _ = designation
    if not asked.tokens:
        return True
    wanted = [token.rpartition("|")[2] for token in asked.tokens]
    return any((language and speaks(language, each)) or use == each for each in wanted)


def told_designation(language: str | None, use: str | None, value: str) -> Resource:
    found: dict[str, Any] = {"language": language} if language else {}
    if use:
        found["use"] = {"code": use}
    return {**found, "value": value}


OPERATIONS = (
    Operation(
        name="expand",
        definition="http://hl7.org/fhir/OperationDefinition/ValueSet-expand",
        levels=frozenset(["type", "instance"]),
        types=frozenset(["ValueSet"]),
        parameters=frozenset(
            [
                *SAID,
                "url",
                "valueSet",
                "valueSetVersion",
                "context",
                "contextDirection",
                "includeDefinition",
                "excludeNested",
                "excludePostCoordinated",
            ]
        ),
        perform=expand,
        bodies=frozenset(["ValueSet"]),
    ),
)
