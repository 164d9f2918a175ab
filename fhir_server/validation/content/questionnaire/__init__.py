"""questionnaire — whether a form can be filled in: its items, conditions and options agree.

https://hl7.org/fhir/R4/questionnaire.html

What R4 has as invariants (que-0 to que-13) is told by those.
"""

from __future__ import annotations

from collections.abc import Iterator

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Resource
from fhir_server.validation.content.question import Question
from fhir_server.validation.content.questionnaire.kinds import (
    ANSWERS,
    CHOICES,
    OPTIONS,
    ORDERED,
    TESTED,
    answers_of,
    value_of,
)
from fhir_server.validation.messages import issue

MAX_DEPTH = 50
COMPARING = frozenset({">", "<", ">=", "<="})


class Form:
    """A Questionnaire's items by their linkIds."""

    def __init__(self, questionnaire: Resource) -> None:
        self.items: dict[str, Resource] = {}
        self.parents: dict[str, str | None] = {}
        self._learn(questionnaire, None, 0)

    def _learn(self, holder: Resource, parent: str | None, depth: int) -> None:
        if depth > MAX_DEPTH:
            return
        for item in holder.get("item") or ():
            link_id = item.get("linkId")
            if isinstance(link_id, str) and link_id not in self.items:
                self.items[link_id] = item
                self.parents[link_id] = parent
            self._learn(item, link_id, depth + 1)

    def is_within(self, link_id: str, outer: str) -> bool:
        """Whether one item is somewhere beneath another."""
        at = self.parents.get(link_id)
        while at is not None and at != outer:
            at = self.parents.get(at)
        return at == outer


def questionnaire(resource: Resource, path: str, question: Question) -> list[Issue]:
    """The issues of a Questionnaire."""
    form = Form(resource)
    holder = question.container or resource
    contained = {one.get("id"): one for one in holder.get("contained") or ()}
    check = _Check(form, contained, question)
    return list(check.items(resource, path, 0))


class _Check:
    """One Questionnaire being checked."""

    def __init__(self, form: Form, contained: dict[object, Resource], question: Question) -> None:
        self.form = form
        self.contained = contained
        self.question = question

    def items(self, holder: Resource, path: str, depth: int) -> Iterator[Issue]:
        if depth > MAX_DEPTH:
            return
        for index, item in enumerate(holder.get("item") or ()):
            place = f"{path}.item[{index}]"
            yield from self._values(item, place)
            yield from self._value_set(item, place)
            yield from self._conditions(item, place)
            yield from self.items(item, place, depth + 1)

    def _values(self, item: Resource, path: str) -> Iterator[Issue]:
        """R4: the type of answerOption.value[x] and initial.value[x] must agree with item.type."""
        type = item.get("type")
        own = ANSWERS.get(type, ()) if isinstance(type, str) else ()
        if not own:
            return  # que-5 and que-8 tell of groups and displays
        allowed = OPTIONS if type in CHOICES else own
        for name in ("answerOption", "initial"):
            for index, one in enumerate(item.get(name) or ()):
                found = value_of(one)
                if found and found[0] not in allowed:
                    place = f"{path}.{name}[{index}]"
                    yield issue("questionnaire-value", place, type=type, found=f"value{found[0]}",
                                wanted=[f"value{one}" for one in allowed])  # fmt: skip

    def _value_set(self, item: Resource, path: str) -> Iterator[Issue]:
        canonical = item.get("answerValueSet")
        if not isinstance(canonical, str):
            return
        place = f"{path}.answerValueSet"
        if canonical.startswith("#"):
            found = self.contained.get(canonical[1:])
            if found is None or found.get("resourceType") != "ValueSet":
                yield issue("questionnaire-value-set.contained", place, url=canonical)
            return
        known = self.question.canonicals
        if self.question.thorough and known and known.entry(canonical, "ValueSet") is None:
            yield issue("questionnaire-value-set.unknown", place, url=canonical)

    def _conditions(self, item: Resource, path: str) -> Iterator[Issue]:
        conditions = item.get("enableWhen") or ()
        if len(conditions) == 2 and "enableBehavior" not in item:
            # R4's words are "more than one"; the expression of que-12 lets two pass.
            yield issue("que-12", path)
        for index, condition in enumerate(conditions):
            yield from self._condition(item, condition, f"{path}.enableWhen[{index}]")

    def _condition(self, item: Resource, condition: Resource, path: str) -> Iterator[Issue]:
        """R4: the question is found along the ancestor, the preceding and the following axis."""
        link_id, own = condition.get("question"), item.get("linkId")
        if not isinstance(link_id, str) or not isinstance(own, str):
            return
        place = f"{path}.question"
        asked = self.form.items.get(link_id)
        if asked is None:
            yield issue("enable-when.unknown", place, link_id=link_id)
        elif link_id == own:
            yield issue("enable-when.itself", place, link_id=link_id)
        elif self.form.is_within(link_id, own):
            yield issue("enable-when.within", place, link_id=link_id)
        elif not answers_of(asked):
            yield issue("enable-when.no-question", place, link_id=link_id, type=asked.get("type"))
        else:
            yield from _test(condition, asked, path)


def _test(condition: Resource, asked: Resource, path: str) -> Iterator[Issue]:
    """Whether the answer tested for can be one of the question's."""
    operator, type = condition.get("operator"), str(asked.get("type"))
    answer = value_of(condition, "answer")
    if operator == "exists" or answer is None:
        return  # que-7
    allowed = TESTED.get(type, answers_of(asked))
    if type in CHOICES and not asked.get("answerOption"):
        allowed = ("Coding", "String")
    if answer[0] not in allowed:
        yield issue("enable-when.type", path, type=type, found=f"answer{answer[0]}",
                    wanted=[f"answer{one}" for one in allowed])  # fmt: skip
    elif operator in COMPARING and type not in ORDERED | CHOICES:
        yield issue("enable-when.operator", f"{path}.operator", operator=operator, type=type)
