"""json_patch — a resource changed by the operations of a JSON Patch, all of them or none.

https://hl7.org/fhir/R4/http.html#patch
https://www.rfc-editor.org/rfc/rfc6902
https://www.rfc-editor.org/rfc/rfc6901
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NoReturn

from fhir_server.foundation.outcome import Invalid, Unprocessable
from fhir_server.foundation.resource import Resource

MAX_OPERATIONS = 1_000
MAX_DEPTH = 100  # of the result: the path's tokens and what is put there
MAX_COPIED = 100_000  # values a patch may multiply by `copy`: copies of copies double each time

# RFC 6901, 4:  array-index = %x30 / ( %x31-39 *(%x30-39) )
INDEX = re.compile("0|[1-9][0-9]{0,8}")
PAST_END = "-"
ESCAPE = re.compile("~(?![01])")

Pointer = tuple[str, ...]


@dataclass(slots=True)
class _Patch:
    """The document as it is after the operations so far."""

    document: Any
    copied: int = 0
    emptied: list[Any] = field(default_factory=list)  # containers whose last child was removed


def apply(resource: Resource, operations: Any) -> Resource:
    """The patched resource; the one given is left as it was."""
    if not isinstance(operations, list):
        raise Invalid("A JSON Patch is an array of operations.")
    if len(operations) > MAX_OPERATIONS:
        raise Invalid(f"The JSON Patch has more than {MAX_OPERATIONS} operations.")
    patch = _Patch(deep_copy(resource))
    for index, operation in enumerate(operations):
        _Operation(index, operation).apply(patch)
    if not isinstance(patch.document, dict):
        raise Unprocessable("After the JSON Patch, what is left is not a resource.")
    if patch.emptied:
        _tidy(patch.document, {id(container) for container in patch.emptied})
    return patch.document


class _Operation:
    """One operation of the patch, which can name itself when it is refused."""

    def __init__(self, index: int, members: Any) -> None:
        self.name = f"Operation {index}"
        if not isinstance(members, dict):
            self.malformed("it is not a JSON object")
        self.members: dict[str, Any] = members
        op = members.get("op")
        if not isinstance(op, str) or op not in OPERATIONS:
            self.malformed(f"`op` must be one of {', '.join(f'`{name}`' for name in OPERATIONS)}")
        self.perform = OPERATIONS[op]
        self.path = self.pointer("path")
        self.name += f" (`{op}` at `{_text(self.path)}`)"

    def malformed(self, why: str) -> NoReturn:
        raise Invalid(f"{self.name} of the JSON Patch: {why}.")

    def refuse(self, why: str) -> NoReturn:
        raise Unprocessable(f"{self.name} of the JSON Patch: {why}.")

    def apply(self, patch: _Patch) -> None:
        self.perform(self, patch)

    def pointer(self, member: str) -> Pointer:
        # RFC 6901, 3:  json-pointer = *( "/" reference-token )
        text = self.members.get(member)
        if not isinstance(text, str):
            self.malformed(f"`{member}` must be there, as a string")
        if text and not text.startswith("/"):
            self.malformed(f"`{member}` must be empty or begin with `/`, not `{text[:80]}`")
        if ESCAPE.search(text):
            self.malformed(f"in `{member}`, `~` must be written `~0` (and `/` in a name `~1`)")
        tokens = text.split("/")[1:]
        if len(tokens) > MAX_DEPTH:
            self.malformed(f"`{member}` is more than {MAX_DEPTH} names deep")
        return tuple(token.replace("~1", "/").replace("~0", "~") for token in tokens)

    def value(self) -> Any:
        if "value" not in self.members:
            self.malformed("`value` is missing")
        return deep_copy(self.members["value"])

    def at(self, document: Any, path: Pointer) -> Any:
        """What is at a path."""
        for place, token in enumerate(path):
            document = self.child(document, token, path[: place + 1])
        return document

    def child(self, container: Any, token: str, path: Pointer) -> Any:
        if isinstance(container, list):
            return container[self.index(container, token, len(container) - 1)]
        if not isinstance(container, dict) or token not in container:
            self.refuse(f"there is nothing at `{_text(path)}`")
        return container[token]

    def index(self, array: list[Any], token: str, last: int) -> int:
        if not INDEX.fullmatch(token):
            self.refuse(f"`{token[:80]}` is no index of an array; write 0, 1, 2, ...")
        if int(token) > last:
            self.refuse(f"the index {token} is beyond the array's end ({len(array)} items)")
        return int(token)

    def put(self, patch: _Patch, value: Any) -> None:
        """RFC 6902, 4.1: insert into an array, set an object's member, or the whole document."""
        if len(self.path) + measure(value)[1] > MAX_DEPTH:
            self.refuse(f"the result would be more than {MAX_DEPTH} levels deep")
        if not self.path:
            patch.document = value
            return
        *above, token = self.path
        container = self.at(patch.document, tuple(above))
        if isinstance(container, list):
            end = len(container)
            container.insert(end if token == PAST_END else self.index(container, token, end), value)
        elif isinstance(container, dict):
            container[token] = value
        else:
            self.refuse(f"what is at `{_text(tuple(above))}` is neither an object nor an array")

    def take(self, patch: _Patch, path: Pointer) -> Any:
        """Remove and return what is at a path."""
        if not path:
            self.refuse("the whole resource cannot be removed; use DELETE")
        *above, token = path
        container = self.at(patch.document, tuple(above))
        value = self.child(container, token, path)
        del container[int(token) if isinstance(container, list) else token]
        if not container:
            patch.emptied.append(container)
        return value


