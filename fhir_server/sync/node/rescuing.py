"""rescuing — the copy of a disk that is lost is brought to the hub, piece by piece.

https://hl7.org/fhir/R4/operations.html

It may be broken off and begun again: the hub answers for what it has from what it kept then.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from fhir_server.foundation.primitive import MAX_STRING
from fhir_server.sync.copy.folder import Copy, Piece
from fhir_server.sync.node.line import Line, Refusal
from fhir_server.sync.words import Outcome

SIZE, MANY = 256 * 1024, 50  # letters and pieces of one request; one piece alone may be longer


@dataclass
class Told:
    """What became of a copy. outcomes: of each version, as `[type]/[id]/_history/[version]`. said:
    what the hub says of it. refused: of each piece that was not taken, the reason. waits: pieces
    with a version that was kept apart: what it waits for may have come behind it."""

    outcomes: dict[str, str] = field(default_factory=dict)
    said: dict[str, tuple[str, ...]] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    waits: list[Piece] = field(default_factory=list)
    pieces: int = 0

    def count(self, outcome: str) -> int:
        return sum(each == outcome for each in self.outcomes.values())


async def brought(line: Line, copy: Copy) -> AsyncIterator[Told]:
    """What is known of the copy after each request. Raises Away, Refusal, OSError."""
    told = Told()
    pieces = [piece for piece in copy.pieces if piece.head.count]
    while pieces:
        some = _next(pieces)
        answer = (await line.rescue(_body(some))).bundle
        done = _take(told, some, answer)
        pieces = pieces[done:]
        told.pieces += done
        yield told
    if told.waits:
        again, told.waits = told.waits, []
        while again:
            some = _next(again)
            again = again[_take(told, some, (await line.rescue(_body(some))).bundle) :]
        yield told


def _next(pieces: Sequence[Piece]) -> list[Piece]:
    some: list[Piece] = []
    size = 0
    for piece in pieces[:MANY]:
        size += piece.size
        if some and size > SIZE:
            break
        some.append(piece)
    return some


def _body(pieces: Sequence[Piece]) -> bytes:
    told = [_given(piece.line()) for piece in pieces]
    return orjson.dumps({"resourceType": "Parameters", "parameter": told})


def _given(line: str) -> dict[str, str]:
    """R4 lets no string be longer than that."""
    if len(line) <= MAX_STRING:
        return {"name": "piece", "valueString": line}
    return {"name": "piece", "valueBase64Binary": base64.b64encode(line.encode()).decode()}


def _take(told: Told, sent: Sequence[Piece], answer: Any) -> int:
    """How many pieces were answered. Raises Refusal."""
    try:
        parts = [each["part"] for each in answer["parameter"] if each["name"] == "piece"]
        for piece, part in zip(sent, parts, strict=False):
            _take_one(told, piece, part)
    except (KeyError, TypeError, AttributeError, IndexError):
        raise Refusal("What the hub answered to the copy cannot be read.") from None
    if not parts or len(parts) > len(sent):
        raise Refusal("What the hub answered to the copy is of none of its pieces.")
    return len(parts)


def _take_one(told: Told, piece: Piece, parts: Sequence[Any]) -> None:
    for part in parts:
        if part["name"] == "refused":
            told.refused[piece.head.piece] = "; ".join(_sentences(part["resource"]))
        if part["name"] != "version":
            continue
        values = {each["name"]: each for each in part["part"]}
        version = str(values["version"]["valueReference"]["reference"])
        outcome = str(values["outcome"]["valueCode"])
        told.outcomes[version] = outcome
        told.said[version] = _sentences(values["issues"]["resource"]) if "issues" in values else ()
        if outcome == Outcome.PARKED.value and piece not in told.waits:
            told.waits.append(piece)


def _sentences(outcome: Any) -> tuple[str, ...]:
    return tuple(_said(issue) for issue in outcome["issue"])


def _said(issue: Any) -> str:
    """In Vietnamese, where it is."""
    match issue.get("_diagnostics"):
        case {"extension": [{"extension": [{"url": "lang"}, {"valueString": str(text)}]}]}:
            return text
    return str(issue.get("diagnostics", ""))
