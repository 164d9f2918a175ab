"""order — packages in the order in which each finds what it depends on, and laid over one another.

https://hl7.org/fhir/R4/packages.html
https://docs.npmjs.com/cli/configuring-npm/package-json#dependencies
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from fhir_server.conformance.canonicals import Canonicals
from fhir_server.conformance.package.reading import Package
from fhir_server.conformance.problem import Problem

# R4 itself is always there, whatever it is called.
CORE = re.compile(r"hl7\.fhir(\.r4)?\.(core|expansions|elements|examples)")
ANY = frozenset({"", "*", "x", "current", "latest", "dev"})
RANGE = re.compile(r"[\^~<>=]|\|\||\s-\s")


def in_dependency_order(packages: Iterable[Package]) -> tuple[list[Package], list[Problem]]:
    """Every package after those it depends on, else in the order given; and what is missing.

    A missing dependency is told and the package is used all the same, with what can be resolved.
    Packages that depend on one another are told and keep the order given.
    """
    chosen, problems = _each_once(packages)
    by_name: dict[str, list[Package]] = {}
    for package in chosen:
        by_name.setdefault(package.name, []).append(package)
    needs = {p.identity: _needed(p, by_name, problems) for p in chosen}
    ordered: dict[str, Package] = {}
    for package in chosen:
        _place(package, needs, ordered, problems)
    return list(ordered.values()), problems


def _each_once(packages: Iterable[Package]) -> tuple[list[Package], list[Problem]]:
    found: dict[str, Package] = {}
    problems: list[Problem] = []
    for package in packages:
        if package.identity in found:
            problems.append(Problem("package-twice", package.identity))
        found.setdefault(package.identity, package)
    return list(found.values()), problems


def _needed(
    package: Package, by_name: dict[str, list[Package]], problems: list[Problem]
) -> list[Package]:
    """The packages one depends on, of those there are; older versions of itself count too."""
    needed: list[Package] = []
    for name, wanted in package.dependencies.items():
        there = by_name.get(name, [])
        if not there and not CORE.fullmatch(name):
            said = {"name": name, "version": wanted or "*"}
            problems.append(Problem("package-dependency", package.identity, said))
        elif there and not any(satisfies(p.version, wanted) for p in there):
            found = [p.version for p in there]
            told = {"name": name, "version": wanted, "found": found}
            problems.append(Problem("package-dependency.version", package.identity, told))
        needed += there
    mine = by_name[package.name]
    return needed + [p for p in mine if _order(p.version) < _order(package.version)]


def _place(
    package: Package,
    needs: dict[str, list[Package]],
    ordered: dict[str, Package],
    problems: list[Problem],
) -> None:
    """Put a package into the order, after what it needs. Without recursion: chains may be long."""
    way = [package]  # each needed by the one before
    waiting = {package.identity: list(needs[package.identity])}
    while way:
        last = way[-1]
        left = waiting[last.identity]
        if not left:
            ordered.setdefault(last.identity, last)
            way.pop()
            continue
        next = left.pop(0)
        if next.identity in ordered:
            continue
        if next.identity in waiting:
            names = [p.identity for p in way]
            if next.identity in names:
                circle = [*names[names.index(next.identity) :], next.identity]
                problems.append(
                    Problem("package-circle", next.identity, {"circle": " -> ".join(circle)})
                )
            continue
        waiting[next.identity] = list(needs[next.identity])
        way.append(next)


def satisfies(version: str, wanted: str) -> bool:
    """Whether a version is what is asked for: `1.2.3`, `1.2.x`, `current`, or a range.

    FHIR's packages ask for a version or for `1.2.x`. npm's ranges are taken by their first
    number: `^1.2.0` for any 1.x from 1.2, `~1.2.0` for any 1.2.x, others for any version.
    """
    wanted = wanted.strip()
    if wanted in ANY or version == wanted:
        return True
    if wanted.startswith(("^", "~")):
        floor = wanted[1:].strip()
        same = floor.split(".")[: 1 if wanted[0] == "^" else 2]
        return version.split(".")[: len(same)] == same and _order(version) >= _order(floor)
    if RANGE.search(wanted):
        return True
    parts = wanted.split(".")
    while parts and parts[-1] in ("x", "*", "X"):
        parts.pop()
        if version.split(".")[: len(parts)] == parts:
            return True
    return False


def _order(version: str) -> list[tuple[int, int, str]]:
    """By which 1.10.0 comes after 1.9.0."""
    parts = re.split(r"[.\-]", version)
    return [(1, int(p), "") if p.isascii() and p.isdigit() else (0, 0, p) for p in parts if p]


def layered(below: Canonicals, packages: Sequence[Package]) -> Canonicals:
    """What is known with packages laid over it, the last on top."""
    for package in packages:
        if package.entries:
            below = below.above(package.entries)
    return below
