"""watch — what a question cost, step by step and statement by statement, for who asks to be told.

https://hl7.org/fhir/R4/operationdefinition.html

Nobody watches unless `watching` is entered; a step then costs next to nothing, and a statement
one look at a variable. Who watches pays: each statement is run more than once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a database, with marks for the values; of these only the types are kept.

    read: rows of tables and indexes that were looked at; work: steps of the database's machine,
    where it counts those and not rows. uses: how it came to its rows, in the database's own words.
    """

    text: str
    types: tuple[str, ...]
    milliseconds: float
    returned: int
    read: int | None = None
    work: int | None = None
    uses: tuple[str, ...] = ()


@dataclass
class Watch:
    """What has been seen. spent: seconds that only the watching took."""

    steps: list[Step] = field(default_factory=list)
    spent: float = 0.0

    def add(self, statement: Statement) -> None:
        """Where no step is under way, it is one by itself."""
        if not self.steps or self.steps[-1].ended:
            self.steps.append(Step("other", ended=True))
        self.steps[-1].statements.append(statement)


WATCH: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watching() -> Iterator[Watch]:
    """Whatever this task asks of the store inside is seen."""
    watch = Watch()
    token = WATCH.set(watch)
    try:
        yield watch
    finally:
        WATCH.reset(token)


@dataclass
class Step:
    """A part of answering, timed between `with` and its end. found: how many, where it counts."""

    name: str
    found: int | None = None
    milliseconds: float = 0.0
    statements: list[Statement] = field(default_factory=list)
    ended: bool = False
    began: tuple[float, float] = (0.0, 0.0)

    def __enter__(self) -> Step:
        if (watch := WATCH.get()) is not None:
            watch.steps.append(self)
            self.began = perf_counter(), watch.spent
        return self

    def __exit__(self, *_: object) -> None:
        if (watch := WATCH.get()) is not None:
            start, spent = self.began
            self.milliseconds = (perf_counter() - start - watch.spent + spent) * 1000
            self.ended = True


def types_of(values: Sequence[Any]) -> tuple[str, ...]:
    """What the marks stand for, without the values: they may be somebody's health."""
    return tuple(_type(value) for value in values)


def _type(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"{len(value)} numbers"
    if isinstance(value, str):
        return "a list" if value[:1] == "[" else "text"
    return "a number"
