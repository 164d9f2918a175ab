"""bounds — how long, how large, how exact an answer may be, and in which unit.

https://hl7.org/fhir/R4/questionnaire-definitions.html#Questionnaire.item.maxLength
https://hl7.org/fhir/R4/extension-minvalue.html
https://hl7.org/fhir/R4/extension-questionnaire-unitoption.html
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from fhir_server.foundation.fhirpath.patterns import tries
from fhir_server.foundation.fhirpath.texts import TRIES_A_STEP, matches_full
from fhir_server.foundation.outcome import Invalid, Issue
from fhir_server.foundation.resource import Resource, literal
from fhir_server.terminology.terms import Standing
from fhir_server.validation.content.response.asked import (
    CORE,
    SDC,
    Asked,
    extension,
    extensions,
    whole,
)
from fhir_server.validation.content.response.compare import compared

LENGTHS = frozenset({"String", "Uri"})
LEAST = (CORE + "minValue", SDC + "minQuantity")
MOST = (CORE + "maxValue", SDC + "maxQuantity")


def bounds(asked: Asked, item: Resource, type: str, value: Any, at: str) -> Iterator[Issue]:
    """The issues of one value; until the response is complete, they are warnings."""
    asked.spend(5 + len(item.get("extension") or ()))
    if type in LENGTHS:
        yield from _text(asked, item, value, at)
    elif type in ("Decimal", "Integer"):
        yield from _digits(asked, item, value, at)
    elif type == "Quantity":
        yield from _unit(asked, item, value, at)
    elif type == "Reference":
        yield from _reference(asked, item, value, at)
    elif type == "Attachment":
        yield from _attachment(asked, item, value, at)
    yield from _range(asked, item, value, at)


def _text(asked: Asked, item: Resource, value: str, at: str) -> Iterator[Issue]:
    told: dict[str, Any] = {"link_id": item.get("linkId"), "count": len(value)}
    most, least = item.get("maxLength"), whole(item, CORE + "minLength")
    if isinstance(most, int) and len(value) > most:
        yield asked.issue("response-answer.longest", at, soft=True, most=most, **told)
    if least is not None and len(value) < least:
        yield asked.issue("response-answer.shortest", at, soft=True, least=least, **told)
    pattern = extension(item, CORE + "regex")
    if isinstance(pattern, str):
        try:
            asked.spend(tries(pattern, len(value)) // TRIES_A_STEP)
            matches = matches_full(value, pattern)
        except Invalid:
            return  # a pattern that cannot be tried says nothing
        if not matches:
            said: dict[str, Any] = {
                "link_id": item.get("linkId"),
                "value": value,
                "pattern": pattern,
            }
            yield asked.issue("response-answer.pattern", at, soft=True, **said)


def _digits(asked: Asked, item: Resource, value: Any, at: str) -> Iterator[Issue]:
    most, length = whole(item, CORE + "maxDecimalPlaces"), item.get("maxLength")
    link_id = item.get("linkId")
    if most is not None and isinstance(value, Decimal):
        exponent = value.as_tuple().exponent
        if isinstance(exponent, int) and -exponent > most:
            said: dict[str, Any] = {"link_id": link_id, "value": value, "most": most}
            yield asked.issue("response-answer.decimals", at, soft=True, **said)
    if isinstance(length, int) and len(str(value)) > length:
        told: dict[str, Any] = {"link_id": link_id, "count": len(str(value)), "most": length}
        yield asked.issue("response-answer.longest", at, soft=True, **told)


def _range(asked: Asked, item: Resource, value: Any, at: str) -> Iterator[Issue]:
    for urls, side, key in ((LEAST, -1, "least"), (MOST, 1, "most")):
        for url in urls:
            bound = extension(item, url)
            if bound is None:
                continue
            told: dict[str, Any] = {"link_id": item.get("linkId"), "value": _told(value)}
            found = compared(value, bound)
            if found is None:
                said = told | {"bound": _told(bound)}
                yield asked.issue("response-answer.incomparable", at, soft=True, **said)
            elif found == side:
                said = told | {key: _told(bound)}
                yield asked.issue(f"response-answer.{key}", at, soft=True, **said)


def _told(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    unit = value.get("code") or value.get("unit") or ""
    return f"{value.get('value', '')} {unit}".strip()


def _unit(asked: Asked, item: Resource, value: Resource, at: str) -> Iterator[Issue]:
    """R4: unitOption or unitValueSet; in the absence of either, any unit is valid."""
    own = (value.get("system"), value.get("code"))
    options = [
        one for one in extensions(item, CORE + "questionnaire-unitOption") if isinstance(one, dict)
    ]
    if options and own not in [(one.get("system"), one.get("code")) for one in options]:
        units = [str(one.get("code") or one.get("display")) for one in options]
        told: dict[str, Any] = {
            "link_id": item.get("linkId"),
            "value": _told(value),
            "units": units,
        }
        yield asked.issue("response-answer.unit", at, soft=True, **told)
    canonical = extension(item, CORE + "questionnaire-unitValueSet")
    terms = asked.question.terms
    if not isinstance(canonical, str) or terms is None:
        return
    value_set: Any = asked.contained.get(canonical[1:]) if canonical[:1] == "#" else canonical
    if value_set is None:
        return
    code, system = value.get("code"), value.get("system")
    if isinstance(code, str):
        verdict = terms.standing(value_set, code, system, at=asked.question.today)
        if verdict.standing is not Standing.NOT_MEMBER:
            return
    told = {"link_id": item.get("linkId"), "value": _told(value), "url": canonical}
    yield asked.issue("response-answer.unit-value-set", at, soft=True, **told)


def _reference(asked: Asked, item: Resource, value: Resource, at: str) -> Iterator[Issue]:
    wanted = extensions(item, CORE + "questionnaire-referenceResource")
    if not wanted:
        return
    type, text = value.get("type"), value.get("reference")
    if isinstance(text, str) and text.startswith("#"):
        type = asked.contained.get(text[1:], {}).get("resourceType")
    elif isinstance(text, str) and (found := literal(text.partition("#")[0])):
        type = found.key.type
    if isinstance(type, str) and type not in wanted:
        told: dict[str, Any] = {
            "link_id": item.get("linkId"),
            "value": text or type,
            "type": type,
            "wanted": wanted,
        }
        yield asked.issue("response-answer.reference", at, soft=True, **told)


def _attachment(asked: Asked, item: Resource, value: Resource, at: str) -> Iterator[Issue]:
    link_id, most = item.get("linkId"), extension(item, CORE + "maxSize")
    size = value.get("size")
    if size is None and isinstance(value.get("data"), str):
        size = len("".join(value["data"].split())) * 3 // 4
    if isinstance(most, int | Decimal) and isinstance(size, int) and size > most:
        told: dict[str, Any] = {"link_id": link_id, "count": size, "most": most}
        yield asked.issue("response-answer.attachment-size", at, soft=True, **told)
    allowed, type = extensions(item, CORE + "mimeType"), value.get("contentType")
    if allowed and isinstance(type, str) and type.partition(";")[0].strip() not in allowed:
        told = {"link_id": link_id, "type": type, "wanted": allowed}
        yield asked.issue("response-answer.attachment-type", at, soft=True, **told)
