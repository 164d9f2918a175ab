"""validate_code — whether a code is one of a code system, or in a value set, on a day.

https://hl7.org/fhir/R4/codesystem-operation-validate-code.html
https://hl7.org/fhir/R4/valueset-operation-validate-code.html
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace

from fhir_server.foundation.outcome import Invalid, NotFound, Unprocessable
from fhir_server.foundation.resource import Resource
from fhir_server.interaction.context import Answer, Circumstances, Server
from fhir_server.operation.call import Call, Given, Operation
from fhir_server.operation.coded import (
    Coded,
    boolean,
    canonical,
    codes,
    day,
    definition,
    flag,
    knowing,
    named,
    refuse,
    string,
)
from fhir_server.operation.parameters import answer, parameters
from fhir_server.terminology.element import text
from fhir_server.terminology.terms import Standing, Terms, Verdict


@dataclass(frozen=True, slots=True)
class Judged:
    """What is answered of one code."""

    result: bool
    message: str | None = None
    display: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What holds for all the codes of one request."""

    terms: Terms
    at: dt.date
    abstract: bool
    language: str | None


# --- of a value set ------------------------------------------------------------------------------


async def of_value_set(server: Server, call: Call, circumstances: Circumstances) -> Answer:
    """Raises Invalid; NotFound for an unknown value set; Unprocessable where it cannot be told."""
    refuse(call, ("context",))
    given = await definition(server, call, circumstances, "valueSet")
    value_set = given or canonical(call, "valueSetVersion", needed="`url` or `valueSet`")
    asked = what(server.knowledge.current.terms, call)
    if asked.terms.value_sets.get(value_set) is None:
        raise NotFound(f"The value set `{value_set}` is not known here.", expression="http.url")
    coded = codes(call, version="systemVersion")
    if call.all("code") and coded[0].system is None:
        raise Invalid("The code's `system` is needed.", expression="http.system")
    return told([in_value_set(asked, value_set, each) for each in coded])


def in_value_set(asked: Asked, value_set: str | Resource, coded: Coded) -> Judged | Unprocessable:
    verdict = asked.terms.standing(
        value_set, coded.code, coded.system, coded.version, coded.display, asked.at
    )
    match verdict.standing:
        case Standing.UNKNOWN:
            return Unprocessable(
                f"Whether `{coded.code}` is in the value set cannot be told: `{verdict.missing}` is"
                " not known here, or not whole."
            )
        case Standing.NOT_MEMBER:
            of = f" of `{coded.system}`" if coded.system else ""
            return Judged(
                result=False, message=f"The code `{coded.code}`{of} is not in the value set."
            )
    return judged(asked, verdict, coded)


def judged(asked: Asked, verdict: Verdict, coded: Coded) -> Judged:
    """A code that is there: whether its time, its display and its kind are as they should be."""
    concept = verdict.concept
    display = concept.in_language(asked.language) if concept else None
    if verdict.standing is Standing.THEN:
        return Judged(result=False, message=then(coded, verdict, asked), display=display)
    if concept is not None and concept.abstract and not asked.abstract:
        message = f"`{coded.code}` only groups other codes, and is not to be used itself."
        return Judged(result=False, message=message, display=display)
    if verdict.wrong_display:
        right = f" It is `{display}`." if display else ""
        message = f"`{verdict.wrong_display}` is not a display of `{coded.code}`.{right}"
        return Judged(result=False, message=message, display=display)
    hint = f"`{coded.code}` is no longer in use." if concept and concept.inactive else None
    return Judged(result=True, message=hint, display=display)


def then(coded: Coded, verdict: Verdict, asked: Asked) -> str:
    """When a code that is not in force was, or will be, and what takes its place."""
    concept = verdict.concept
    said = f"The code `{coded.code}` is not in force on {asked.at.isoformat()}"
    since = concept.since if concept is not None else None
    until = concept.until if concept is not None else None
    if concept is not None and concept.in_force(asked.at) and concept.version:
        system = asked.terms.systems.version(concept.system, concept.version, asked.at)
        since, until = (system.since, system.until) if system is not None else (None, None)
        said += f"; it {'is' if until is None else 'was'} of version `{concept.version}`"
    if since is not None and asked.at < since:
        said += f", from {since.isoformat()}"
    elif until is not None:
        said += f", until {(until - dt.timedelta(days=1)).isoformat()}"
    if verdict.successors:
        said += f". In its place there is {', '.join(named(each) for each in verdict.successors)}"
    return said + "."


