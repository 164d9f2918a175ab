"""extract — Paths as Python: the functions that take a resource's values out of it.

https://hl7.org/fhir/R4/searchparameter-definitions.html#SearchParameter.expression

Source is written from our own definitions (never from anything a client sent) and compiled once a
type. Ways that begin alike are walked once: Patient.name is met a single time for five parameters.
A way is given with the lines to run at its end, where `{v}` is the value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from fhir_server.conformance.definitions import Definitions
from fhir_server.foundation.resource import literal
from fhir_server.search.path import Equals, Extended, Get, Path, Refers, Step, Test

Way = tuple[Path, Sequence[str]]


class _Fork:
    """Where ways part: the steps onward, and what is done here."""

    __slots__ = ("ends", "onward")

    def __init__(self) -> None:
        self.onward: dict[Step, _Fork] = {}
        self.ends: list[str] = []

    def at(self, path: Path) -> _Fork:
        """Where a way ends."""
        fork = self
        for step in path.steps:
            fork = fork.onward.setdefault(step, _Fork())
        return fork


def compiled(
    signature: str, ways: Iterable[Way], names: Mapping[str, Any], *, last: str = "return None"
) -> Callable[..., Any]:
    """A function of that signature, whose first argument is `r`, the resource."""
    writing = _Writing()
    root = _Fork()
    for path, lines in ways:
        value = "{v}" if path.test is None else f"{writing.asked(path.test)}(r)"
        root.at(path).ends.extend(line.replace("{v}", value) for line in lines)
    body = [*writing.walk(root, "r", 1), f" {last}"]
    source = "\n".join([*writing.functions, f"def {signature}:", *body])
    scope = {**names, "refers": refers, "extended": extended}
    exec(compile(source, f"<{signature}>", "exec"), scope)  # noqa: S102 - our own definitions
    found: Callable[..., Any] = scope[signature.partition("(")[0]]
    return found


class _Writing:
    """The lines of a function, and the small functions its questions need."""

    def __init__(self) -> None:
        self.functions: list[str] = []
        self.count = 0

    def name(self, letter: str) -> str:
        self.count += 1
        return f"{letter}{self.count}"

    def walk(self, fork: _Fork, v: str, depth: int) -> list[str]:
        indent = " " * depth
        lines = [indent + line.replace("{v}", v) for line in fork.ends]
        for step, next_fork in fork.onward.items():
            opening, next_v, deeper = self.step(step, v)
            lines += [indent + line for line in opening]
            lines += self.walk(next_fork, next_v, depth + deeper)
        return lines

    def step(self, step: Step, v: str) -> tuple[list[str], str, int]:
        """The lines that go one step on, the name of what is there, and how deep one then is."""
        match step:
            case Equals(key, value):
                return [f"if {v}.get({key!r}) == {value!r}:"], v, 1
            case Refers(type):
                return [f"if refers({v}, {type!r}):"], v, 1
            case Extended(url):
                return [f"if extended({v}, {url!r}):"], v, 1
        there = self.name("v")
        if step.many and step.at is not None:
            return (
                [
                    f"{there} = ({v}.get({step.key!r}) or [])[{step.at}:{step.at + 1}]",
                    f"for {there} in {there}:",
                ],
                there,
                1,
            )
        if step.many:
            loop = f"for {there} in {v}.get({step.key!r}) or ():"
            return [loop, f" if {there} is not None:"], there, 2
        return [f"{there} = {v}.get({step.key!r})", f"if {there} is not None:"], there, 1

    def asked(self, test: Test) -> str:
        """The name of a function that answers it."""
        name = self.name("t")
        if test.op == "both":
            parts = " and ".join(f"{self.asked(part)}(r)" for part in test.parts)
            self.functions += [f"def {name}(r):", f" return {parts}"]
            return name
        end = "return True" if test.op == "exists" else f"if {{v}} != {test.value!r}: return True"
        root = _Fork()
        for path in test.paths:
            root.at(path).ends.append(end)
        self.functions += [f"def {name}(r):", *self.walk(root, "r", 1), " return False"]
        return name


def refers(value: Mapping[str, Any], type: str) -> bool:
    """`resolve() is Patient`, told from the reference itself: its URL, else its `type`."""
    return (_type_of(value.get("reference") or "") or value.get("type")) == type


@lru_cache(maxsize=1 << 12)
def _type_of(reference: str) -> str | None:
    found = literal(reference)
    return found.key.type if found else None


def extended(value: Mapping[str, Any], url: str) -> bool:
    return any(one.get("url") == url for one in value.get("extension") or ())


def unfolded(definitions: Definitions, path: Path, types: Iterable[str]) -> list[Path]:
    """A way that ends at an Extension goes on to its value, of any of these types."""
    if path.type != "Extension":
        return [path]
    wanted = frozenset(types)
    return [
        Path((*path.steps, Get(field.name, many=False)), field.type.code, field.node, path.element)
        for field in definitions.children("Extension").values()
        if field.element.is_choice and field.type.code in wanted
    ]
