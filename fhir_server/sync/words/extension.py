"""extension — what the Bundles of sync say beside R4, in extensions of extensions.

https://hl7.org/fhir/R4/extensibility.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fhir_server.foundation.outcome import Invalid

BASE = "https://fhir-server.example/StructureDefinition/"
PUSH = BASE + "sync-push"
ANSWER = BASE + "sync-answer"
RECEIPT = BASE + "sync-receipt"
PAGE = BASE + "sync-page"
VERSION = BASE + "sync-version"
LEFT = BASE + "sync-left"

Value = str | int | bool
NAMES: dict[type, str] = {str: "valueString", int: "valueInteger", bool: "valueBoolean"}
LONGEST = 64 * 1024  # letters of one word; that of receipts is the longest
MOST = 10_000  # parts of one extension
LARGEST = 2**31  # what a valueInteger may be: R4 datatypes#integer


def extension(url: str, parts: Iterable[tuple[str, Value]]) -> dict[str, Any]:
    """One extension, whose parts are extensions by name. A number too large for FHIR is text."""
    return {"url": url, "extension": [{"url": name, **_valued(value)} for name, value in parts]}


def _valued(value: Value) -> dict[str, Value]:
    if type(value) is int and not -LARGEST <= value < LARGEST:
        return {"valueString": str(value)}
    return {NAMES[type(value)]: value}


class Parts:
    """The parts of one extension as somebody sent them: what is not as it must be is refused."""

    def __init__(self, owner: Any, url: str, *, where: str) -> None:
        """owner: what has the extension. Raises Invalid."""
        self._where = where
        self._said: dict[str, list[Any]] = {}
        listed = owner.get("extension") if isinstance(owner, dict) else None
        found = [
            one
            for one in (listed if isinstance(listed, list) else ())
            if isinstance(one, dict) and one.get("url") == url
        ]
        if len(found) != 1:
            raise Invalid(f"`{where}` has no extension `{url}`, or several. Send one.")
        parts = found[0].get("extension", [])
        if not isinstance(parts, list) or len(parts) > MOST:
            raise Invalid(f"`{url}` of `{where}` has no parts, or more than {MOST}.")
        for part in parts:
            self._take(part)

    def _take(self, part: Any) -> None:
        name = part.get("url") if isinstance(part, dict) else None
        values = [part[key] for key in NAMES.values() if key in part] if name else []
        if not isinstance(name, str) or len(values) != 1:
            raise Invalid(f"A part of an extension of `{self._where}` is not a name and a value.")
        self._said.setdefault(name, []).append(values[0])

    def texts(self, name: str) -> tuple[str, ...]:
        """All of this name. Raises Invalid."""
        found = self._said.get(name, [])
        if not all(isinstance(one, str) and len(one) <= LONGEST for one in found):
            raise self._wrong(name, f"text of at most {LONGEST} letters")
        return tuple(found)

    def text(self, name: str, default: str | None = None) -> str:
        """Raises Invalid where it is not there and has no default."""
        found = self.texts(name)
        if len(found) == 1:
            return found[0]
        if not found and default is not None:
            return default
        raise self._wrong(name, "one text")

    def number(self, name: str, default: int | None = None) -> int:
        """Not below zero. Raises Invalid where it is not there and has no default."""
        found = self._said.get(name, [])
        if not found and default is not None:
            return default
        if len(found) == 1:
            number = _number(found[0])
            if number is not None:
                return number
        raise self._wrong(name, "one number from 0 on")

    def truth(self, name: str) -> bool:
        """False where it is not there. Raises Invalid."""
        found = self._said.get(name, [False])
        if len(found) != 1 or not isinstance(found[0], bool):
            raise self._wrong(name, "true or false")
        return found[0]

    def _wrong(self, name: str, wanted: str) -> Invalid:
        return Invalid(f"`{name[:64]}` of `{self._where}` must be {wanted}.")


def _number(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 19:
        return int(value)
    return value if type(value) is int and 0 <= value < LARGEST else None
