"""block — the lines of a function while it is written.

http://hl7.org/fhirpath/N1
"""

from __future__ import annotations

from typing import Any

MAX_LINES = 400  # a longer function gains nothing


class NotQuick(Exception):
    """What the engine does better: nothing surely the same is known in plain Python."""


class Block:
    """Lines at one depth; inner blocks write on, one step deeper, to the same lines."""

    def __init__(
        self, lines: list[str], names: dict[str, Any], depth: int, loops: int, *, counted: bool
    ) -> None:
        self.lines = lines
        self.names = names
        self.depth = depth
        self.loops = loops  # how many loops are around
        self.counted = counted  # every loop is, not only those within others

    @staticmethod
    def outermost(*, counted: bool = False) -> Block:
        return Block([], {}, 1, 0, counted=counted)

    def emit(self, line: str) -> None:
        if len(self.lines) >= MAX_LINES:
            raise NotQuick("It becomes too long.")
        self.lines.append(" " * self.depth + line)

    def inner(self, header: str) -> Block:
        """What stands below an `if` or a `for`."""
        self.emit(header)
        loops = self.loops + header.startswith("for")
        below = Block(self.lines, self.names, self.depth + 1, loops, counted=self.counted)
        below.emit("pass")
        return below

    def spend(self, steps: str) -> None:
        """Count what a loop takes, and end where that is too much."""
        self.emit(f"steps += {steps}")
        self.inner("if steps > most:").emit("costly(most)")

    def spend_on(self, text: str, steps: str) -> None:
        """Count what is done to a text, where that may be long."""
        if self.counted:
            self.inner(f"if {text} and len({text}) > 1000:").spend(steps)

    def variable(self) -> str:
        """A name not used before."""
        name = f"x{len(self.names)}"
        self.names[name] = None
        return name

    def kept(self, value: Any) -> str:
        """The name of a value that is made once."""
        name = f"k{len(self.names)}"
        self.names[name] = value
        return name

    def set(self, value: str) -> str:
        """A new variable with a value."""
        name = self.variable()
        self.emit(f"{name} = {value}")
        return name
