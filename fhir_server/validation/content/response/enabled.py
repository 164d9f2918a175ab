"""enabled — whether an item's condition holds where it stands in a response.

https://hl7.org/fhir/R4/questionnaire-definitions.html#Questionnaire.item.enableWhen
https://hl7.org/fhir/R4/valueset-questionnaire-enable-operator.html
"""

from __future__ import annotations

import operator
from bisect import bisect_left
from collections.abc import Callable
from typing import Any

from fhir_server.foundation.fhirpath.evaluate import compile
from fhir_server.foundation.fhirpath.scope import boolean
from fhir_server.foundation.outcome import Invalid
from fhir_server.foundation.resource import Resource
from fhir_server.validation.content.questionnaire.kinds import value_of
from fhir_server.validation.content.response.asked import SDC, Asked, extension
from fhir_server.validation.content.response.compare import compared, same

EXPRESSION = SDC + "enableWhenExpression"
MAX_DEPTH = 100
STEPS_OF_EXPRESSION = 20  # that is asked, whatever it takes
ORDER: dict[str, Callable[[int, int], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


class Node:
    """An item of the response: its place in the order of the document, and where it ends."""

    __slots__ = ("end", "item", "link_id", "outer", "start")

    def __init__(self, item: Resource, outer: Node | None, start: int) -> None:
        self.item = item
        self.outer = outer
        self.start = self.end = start
        self.link_id = item.get("linkId")


def _start(node: Node) -> int:
    return node.start


class Order:
    """All items of a response in the order they stand in."""

    def __init__(self, response: Resource) -> None:
        self.nodes: list[Node] = []
        self.named: dict[object, list[Node]] = {}
        self.of_item: dict[int, Node] = {}  # by id() of the item, which lives as long as this
        self._learn(response, None, 0)

    def _learn(self, holder: Resource, outer: Node | None, depth: int) -> None:
        if depth > MAX_DEPTH:
            return
        for item in holder.get("item") or ():
            node = Node(item, outer, len(self.nodes))
            self.nodes.append(node)
            self.named.setdefault(node.link_id, []).append(node)
            self.of_item[id(item)] = node
            self._learn(item, node, depth + 1)
            for answer in item.get("answer") or ():
                self._learn(answer, node, depth + 1)
            node.end = len(self.nodes)

    def nearest(self, link_id: object, at: int, outer: Node | None, end: int) -> Resource | None:
        """R4: the nearest by the ancestor axis, then the preceding, then the following.

        at, end: where the asking item begins and ends; both the same for one that is not there.
        """
        above = outer
        while above is not None:
            if above.link_id == link_id:
                return above.item
            above = above.outer
        named = self.named.get(link_id, [])
        before = bisect_left(named, at, key=_start)
        if before:
            return named[before - 1].item
        after = bisect_left(named, end, key=_start)
        return named[after].item if after < len(named) else None


def is_enabled(
    asked: Asked, item: Resource, order: Order, at: int, outer: Node | None, end: int
) -> bool | None:
    """Whether an item of the questionnaire is enabled at a place; None where it cannot be told."""
    written = extension(item, EXPRESSION)
    if isinstance(written, dict):
        return _by_expression(asked, written, outer)
    conditions = item.get("enableWhen") or ()
    if not conditions:
        return True
    told = []
    for condition in conditions:
        nearest = order.nearest(condition.get("question"), at, outer, end)
        asked.spend(3 + len((nearest or {}).get("answer") or ()))
        told.append(_holds(condition, nearest))
    return all(told) if item.get("enableBehavior") == "all" else any(told)


def _by_expression(asked: Asked, written: Resource, outer: Node | None) -> bool | None:
    expression = written.get("expression")
    if written.get("language") != "text/fhirpath" or not isinstance(expression, str):
        return None
    variables = {"resource": asked.response, "questionnaire": asked.questionnaire}
    if outer is not None:
        variables["context"] = outer.item
    try:
        compiled = compile(expression, asked.question.definitions)
        asked.spend(STEPS_OF_EXPRESSION)
        meter = asked.question.meter
        found = compiled.evaluate(asked.response, variables=variables, meter=meter)
        return boolean(found) is True
    except Invalid:
        return None  # it asks for what is not at hand, a variable of the form's own


def _holds(condition: Resource, item: Resource | None) -> bool:
    """R4 questionnaire-enable-operator: at least one answer is so; for `!=`, none is equal."""
    values = [
        found[1] for answer in (item or {}).get("answer") or () if (found := value_of(answer))
    ]
    wanted = value_of(condition, "answer")
    if wanted is None:
        return False
    match condition.get("operator"):
        case "exists":
            return bool(values) == wanted[1]
        case "=":
            return any(same(value, wanted[1]) for value in values)
        case "!=":
            return not any(same(value, wanted[1]) for value in values)
        case other:
            return any(_ordered(str(other), value, wanted[1]) for value in values)


def _ordered(name: str, value: Any, wanted: Any) -> bool:
    found = compared(value, wanted)
    return found is not None and name in ORDER and ORDER[name](found, 0)