def _add(operation: _Operation, patch: _Patch) -> None:
    operation.put(patch, operation.value())


def _remove(operation: _Operation, patch: _Patch) -> None:
    operation.take(patch, operation.path)


def _replace(operation: _Operation, patch: _Patch) -> None:
    value = operation.value()
    if operation.path:
        # not take and put: an object keeps the order of its members
        *above, token = operation.path
        container = operation.at(patch.document, tuple(above))
        operation.child(container, token, operation.path)
        if isinstance(container, list):
            del container[int(token)]
    operation.put(patch, value)


def _move(operation: _Operation, patch: _Patch) -> None:
    source = operation.pointer("from")
    if operation.path[: len(source)] == source and operation.path != source:
        operation.refuse("a value cannot be moved into itself")
    if operation.path == source:
        operation.at(patch.document, source)
    else:
        operation.put(patch, operation.take(patch, source))


def _copied(operation: _Operation, patch: _Patch) -> None:
    value = operation.at(patch.document, operation.pointer("from"))
    patch.copied += measure(value)[0]
    if patch.copied > MAX_COPIED:
        operation.refuse(f"the patch copies more than {MAX_COPIED} values")
    operation.put(patch, deep_copy(value))


def _test(operation: _Operation, patch: _Patch) -> None:
    if not _equal(operation.at(patch.document, operation.path), operation.value()):
        operation.refuse("the value there is another, so nothing was changed")


OPERATIONS: dict[str, Callable[[_Operation, _Patch], None]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copied,
    "test": _test,
}


def _text(path: Pointer) -> str:
    text = "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in path)
    return text if len(text) <= 200 else text[:200] + "..."


def deep_copy(value: Any) -> Any:
    """The same JSON, none of it shared."""
    if isinstance(value, dict):
        return {name: deep_copy(child) for name, child in value.items()}
    if isinstance(value, list):
        return [deep_copy(child) for child in value]
    return value


def measure(value: Any) -> tuple[int, int]:
    """How many values there are in this one, itself included, and how deep it is."""
    count, deepest, waiting = 0, 0, [(value, 0)]
    while waiting:
        value, depth = waiting.pop()
        count, deepest = count + 1, max(deepest, depth)
        if isinstance(value, dict | list):
            children = value.values() if isinstance(value, dict) else value
            waiting.extend((child, depth + 1) for child in children)
    return count, deepest


def _equal(one: Any, other: Any) -> bool:
    """RFC 6902, 4.6: numbers by their value, objects without order; `true` is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    numbers = (int, float, Decimal)
    if isinstance(one, numbers) and isinstance(other, numbers):
        return isinstance(one, bool) is isinstance(other, bool) and one == other
    return type(one) is type(other) and bool(one == other)


def _tidy(value: Any, emptied: set[int]) -> bool:
    """Drop what the patch itself emptied: FHIR has no empty arrays or objects.

    What a client wrote empty stays, for validation to refuse. Returns whether to drop `value`.
    """
    if not isinstance(value, dict | list):
        return False
    children = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    dropped = [place for place, child in children if _tidy(child, emptied)]
    for place in reversed(dropped):
        del value[place]
    return not value and (bool(dropped) or id(value) in emptied)
