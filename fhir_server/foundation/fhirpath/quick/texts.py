"""texts — the functions of a text, as Python.

http://hl7.org/fhirpath/N1/#string-manipulation
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

from fhir_server.foundation.fhirpath import patterns
from fhir_server.foundation.fhirpath import texts as engine
from fhir_server.foundation.fhirpath.conversions import TO
from fhir_server.foundation.fhirpath.quick.block import Block, NotQuick
from fhir_server.foundation.fhirpath.quick.found import Found, Spot, Value
from fhir_server.foundation.fhirpath.quick.operators import kind
from fhir_server.foundation.outcome import Invalid

SIGNS_A_STEP = 200  # of a text that is looked through
LONG = 10_000  # characters: a pattern that may be tried on so many takes no time on a few


class Given:
    """A single text, or none, in a variable."""

    def __init__(self, found: Found, block: Block) -> None:
        self.found = found
        self.block = block

    def name(self) -> Value:
        if isinstance(self.found, Value):
            if self.found.type != "String":
                raise NotQuick("String functions are for texts.")
            return self.found
        told = self.block.set("None")

        def meet(inner: Block, spot: Spot) -> None:
            if kind(spot) != "text":
                raise NotQuick("String functions are for texts.")
            inner.emit(f"{told} = {spot.value}")

        self.found.each(self.block, meet)
        return Value(told, "String", maybe=True)


Written = Callable[[Any, Value, list[Found], Block], Found]


def _unless_empty(value: Value, code: str, type: str, *, maybe: bool = False) -> Value:
    if value.maybe:
        return Value(f"(None if {value.code} is None else {code})", type, maybe=True)
    return Value(code, type, maybe=maybe)


def _formed(form: str, type: str, given: str) -> Written:
    """A Python expression: `{v}` the text, `{a}` the argument, a written value of a type."""

    def written(_: Any, value: Value, args: list[Found], block: Block) -> Found:
        value = Value(block.set(value.code), "String", maybe=value.maybe)
        names, parts = {}, [value]
        for letter, arg in zip("ab", args, strict=False):
            told = _argument(arg, given, block)
            names[letter] = told.code
            parts.append(told)
        block.spend_on(value.code, f"len({value.code}) // {SIGNS_A_STEP}")
        code = form.format(v=value.code, **names)
        unsure = [f"{part.code} is None" for part in parts if part.maybe]
        if not unsure:
            return Value(code, type, maybe="None" in form)
        return Value(f"(None if {' or '.join(unsure)} else {code})", type, maybe=True)

    return written


def _argument(arg: Found, type: str, block: Block) -> Value:
    if isinstance(arg, Value) and arg.type != type:
        raise NotQuick("The engine says what is wrong with an argument.")
    if isinstance(arg, Value) or type != "String":
        if not isinstance(arg, Value):
            raise NotQuick("Only a value is an argument.")
        return Value(block.set(arg.code), type, maybe=True) if arg.maybe else arg
    if not arg.single or arg.doubled:
        raise NotQuick("Only a single text is an argument.")
    return Given(arg, block).name()


def _replaced(_: Any, value: Value, args: list[Found], block: Block) -> Found:
    pattern, by = args
    if not isinstance(pattern, Value) or not isinstance(by, Value) or not pattern.text:
        raise NotQuick("Only a written pattern is known to be cheap.")
    if by.text is None:
        raise NotQuick("Only a written substitution is known to be short.")
    value = Value(block.set(value.code), "String", maybe=value.maybe)
    block.spend_on(value.code, f"tried(len({value.code}), {pattern.text!r})")
    name = block.kept(engine.replace_matches)
    return _unless_empty(value, f"{name}({value.code}, {pattern.code}, {by.code})", "String")


def _matching(way: str) -> Written:
    def written(_: Any, value: Value, args: list[Found], block: Block) -> Found:
        pattern = args[0]
        if not isinstance(pattern, Value) or pattern.text is None:
            raise NotQuick("Only a written pattern is known to be cheap.")
        compiled, longest = _tried(pattern.text)
        value = Value(block.set(value.code), "String", maybe=value.maybe)
        if longest < LONG:
            at_all = "" if not value.maybe else f"if {value.code} is not None:"
            inner = block.inner(at_all) if at_all else block
            inner.spend(f"tried(len({value.code}), {pattern.text!r})")
        elif longest < sys.maxsize:
            test = f"len({value.code}) > {longest}"
            if value.maybe:
                test = f"{value.code} is not None and {test}"
            block.inner(f"if {test}:").emit("too_long()")
        if longest >= LONG:
            block.spend_on(value.code, f"tried(len({value.code}), {pattern.text!r})")
        name = block.kept(getattr(compiled, way))
        return _unless_empty(value, f"({name}({value.code}) is not None)", "Boolean")

    return written


def _tried(pattern: str) -> tuple[re.Pattern[str], int]:
    """A pattern, and how long a text it may be tried on."""
    try:
        longest = patterns.longest(pattern)
        return patterns.compiled(pattern), sys.maxsize if longest is None else longest
    except Invalid as refusal:
        raise NotQuick(str(refusal)) from None


def _converted(type: str) -> Written:
    def written(_: Any, value: Value, __: list[Found], block: Block) -> Found:
        value = Value(block.set(value.code), "String", maybe=value.maybe)
        convert = block.kept(TO[type])
        told = _unless_empty(value, f"{convert}({value.code})", type, maybe=True)
        return Value(block.set(told.code), type, maybe=True)

    return written


def _substring(_: Any, value: Value, args: list[Found], block: Block) -> Found:
    end = "" if len(args) == 1 else "{a} + max({b}, 0)"
    if all(isinstance(arg, Value) and arg.code.isdigit() for arg in args):
        end = end.replace("max({b}, 0)", "{b}")
    form = f"({{v}}[{{a}}:{end}] if 0 <= {{a}} < len({{v}}) else None)"
    return _formed(form, "String", "Integer")(_, value, args, block)


TEXTS: dict[str, Written] = {
    "startsWith": _formed("{v}.startswith({a})", "Boolean", "String"),
    "endsWith": _formed("{v}.endswith({a})", "Boolean", "String"),
    "contains": _formed("({a} in {v})", "Boolean", "String"),
    "indexOf": _formed("{v}.find({a})", "Integer", "String"),
    "upper": _formed("{v}.upper()", "String", ""),
    "lower": _formed("{v}.lower()", "String", ""),
    "trim": _formed("{v}.strip()", "String", ""),
    "length": _formed("len({v})", "Integer", ""),
    "substring": _substring,
    "matches": _matching("search"),
    "matchesFull": _matching("fullmatch"),
    "replaceMatches": _replaced,
    "toInteger": _converted("Integer"),
}
COUNTS: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("upper", "lower", "trim", "length", "toInteger"), (0, 0)),
    **dict.fromkeys(
        ("startsWith", "endsWith", "contains", "indexOf", "matches", "matchesFull"),
        (1, 1),
    ),
    "substring": (1, 2),
    "replaceMatches": (2, 2),
}
