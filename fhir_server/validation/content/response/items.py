"""items — a response's items beside those of its questionnaire: place, order, number.

https://hl7.org/fhir/R4/questionnaireresponse.html#link
https://hl7.org/fhir/R4/questionnaire-definitions.html#Questionnaire.item
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Resource
from fhir_server.validation.content.questionnaire.kinds import value_of
from fhir_server.validation.content.response.answers import answers
from fhir_server.validation.content.response.asked import CORE, Asked, whole
from fhir_server.validation.content.response.enabled import MAX_DEPTH, Node, Order, is_enabled

WITHOUT_ANSWERS = frozenset({"group", "display"})
Placed = list[tuple[Resource, str]]  # items of the response with their paths


class Where(NamedTuple):
    """What encloses a level: an item of the response, and whether it is enabled."""

    outer: Node | None = None
    enabled: bool | None = True


class Filling:
    """One response being checked."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.order = Order(asked.response)

    def all(self, path: str) -> Iterator[Issue]:
        yield from self._level(self.asked.questionnaire, self.asked.response, path, Where())

    def _level(
        self, wanted: Resource, holder: Resource, path: str, where: Where
    ) -> Iterator[Issue]:
        """The items of a group, an answer or the response, against those the form has there."""
        asked: list[Resource] = wanted.get("item") or []
        self.asked.spend(3 * (len(asked) + len(holder.get("item") or ())))
        places = {item.get("linkId"): index for index, item in enumerate(asked)}
        found: dict[object, Placed] = {}
        last, last_id = -1, None
        for index, item in enumerate(holder.get("item") or ()):
            place, link_id = f"{path}.item[{index}]", item.get("linkId")
            at = places.get(link_id)
            if at is None:
                yield self._stranger(item, f"{place}.linkId")
                continue
            if at < last:
                yield self.asked.issue(
                    "response-item.order", place, link_id=link_id, before=last_id
                )
            else:
                last, last_id = at, link_id
            found.setdefault(link_id, []).append((item, place))
        here = [found.get(item.get("linkId"), []) for item in asked]
        places_in_order = self._places(here, where.outer)
        for item, placed, at in zip(asked, here, places_in_order, strict=True):
            yield from self._item(item, placed, path, at, where)

    def _stranger(self, item: Resource, place: str) -> Issue:
        """An item that is not of this place: of another one, or of none."""
        link_id = item.get("linkId")
        if not isinstance(link_id, str) or link_id not in self.asked.form.items:
            return self.asked.issue("response-item.unknown", place, link_id=link_id)
        parent = self.asked.form.parents[link_id]
        where = f"within `{parent}`" if parent else "at the top"
        where_vi = f"bên trong `{parent}`" if parent else "ở cấp ngoài cùng"
        return self.asked.issue(
            "response-item.misplaced", place, link_id=link_id, where=where, where_vi=where_vi
        )

    def _places(self, here: list[Placed], outer: Node | None) -> list[int]:
        """Where each item stands in the order of the response, or would stand: before the next."""
        at = outer.end if outer else len(self.order.nodes)
        found = []
        for placed in reversed(here):
            node = self.order.of_item.get(id(placed[0][0])) if placed else None
            at = node.start if node else at
            found.append(at)
        return found[::-1]

    def _item(
        self, item: Resource, here: Placed, path: str, at: int, where: Where
    ) -> Iterator[Issue]:
        """One item of the form, and what answers it at this place."""
        outer, enabled = where
        if not here:
            expected = enabled and self.asked.complete
            if expected and is_enabled(self.asked, item, self.order, at, outer, at):
                yield from self._missing(item, path)
            return
        if len(here) > 1 and not (item.get("repeats") is True and item.get("type") == "group"):
            yield self.asked.issue("response-item.repeated", here[1][1], link_id=item.get("linkId"))
        told = enabled
        for one, place in here:
            node = self.order.of_item.get(id(one))
            if node is None:
                return  # deeper than any form
            if enabled:
                told = is_enabled(self.asked, item, self.order, node.start, outer, node.end)
            if told is False and _is_answered(one):
                said: dict[str, Any] = {"link_id": item.get("linkId")}
                yield self.asked.issue("response-disabled", place, soft=True, **said)
            yield from self._one(item, one, place, Where(node, told))
        if item.get("type") == "group" and told:
            yield from self._count(item, len(here), path)

    def _missing(self, item: Resource, path: str) -> Iterator[Issue]:
        link_id, type = item.get("linkId"), item.get("type")
        if type == "display":
            return
        if item.get("required") is True:
            key = "response-required.group" if type == "group" else "response-required.answer"
            yield self.asked.issue(key, path, link_id=link_id, status=self.asked.status)
        else:
            yield from self._count(item, 0, path)

    def _one(self, item: Resource, one: Resource, place: str, where: Where) -> Iterator[Issue]:
        """One item of the response: what it holds."""
        given, type, link_id = one.get("answer") or [], item.get("type"), item.get("linkId")
        if type in WITHOUT_ANSWERS:
            if given:
                yield self.asked.issue(
                    "response-item.answer-in-group", f"{place}.answer", link_id=link_id, type=type
                )
            yield from self._level(item, one, place, where)
            if item.get("required") is True and not one.get("item") and where.enabled:
                yield from self._unanswered(item, place)
            return
        if one.get("item"):
            yield self.asked.issue("response-item.nesting", f"{place}.item", link_id=link_id)
        if where.enabled:
            yield from self._number(item, given, place)
        yield from answers(self.asked, item, given, place)
        for index, answer in enumerate(given):
            if "item" in answer or "item" in item:
                yield from self._level(item, answer, f"{place}.answer[{index}]", where)

    def _number(self, item: Resource, given: list[Resource], place: str) -> Iterator[Issue]:
        """How many answers a question has."""
        if len(given) > 1 and item.get("repeats") is not True:
            told: dict[str, Any] = {"link_id": item.get("linkId"), "count": len(given)}
            yield self.asked.issue("response-answers.one", f"{place}.answer", **told)
        if not any(value_of(answer) for answer in given) and item.get("required") is True:
            yield from self._unanswered(item, place)
        else:
            yield from self._count(item, len(given), place)

    def _unanswered(self, item: Resource, place: str) -> Iterator[Issue]:
        if self.asked.complete:
            key = "group" if item.get("type") == "group" else "answer"
            told: dict[str, Any] = {"link_id": item.get("linkId"), "status": self.asked.status}
            yield self.asked.issue(f"response-required.{key}", place, **told)

    def _count(self, item: Resource, count: int, place: str) -> Iterator[Issue]:
        """The extensions minOccurs and maxOccurs."""
        least = whole(item, CORE + "questionnaire-minOccurs")
        most = whole(item, CORE + "questionnaire-maxOccurs")
        told: dict[str, Any] = {"link_id": item.get("linkId"), "count": count}
        if least is not None and count < least and self.asked.complete:
            yield self.asked.issue("response-answers.least", place, least=least, **told)
        if most is not None and count > most:
            yield self.asked.issue("response-answers.most", place, most=most, **told)


def _is_answered(item: Resource, depth: int = 0) -> bool:
    """Whether an item or one within it has an answer."""
    if depth > MAX_DEPTH:
        return False
    if item.get("answer"):
        return True
    return any(_is_answered(inner, depth + 1) for inner in item.get("item") or ())
