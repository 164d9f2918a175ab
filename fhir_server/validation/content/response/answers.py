"""answers — whether the answers to one question are of its type, its options and its bounds.

https://hl7.org/fhir/R4/questionnaire-definitions.html#Questionnaire.item.answerOption
https://hl7.org/fhir/R4/questionnaire-definitions.html#Questionnaire.item.answerValueSet
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Resource
from fhir_server.terminology.terms import Standing, Verdict
from fhir_server.validation.content.questionnaire.kinds import (
    CHOICES,
    OPTIONS,
    answers_of,
    value_of,
)
from fhir_server.validation.content.response.asked import CORE, Asked, extension
from fhir_server.validation.content.response.bounds import bounds
from fhir_server.validation.content.response.compare import key

Options = dict[tuple[object, ...], Any]  # by what they are known by
STEPS_OF_ANSWER = 20  # that terminology is asked for
EXCLUSIVE = CORE + "questionnaire-optionExclusive"


def answers(asked: Asked, item: Resource, given: list[Resource], place: str) -> Iterator[Issue]:
    """The issues of the values given to one question."""
    offered = item.get("answerOption") or ()
    asked.spend(3 * (len(offered) + len(given)))
    options = {key(found[1]): found[1] for one in offered if (found := value_of(one))}
    for index, answer in enumerate(given):
        found = value_of(answer)
        if found is None:
            continue
        type, value = found
        at = f"{place}.answer[{index}].value{type}"
        wrong = _type(asked, item, type, at)
        if wrong:
            yield wrong
            continue
        yield from _chosen(asked, item, options, found, at)
        yield from bounds(asked, item, type, value, at)
    yield from _exclusive(asked, item, given, place)


def _type(asked: Asked, item: Resource, type: str, at: str) -> Issue | None:
    allowed = answers_of(item)
    if type in allowed:
        return None
    told: dict[str, Any] = {"link_id": item.get("linkId"), "found": f"value{type}"}
    offers = item.get("answerOption") or item.get("answerValueSet")
    if item.get("type") in CHOICES and not offers and type in OPTIONS:
        return asked.issue("response-answer.no-options", at, **told)
    wanted = [f"value{one}" for one in allowed]
    return asked.issue("response-answer.type", at, type=item.get("type"), wanted=wanted, **told)


def _chosen(
    asked: Asked, item: Resource, options: Options, found: tuple[str, Any], at: str
) -> Iterator[Issue]:
    """R4: an option or a code of the value set; a string of one's own where the choice is open."""
    type, value = found
    if type == "String" and item.get("type") == "open-choice":
        return
    if options and key(value) not in options:
        asked.spend(len(options))
        yield asked.issue(
            "response-answer.option", at, soft=True, link_id=item.get("linkId"),
            value=shown(value), options=[shown(option) for option in options.values()],
        )  # fmt: skip
    canonical = item.get("answerValueSet")
    if isinstance(canonical, str) and type in ("Coding", "String"):
        yield from _in_value_set(asked, item, canonical, value, at)


def _in_value_set(
    asked: Asked, item: Resource, canonical: str, value: Any, at: str
) -> Iterator[Issue]:
    verdict = standing(asked, canonical, value)
    if verdict is None:
        return
    told: dict[str, Any] = {"link_id": item.get("linkId"), "value": shown(value), "url": canonical}
    match verdict.standing:
        case Standing.NOT_MEMBER:
            yield asked.issue("response-answer.value-set", at, soft=True, **told)
        case Standing.THEN:
            yield asked.issue("response-answer.then", at, **told)
        case Standing.MEMBER if verdict.wrong_display is not None:
            wanted = verdict.concept.display if verdict.concept else None
            yield asked.issue(
                "response-answer.display", f"{at}.display" if isinstance(value, dict) else at,
                display=verdict.wrong_display, code=shown(value), wanted=wanted,
            )  # fmt: skip


def standing(asked: Asked, canonical: str, value: Any) -> Verdict | None:
    """What terminology says of a Coding, or of a text as a code; None where it is not there."""
    terms = asked.question.terms
    value_set: Any = asked.contained.get(canonical[1:]) if canonical[:1] == "#" else canonical
    if terms is None or value_set is None:
        return None
    asked.spend(STEPS_OF_ANSWER + 10 * listed(value_set))
    if isinstance(value, str):
        return terms.standing(value_set, value, at=asked.question.today)
    code, system, display = (value.get(name) for name in ("code", "system", "display"))
    if not isinstance(code, str):
        return Verdict(Standing.NOT_MEMBER)
    return terms.standing(
        value_set, code, system, value.get("version"), display, at=asked.question.today
    )


def listed(value_set: Any) -> int:
    """How many codes and includes there are in a value set that is at hand, and read each time."""
    compose = value_set.get("compose") if isinstance(value_set, dict) else None
    if not isinstance(compose, dict):
        return 0
    parts = [*(compose.get("include") or ()), *(compose.get("exclude") or ())]
    return len(parts) + sum(len(part.get("concept") or ()) for part in parts)


def _exclusive(asked: Asked, item: Resource, given: list[Resource], place: str) -> Iterator[Issue]:
    """The extension optionExclusive: chosen alone, or not at all."""
    values = {key(found[1]) for answer in given if (found := value_of(answer))}
    if len(values) < 2:
        return
    for option in item.get("answerOption") or ():
        found = value_of(option)
        if found is None or extension(option, EXCLUSIVE) is not True:
            continue
        if key(found[1]) in values:
            yield asked.issue(
                "response-answer.exclusive", f"{place}.answer", soft=True,
                link_id=item.get("linkId"), value=shown(found[1]),
            )  # fmt: skip


def shown(value: Any) -> str:
    """A value as a reader knows it: `system|code`, `10 km`, `Patient/7`, the text itself."""
    if not isinstance(value, dict):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if "reference" in value:
        return str(value["reference"])
    if "value" in value:
        return f"{value['value']} {value.get('code') or value.get('unit') or ''}".strip()
    if "code" in value:
        return f"{value['system']}|{value['code']}" if "system" in value else str(value["code"])
    return str(value.get("display") or value.get("url") or "")
