"""sound — what makes a definition unfit, told before anything is judged by it.

https://hl7.org/fhir/R4/profiling.html
https://hl7.org/fhir/R4/structuredefinition.html
https://hl7.org/fhir/R4/valueset.html#compositions

Whether a definition is a valid resource is for the validator. Here it is asked whether it can be
worked with: whether it stands on itself, whether its slices can be told apart, whether its paths,
patterns and expressions mean something. None of this can harm the server, which bounds whatever
it is given; but an author wants to know, and a profile that cannot be used guards nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fhir_server.conformance.canonicals import Canonical, Canonicals
from fhir_server.conformance.definitions import Definitions, load
from fhir_server.conformance.problem import Problem
from fhir_server.conformance.shape import wrong_shape
from fhir_server.conformance.snapshot import BrokenProfile, Snapshots, generate
from fhir_server.foundation.fhirpath.evaluate import compile
from fhir_server.foundation.fhirpath.texts import matches_full
from fhir_server.foundation.outcome import Invalid
from fhir_server.foundation.resource import Resource

REGEX = "http://hl7.org/fhir/StructureDefinition/regex"
LONG = "0" * 100  # a text long enough for a bad pattern to run away on
MAX_CHAIN = 64  # of base definitions; R4's own longest is 5
MAX_IMPORTED = 5_000
MAX_RULES = 1_000  # invariants of one profile
MAX_SAID = 200_000  # characters of them together
# R4 valueset-discriminator-type
DISCRIMINATORS = frozenset({"value", "exists", "pattern", "type", "profile"})


@dataclass(frozen=True, slots=True)
class Asked:
    """A definition that is looked at, among all that is known."""

    resource: Resource
    name: str  # with its version: a profile may stand on an older version of itself
    canonicals: Canonicals
    snapshots: Snapshots
    definitions: Definitions

    def problem(self, key: str, **said: Any) -> Problem:
        return Problem(key, self.name, said)

    @property
    def elements(self) -> list[dict[str, Any]]:
        """What the definition says itself."""
        view = self.resource.get("differential") or self.resource.get("snapshot") or {}
        found: list[dict[str, Any]] = view.get("element") or []
        return found


Check = Callable[[Asked], Iterator[Problem]]


def unsound(
    canonicals: Canonicals, entry: Canonical, definitions: Definitions | None = None
) -> list[Problem]:
    """What makes one definition unfit, laid over what is known: before it is stored or used."""
    return all_unsound(canonicals.above([entry]), [entry], definitions)


def all_unsound(
    canonicals: Canonicals, entries: Iterable[Canonical], definitions: Definitions | None = None
) -> list[Problem]:
    """What makes the definitions of a package unfit. canonicals: with those of the package."""
    snapshots = Snapshots(canonicals)
    known = definitions or load()
    asked = (Asked(e.load(), _name(e), canonicals, snapshots, known) for e in entries)
    return [problem for each in asked for problem in _unsound(each)]


def _unsound(asked: Asked) -> list[Problem]:
    type = asked.resource.get("resourceType")
    if type not in CHECKS:
        return []
    wrong = wrong_shape(asked.definitions, asked.resource)
    if wrong is not None:
        return [asked.problem(f"package-shape.{wrong.wanted}", path=wrong.path)]
    return [problem for check in CHECKS[type] for problem in check(asked)]


# --- StructureDefinition -------------------------------------------------------------------------


def _views(asked: Asked) -> Iterator[Problem]:
    """R4 structuredefinition#invs sdf-6: a snapshot or a differential."""
    if not asked.elements:
        yield asked.problem("unsound-view")


def _bases(asked: Asked) -> Iterator[Problem]:
    """The chain of base definitions ends, and what derives is of the type it derives from."""
    chain, structure = [asked.name], asked.resource
    while (base := structure.get("baseDefinition")) and len(chain) <= MAX_CHAIN:
        above = asked.canonicals.entry(base, "StructureDefinition")
        if above is None:
            break
        if (name := _name(above)) in chain:
            yield asked.problem("unsound-base.circle", circle=_circle(chain, name))
            return
        chain.append(name)
        structure = above.load()
    yield from _derived(asked)


def _derived(asked: Asked) -> Iterator[Problem]:
    own, url = asked.resource, asked.resource.get("baseDefinition")
    if own.get("derivation") != "constraint":
        return
    if not url:
        yield asked.problem("unsound-base.missing")
        return
    base = asked.canonicals.get(url, "StructureDefinition")
    if base is None:
        return  # told as unresolved
    for name in ("type", "kind"):
        if own.get(name) != base.get(name):
            said = {"name": name, "value": own.get(name), "wanted": base.get(name), "base": url}
            yield asked.problem("unsound-base.differs", **said)


