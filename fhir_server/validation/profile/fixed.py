"""fixed — fixed[x], pattern[x], minValue[x], maxValue[x] and maxLength.

https://hl7.org/fhir/R4/elementdefinition-definitions.html#ElementDefinition.fixed_x_
https://hl7.org/fhir/R4/elementdefinition-definitions.html#ElementDefinition.pattern_x_
https://hl7.org/fhir/R4/elementdefinition-definitions.html#ElementDefinition.minValue_x_
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import orjson

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.primitive import interval
from fhir_server.validation.messages import issue
from fhir_server.validation.profile.scope import Box, Leaf, Scope
from fhir_server.validation.profile.tree import Node, Typed

Test = Callable[[Any], bool]
UCUM = "http://unitsofmeasure.org"
TEMPORAL = {"Date", "DateTime", "Instant"}
QUANTITIES = {"Quantity", "Age", "Count", "Distance", "Duration", "SimpleQuantity", "Money"}


def values(node: Node, profile: str) -> list[Leaf]:
    """What an element's definition says of the value itself."""
    found: list[Leaf] = []
    if node.fixed:
        found.append(_told("fixed", is_fixed(node.fixed.value), node.fixed.value, profile))
    if node.pattern:
        found.append(_told("pattern", fits(node.pattern.value), node.pattern.value, profile))
    if node.min_value:
        test = _limit(node.min_value, is_least=True)
        found.append(_told("min-value", test, node.min_value.value, profile))
    if node.max_value:
        test = _limit(node.max_value, is_least=False)
        found.append(_told("max-value", test, node.max_value.value, profile))
    if node.max_length is not None:
        found.append(_told("max-length", _short(node.max_length), node.max_length, profile))
    if node.alternatives:
        found.append(_alternatives(node.alternatives, profile))
    return found


def _alternatives(urls: tuple[str, ...], profile: str) -> Leaf:
    """A primitive that has a value, or one of the extensions that may stand for it."""

    def holds(value: Any, _scope: Scope) -> bool:
        if value.__class__ is not Box or "value" in value:
            return True
        return any(each.get("url") in urls for each in value.get("extension", ()))

    def tell(value: Any, scope: Scope, path: str) -> Iterator[Issue]:
        if not holds(value, scope):
            yield issue("value-missing", path, profile=profile, urls=list(urls))

    return Leaf(holds, tell, whole=True)


def _told(key: str, test: Test, wanted: Any, profile: str) -> Leaf:
    effort = effort_of(wanted) if key == "pattern" else None

    def holds(value: Any, scope: Scope) -> bool:
        if effort is not None:
            scope.spend(effort(value))
        return test(value)

    def tell(value: Any, _scope: Scope, path: str) -> Iterator[Issue]:
        if test(value):
            return
        said = {"wanted": written(wanted), "found": written(value)}
        if key == "max-length":
            said["length"] = str(len(value))
        variant = f"{key}.missing" if value is None else key
        yield issue(variant, path, profile=profile, **said)

    return Leaf(_equals(wanted) if key == "fixed" and isinstance(wanted, str) else holds, tell)


def _equals(wanted: str) -> Callable[[Any, Scope], bool]:
    return lambda value, _scope: bool(value == wanted)


def written(value: Any) -> str:
    """A value as a message shows it: a scalar as it is, an object as short JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | Decimal) or value is None:
        return orjson.dumps(value, default=str).decode().strip('"')
    return orjson.dumps(value, default=_decimal).decode()


def _decimal(value: Any) -> orjson.Fragment:
    return orjson.Fragment(str(value))


# --- fixed and pattern ----------------------------------------------------------------------------


def is_fixed(wanted: Any) -> Test:
    """R4: exactly this, nothing more and nothing less."""
    if wanted.__class__ is bool:
        return lambda value: value is wanted
    return lambda value: bool(value == wanted)


def fits(wanted: Any) -> Test:
    """R4: at least this. Of an array every item of the pattern is among those of the value."""
    if isinstance(wanted, dict):
        return _has_all(wanted)
    if isinstance(wanted, list):
        return _has_each([fits(part) for part in wanted])
    return is_fixed(wanted)


def _has_all(wanted: dict[str, Any]) -> Test:
    texts = [(name, part) for name, part in wanted.items() if isinstance(part, str)]
    parts = [(name, fits(part)) for name, part in wanted.items() if not isinstance(part, str)]

    def has_all(value: Any) -> bool:
        if not isinstance(value, dict):
            return False
        for name, text in texts:
            if value.get(name) != text:
                return False
        for name, test in parts:  # noqa: SIM110 - a generator costs as much as two tests
            if name not in value or not test(value[name]):
                return False
        return True

    return has_all


def _has_each(tests: list[Test]) -> Test:
    first, others = tests[:1], tests[1:]

    def has_each(value: Any) -> bool:
        if not isinstance(value, list):
            return False
        for test in first:
            for each in value:
                if test(each):
                    break
            else:
                return False
        return not others or all(any(map(test, value)) for test in others)

    return has_each


def effort_of(wanted: Any) -> Callable[[Any], int] | None:
    """How much is compared where arrays are: each item of one with each of the other."""
    if isinstance(wanted, list):
        return lambda value: len(wanted) * len(value) if isinstance(value, list) else 0
    if not isinstance(wanted, dict):
        return None
    found = [(name, part) for name, value in wanted.items() if (part := effort_of(value))]
    if not found:
        return None

    def effort(value: Any) -> int:
        if not isinstance(value, dict):
            return 0
        return sum(part(value[name]) for name, part in found if name in value)

    return effort


# --- limits ---------------------------------------------------------------------------------------


def _short(most: int) -> Test:
    return lambda value: not isinstance(value, str) or len(value) <= most


def _limit(limit: Typed, *, is_least: bool) -> Test:
    """minValue and maxValue; what cannot be compared (other units) is not refused."""
    if limit.type in TEMPORAL:
        return _date_limit(limit.value, is_least=is_least)
    if limit.type in QUANTITIES:
        return _quantity_limit(limit.value, is_least=is_least)
    bound = limit.value

    def within(value: Any) -> bool:
        if isinstance(value, bool) or isinstance(value, str) != isinstance(bound, str):
            return True
        if not isinstance(value, int | Decimal | str):
            return True
        return bool(value >= bound) if is_least else bool(value <= bound)

    return within


def _date_limit(text: str, *, is_least: bool) -> Test:
    """A date that could be within the limit, as far as it is known, is."""
    low, high = interval(text)

    def within(value: Any) -> bool:
        if not isinstance(value, str):
            return True
        try:
            first, after = interval(value)
        except ValueError:
            return True
        return after > low if is_least else first < high

    return within


def _quantity_limit(limit: dict[str, Any], *, is_least: bool) -> Test:
    bound = limit.get("value")

    def within(value: Any) -> bool:
        if not isinstance(value, dict) or bound is None:
            return True
        number = value.get("value")
        if not isinstance(number, int | Decimal) or _unit(value) != _unit(limit):
            return True
        return bool(number >= bound) if is_least else bool(number <= bound)

    return within


def _unit(quantity: dict[str, Any]) -> tuple[Any, Any]:
    """What two quantities must have in common for their numbers to be compared."""
    if code := quantity.get("code") or quantity.get("currency"):
        return quantity.get("system") or UCUM, code
    return None, quantity.get("unit")
