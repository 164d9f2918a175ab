"""parse — the text of a filter as a tree.

https://hl7.org/fhir/R4/search_filter.html
"""

from __future__ import annotations

import json
import re

from fhir_server.foundation.outcome import Invalid
from fhir_server.search.filter.tree import Comparison, Filter, Joined, Negated, Step

MAX_DEPTH = 12  # of parentheses and brackets, and of changes between `and` and `or`
MAX_TESTS = 100

OPERATORS = frozenset(
    {"eq", "ne", "co", "sw", "ew", "gt", "lt", "ge", "le", "ap", "sa", "eb", "pr", "po"}
    | {"ss", "sb", "in", "ni", "re"}
)
# R4:  paramName = ALPHA (nameChar)*   and the parameters of all resources, which begin with _
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
WORD = re.compile(r"[^\s()\[\]\"]+")
TOKEN = re.compile(r"[^\s)\]]+")  # R4:  any sequence of non-whitespace characters except ] and )
SPACE = re.compile(r"\s*")
JOINING = ("and", "or")


def refused(text: str, at: int, told: str) -> Invalid:
    """A refusal that says where."""
    near = text[at : at + 20]
    where = f"at character {at + 1}, before `{near}`" if near else "at its end"
    return Invalid(f"`_filter` cannot be read {where}: {told}")


def parse(text: str) -> Filter:
    """Raises Invalid."""
    reading = _Reading(text)
    found = reading.filter(0)
    if reading.at < len(text):
        raise reading.refused("an `and`, an `or` or the end was expected here.")
    return found


class _Reading:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.tests = 0

    def filter(self, depth: int) -> Filter:
        """R4: logical expressions "are evaluated left to right, with no precedence"."""
        if depth > MAX_DEPTH:
            raise self.refused(f"it is nested more than {MAX_DEPTH} deep.")
        found, changes = self.term(depth), 0
        while (word := self.peek()) in JOINING:
            self.take(word)
            part = self.term(depth)
            if isinstance(found, Joined) and found.word == word and changes:
                found = Joined(word, (*found.parts, part))
                continue
            changes += 1
            if depth + changes > MAX_DEPTH:
                raise self.refused(
                    f"it changes between `and` and `or` more than {MAX_DEPTH - depth} times. Use "
                    "parentheses, or several filters."
                )
            found = Joined(word, (found, part))
        return found

    def term(self, depth: int) -> Filter:
        self.space()
        if self.text.startswith("(", self.at):
            return self.within(depth)
        if self.peek() == "not":
            self.take("not")
            self.space()
            if not self.text.startswith("(", self.at):
                raise self.refused("`not` is followed by what it negates in parentheses.")
            return Negated(self.within(depth))
        return self.test(depth)

    def within(self, depth: int, close: str = ")") -> Filter:
        """What stands in parentheses or brackets."""
        self.at += 1
        found = self.filter(depth + 1)
        if not self.text.startswith(close, self.at):
            raise self.refused(f"a `{close}` was expected here.")
        self.at += 1
        self.space()
        return found

    def test(self, depth: int) -> Comparison:
        # R4:  paramExp = paramPath SP compareOp SP compValue
        self.tests += 1
        if self.tests > MAX_TESTS:
            raise self.refused(f"it makes more than {MAX_TESTS} comparisons.")
        path = self.path(depth)
        at, operator = self.at, self.peek()
        if operator not in OPERATORS:
            told = ", ".join(f"`{one}`" for one in sorted(OPERATORS))
            raise self.refused(f"an operator was expected here: {told}.")
        self.take(operator)
        return Comparison(path, operator, self.value(), at)

    def path(self, depth: int) -> tuple[Step, ...]:
        # R4:  paramPath = paramName (("[" filter "]") "." paramPath)
        steps: list[Step] = []
        while True:
            found = NAME.match(self.text, self.at)
            if found is None:
                raise self.refused("the name of a search parameter was expected here.")
            start, self.at, inner = self.at, found.end(), None
            if self.text.startswith("[", self.at):
                inner = self.within(depth, "]")
                if not self.text.startswith(".", self.at):
                    raise self.refused("a filter in brackets is followed by `.` and a parameter.")
            steps.append(Step(found[0], inner, start))
            if not self.text.startswith(".", self.at):
                break
            self.at += 1
        if self.text.startswith(":", self.at):
            raise self.refused("a filter has operators in place of modifiers and named types.")
        self.space()
        return tuple(steps)

    def value(self) -> str:
        """R4: a string as JSON writes it, a number, a date, or a token."""
        start = self.at
        if self.text.startswith('"', start):
            try:
                found, self.at = json.JSONDecoder().raw_decode(self.text, start)
            except ValueError:
                raise self.refused("this string is not written as JSON writes one.") from None
            if self.at < len(self.text) and self.text[self.at] not in ")] \t\r\n":
                raise self.refused("a space was expected after the string.")
        else:
            token = TOKEN.match(self.text, start)
            if token is None:
                raise self.refused("a value was expected here.")
            found, self.at = token[0], token.end()
        self.space()
        if not found:
            self.at = start
            raise self.refused("the value is empty.")
        return str(found)

    # --- what comes next -------------------------------------------------------------------------

    def space(self) -> None:
        if found := SPACE.match(self.text, self.at):
            self.at = found.end()

    def peek(self) -> str:
        """The word that begins here."""
        found = WORD.match(self.text, self.at)
        return found[0] if found else ""

    def take(self, word: str) -> None:
        self.at += len(word)
        self.space()

    def refused(self, told: str) -> Invalid:
        return refused(self.text, self.at, told)