def _paths(asked: Asked) -> Iterator[Problem]:
    """The differential can be laid over its base."""
    base = asked.resource.get("baseDefinition")
    if not asked.resource.get("differential") or not base:
        return
    if asked.canonicals.entry(base, "StructureDefinition") is None:
        return
    try:
        generate(asked.resource, asked.snapshots)
    except BrokenProfile as broken:
        yield asked.problem("unsound-differential", why=broken.why)


def _slicing(asked: Asked) -> Iterator[Problem]:
    """R4 profiling#discriminator: what tells the slices apart."""
    sliced = {element.get("path") for element in asked.elements if "sliceName" in element}
    for element in asked.elements:
        if "slicing" not in element:
            continue
        path = str(element.get("path"))
        discriminators = element["slicing"].get("discriminator") or []
        # Extensions have theirs by nature (`url`), and a choice has its type.
        by_nature = path.endswith(("xtension", "[x]"))
        if not discriminators and path in sliced and not by_nature:
            yield asked.problem("unsound-slicing", path=path)
        for discriminator in discriminators:
            type, place = discriminator.get("type"), str(discriminator.get("path"))
            if type not in DISCRIMINATORS:
                said = {"path": path, "type": type, "allowed": sorted(DISCRIMINATORS)}
                yield asked.problem("unsound-discriminator.type", **said)
            elif why := _uncompiled(asked, place):
                yield asked.problem("unsound-discriminator", path=path, place=place, why=why)


def _constraints(asked: Asked) -> Iterator[Problem]:
    told = [c for each in asked.elements for c in each.get("constraint", [])]
    characters = sum(len(each.get("expression", "")) for each in told)
    if len(told) > MAX_RULES or characters > MAX_SAID:
        yield asked.problem("unsound-invariants", most=MAX_RULES, characters=MAX_SAID)
        return
    for element in asked.elements:
        for constraint in element.get("constraint", []):
            expression = constraint.get("expression")
            if expression and (why := _uncompiled(asked, expression)):
                said = {"named": constraint.get("key", "?"), "path": element.get("path")}
                yield asked.problem("unsound-invariant", why=why, **said)


def _patterns(asked: Asked) -> Iterator[Problem]:
    for element in asked.elements:
        holders = [element, *element.get("type", [])]
        for extension in (e for holder in holders for e in holder.get("extension", [])):
            pattern = extension.get("valueString")
            if extension.get("url") != REGEX or not pattern:
                continue
            try:
                matches_full(LONG, pattern)
            except Invalid as error:
                said = {"path": element.get("path"), "pattern": pattern, "why": _why(error)}
                yield asked.problem("unsound-pattern", **said)


# --- others --------------------------------------------------------------------------------------


def _imports(asked: Asked) -> Iterator[Problem]:
    """R4 valueset#compositions: a value set does not import itself, be it through others."""
    way = [asked.name]
    waiting = [_imported(asked.resource)]
    seen = {asked.name}
    while waiting:
        if not waiting[-1]:
            waiting.pop()
            way.pop()
            continue
        entry = asked.canonicals.entry(waiting[-1].pop(), "ValueSet")
        if entry is None:
            continue
        if (name := _name(entry)) in way:
            yield asked.problem("unsound-import", circle=_circle(way, name))
            return
        if name not in seen and len(seen) <= MAX_IMPORTED:
            seen.add(name)
            way.append(name)
            waiting.append(_imported(entry.load()))


def _name(entry: Canonical) -> str:
    return f"{entry.url}|{entry.version}" if entry.version else entry.url


def _circle(way: list[str], name: str) -> str:
    return " -> ".join([*way[way.index(name) :], name])


def _imported(value_set: Resource) -> list[str]:
    compose = value_set.get("compose") or {}
    parts = [*compose.get("include", []), *compose.get("exclude", [])]
    return [url for part in parts for url in part.get("valueSet", []) if url]


def _expression(asked: Asked) -> Iterator[Problem]:
    expression = asked.resource.get("expression")
    if expression and (why := _uncompiled(asked, expression)):
        yield asked.problem("unsound-expression", text=expression, why=why)


def _uncompiled(asked: Asked, expression: str) -> str | None:
    """Why an expression is no FHIRPath; None where it is."""
    try:
        compile(expression, asked.definitions)
    except Invalid as error:
        return _why(error)
    return None


def _why(error: Invalid) -> str:
    return str(error).removeprefix("FHIRPath: ")


CHECKS: dict[object, tuple[Check, ...]] = {
    "StructureDefinition": (_views, _bases, _paths, _slicing, _constraints, _patterns),
    "ValueSet": (_imports,),
    "SearchParameter": (_expression,),
}