# --- of a code system ----------------------------------------------------------------------------


async def of_code_system(server: Server, call: Call, circumstances: Circumstances) -> Answer:
    """Raises Invalid; NotFound for an unknown system; Unprocessable where it cannot be told."""
    given = await definition(server, call, circumstances, "codeSystem")
    asked = what(server.knowledge.current.terms, call)
    asked = replace(asked, terms=knowing(asked.terms, given))
    url, version = call.text_of("url"), call.text_of("version")
    if given is not None:
        url, version = text(given.get("url")), text(given.get("version"))
    coded = codes(call)
    if url is None and call.all("coding"):
        url = coded[0].system
    if url is None:
        raise Invalid("Give `url` or `codeSystem`.", expression="http.url")
    if not asked.terms.is_known(url):
        raise NotFound(
            f"The code system `{url}` is not known here, or not with its concepts.",
            expression="http.url",
        )
    return told([in_system(asked, url, version, each) for each in coded])


def in_system(asked: Asked, url: str, version: str | None, coded: Coded) -> Judged | Unprocessable:
    if coded.system not in (None, url):
        message = f"The code `{coded.code}` is of `{coded.system}`, not of `{url}`."
        return Judged(result=False, message=message)
    every = {"resourceType": "ValueSet", "compose": {"include": [{"system": url}]}}
    verdict = asked.terms.standing(
        every, coded.code, url, version or coded.version, coded.display, asked.at
    )
    match verdict.standing:
        case Standing.UNKNOWN:
            return Unprocessable(
                f"Whether `{coded.code}` is a code of `{verdict.missing or url}` cannot be told:"
                " that version is not known here, or not whole."
            )
        case Standing.NOT_MEMBER:
            return Judged(
                result=False, message=f"The code system `{url}` has no code `{coded.code}`."
            )
    return judged(asked, verdict, coded)


# --- of both -------------------------------------------------------------------------------------


def what(terms: Terms, call: Call) -> Asked:
    return Asked(
        terms,
        day(call) or terms.today(),
        flag(call, "abstract") is not False,
        call.text_of("displayLanguage"),
    )


def told(found: list[Judged | Unprocessable]) -> Answer:
    """R4: a CodeableConcept is valid where one of its codings is. The first that is tells."""
    judged = [each for each in found if isinstance(each, Judged)]
    good = next((each for each in judged if each.result), None)
    if good is None:
        for each in found:
            if isinstance(each, Unprocessable):
                raise each
    best = good or judged[0]
    messages = [best.message] if good else [each.message for each in judged]
    said: list[Given] = [boolean("result", best.result)]
    if message := " ".join(each for each in messages if each):
        said.append(string("message", message))
    if best.display:
        said.append(string("display", best.display))
    return answer(parameters(said))


PARAMETERS = frozenset(  # of both
    [
        "url",
        "code",
        "display",
        "coding",
        "codeableConcept",
        "date",
        "abstract",
        "displayLanguage",
    ]
)
OPERATIONS = (
    Operation(
        name="validate-code",
        definition="http://hl7.org/fhir/OperationDefinition/CodeSystem-validate-code",
        levels=frozenset(["type", "instance"]),
        types=frozenset(["CodeSystem"]),
        parameters=PARAMETERS | {"codeSystem", "version"},
        perform=of_code_system,
        bodies=frozenset(["CodeSystem"]),
    ),
    Operation(
        name="validate-code",
        definition="http://hl7.org/fhir/OperationDefinition/ValueSet-validate-code",
        levels=frozenset(["type", "instance"]),
        types=frozenset(["ValueSet"]),
        parameters=PARAMETERS
        | {"context", "valueSet", "valueSetVersion", "system", "systemVersion"},
        perform=of_value_set,
        bodies=frozenset(["ValueSet"]),
    ),
)
