"""path — the restricted FHIRPath of a discriminator: over a definition, and over a value.

https://hl7.org/fhir/R4/profiling.html#discriminator
https://hl7.org/fhir/R4/fhirpath.html#simple
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from fhir_server.foundation.fhirpath import tree as fhirpath
from fhir_server.foundation.fhirpath.parse import parse
from fhir_server.foundation.outcome import Invalid
from fhir_server.validation.profile.reference import named
from fhir_server.validation.profile.scope import Box, Scope
from fhir_server.validation.profile.tree import Node

MAX_STEPS = 20


class Step(NamedTuple):
    """One step: `child` a name, `extension` its url, `resolve`, `type` as in ofType()."""

    kind: str
    said: str = ""


class Found(NamedTuple):
    """A value a path leads to. suffix: what JSON's name tells of a choice, `Quantity`."""

    value: Any
    suffix: str = ""


Steps = tuple[Step, ...]


class Unreadable(ValueError):
    """A discriminator's path that is not one R4 allows."""


@lru_cache(maxsize=1024)
def steps(path: str) -> Steps:
    """R4: element selections, extension(url), resolve(), ofType(type), and $this.

    Raises Unreadable.
    """
    if path in ("$this", ""):
        return ()
    try:
        found = tuple(_steps(parse(path)))
    except (Invalid, RecursionError):
        raise Unreadable(f"`{path[:80]}` is no path of a discriminator") from None
    if len(found) > MAX_STEPS:
        raise Unreadable(f"`{path[:80]}` has more than {MAX_STEPS} steps")
    return found


def _steps(node: fhirpath.Node | None) -> Iterator[Step]:
    match node:
        case None | fhirpath.Variable("$this"):
            return
        case fhirpath.Name(base, name):
            yield from _steps(base)
            yield Step("child", name)
        case fhirpath.Call(base, "resolve", ()):
            yield from _steps(base)
            yield Step("resolve")
        case fhirpath.Call(base, "extension", (fhirpath.Literal(str(url), "string"),)):
            yield from _steps(base)
            yield Step("extension", url)
        case fhirpath.Call(base, "ofType" | "as", (fhirpath.Name(_, type),)):
            yield from _steps(base)
            yield Step("type", type)
        case fhirpath.TypeOp("as", operand, type):
            yield from _steps(operand)
            yield Step("type", type.rpartition(".")[2])
        case _:
            raise Unreadable("this is no path of a discriminator")


# --- over a definition ----------------------------------------------------------------------------

Roots = Callable[[str], Node | None]  # the tree of a profile by its URL


def defined(node: Node, path: Steps, roots: Roots) -> list[Node]:
    """What a definition says at a path: several where types have several profiles."""
    found = [node]
    for step in path:
        found = [below for each in found for below in _below(each, step, roots)]
    return found


def _below(node: Node, step: Step, roots: Roots) -> list[Node]:
    match step.kind:
        case "child":
            return _children(node, step.said, roots)
        case "extension":
            return [
                extension
                for head in _children(node, "extension", roots)
                for extension in head.slices
                if step.said in urls_of(extension, roots)
            ]
        case "resolve":
            targets = [url for type in node.types for url in type.targets]
            return [root for url in targets if (root := roots(url)) is not None]
        case _:
            matching = [s for s in node.slices if any(t.code == step.said for t in s.types)]
            return matching or [node]


def _children(node: Node, name: str, roots: Roots) -> list[Node]:
    own = node.child(name)
    profiles = [url for type in node.types for url in type.profiles]
    profiled = [root for url in profiles if (root := roots(url)) is not None]
    below = [child for root in profiled if (child := root.child(name)) is not None]
    return below if own is None else [own, *below]


def urls_of(extension: Node, roots: Roots) -> set[str]:
    """The urls an extension's slice stands for."""
    found = {url.partition("|")[0] for type in extension.types for url in type.profiles}
    for url in _children(extension, "url", roots):
        if url.fixed and isinstance(url.fixed.value, str):
            found.add(url.fixed.value)
    return found


# --- over a value ---------------------------------------------------------------------------------


def reached(value: Any, path: Steps, scope: Scope) -> list[Found]:
    """The values a path leads to."""
    found = [Found(value)]
    for step in path:
        found = [below for each in found for below in _values(each, step, scope)]
    return found


def _values(found: Found, step: Step, scope: Scope) -> Iterator[Found]:
    value = found.value
    match step.kind:
        case "resolve":
            target = named(value, scope)
            if target.resource is not None:
                yield Found(target.resource)
            elif target.type is not None:
                yield Found({"resourceType": target.type})  # all that is known of it
        case "type":
            said = found.suffix or _type_of(value)
            if not said or said.lower() == step.said.lower():
                yield found
        case "extension" if isinstance(value, dict):
            for extension in value.get("extension") or ():
                if isinstance(extension, dict) and extension.get("url") == step.said:
                    yield Found(extension)
        case "child" if isinstance(value, dict):
            yield from _child(value, step.said)


def _child(owner: dict[str, Any], name: str) -> Iterator[Found]:
    value = owner.get(name)
    if value is None and owner.__class__ is not Box:
        for key, other in owner.items():
            suffix = key[len(name) :]
            if suffix and key.startswith(name) and suffix[0].isupper():
                yield from _each(other, suffix)
                return
    if value is not None:
        yield from _each(value, "")
    elif isinstance(beside := owner.get(f"_{name}"), dict):
        yield Found(Box(beside))


def _each(value: Any, suffix: str) -> Iterator[Found]:
    for each in value if isinstance(value, list) else (value,):
        if each is not None:
            yield Found(each, suffix)


def _type_of(value: Any) -> str:
    type = value.get("resourceType") if isinstance(value, dict) else None
    return type if isinstance(type, str) else ""
