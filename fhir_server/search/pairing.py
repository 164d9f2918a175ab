"""pairing — where the parts of a composite stand together, and which of them need rows as pairs.

https://hl7.org/fhir/R4/search.html#composite

A composite is about one element (`Observation.component`) and parts of it (`code`, `value`). What
a resource has once needs no pairs: all its codes go with all its values, so that the parts' own
parameters answer. Only parts that repeat together (each component's code with its value) are
written as pairs, once for all composites that ask for the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from fhir_server.conformance.definitions import Definitions
from fhir_server.search.kinds import KINDS
from fhir_server.search.parameters import Component, Parameter, Parameters
from fhir_server.search.path import Path, Step, Unfollowable, paths


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a composite.

    parameter: what it is asked as; its paths begin at the resource. alone: it is a parameter of
    the type, which has rows of its own that answer for the part too.
    """

    parameter: Parameter
    alone: bool


@dataclass(frozen=True, slots=True)
class Pairing:
    """One place where the parts stand together. number: under which its pairs are written."""

    number: int
    place: Path
    parts: tuple[Part, ...]

    @property
    def paired(self) -> tuple[Parameter, ...]:
        """The parts that are written together, in the order they are asked in."""
        return tuple(part.parameter for part in self.parts if not part.alone)

    @property
    def key(self) -> object:
        """What two composites have in common that write the same pairs."""
        return self.place.steps, tuple((part.type, part.paths) for part in self.paired)


@lru_cache(maxsize=1 << 10)
def pairings(parameters: Parameters, composite: Parameter) -> tuple[Pairing, ...]:
    """The places of a composite; none where its parts are not found, or not of kinds known.

    Its parts are R4's own parameters, so that what is written does not depend on custom ones.
    """
    parameters = parameters.official
    return tuple(
        replace(found, number=_number(parameters, composite, found))
        for found in _places(parameters, composite)
    )


@lru_cache(maxsize=1 << 10)
def _places(parameters: Parameters, composite: Parameter) -> tuple[Pairing, ...]:
    definitions = parameters.definitions
    by_url = {one.url: one for one in parameters.of(composite.of).values()}
    parts = [by_url.get(component.definition) for component in composite.components]
    known = [part for part in parts if part is not None and part.type in KINDS]
    if not known or len(known) < len(parts):
        return ()
    found = []
    for place in paths(definitions, composite.expression, composite.of):
        ways = list(_ways(definitions, composite, known, place))
        if all(ways):
            found.append(_pairing(parameters, composite, place, known, ways))
    return tuple(found)


def _ways(
    definitions: Definitions, composite: Parameter, known: Sequence[Parameter], place: Path
) -> Iterator[tuple[Path, ...]]:
    """Where each part is: where its component says, else where another's does.

    R4's DocumentReference.relationship has `code` for its reference and `target` for its code.
    """
    for at, part in enumerate(known):
        own = composite.components[at]
        others = [one for one in composite.components if one is not own]
        tried = (_of_kind(definitions, part, one, place) for one in (own, *others))
        yield next((ways for ways in tried if ways), ())


def _of_kind(
    definitions: Definitions, part: Parameter, component: Component, place: Path
) -> tuple[Path, ...]:
    try:
        found = paths(definitions, component.expression, part.of, place)
    except (Unfollowable, ValueError):
        return ()
    return tuple(path for path in found if path.type in KINDS[part.type].TYPES)


def _pairing(
    parameters: Parameters,
    composite: Parameter,
    place: Path,
    known: Sequence[Parameter],
    ways: Sequence[tuple[Path, ...]],
) -> Pairing:
    many = place.many and sum(_repeats(place, one) for one in ways) > 1
    parts = []
    for part, found in zip(known, ways, strict=True):
        plain = None if many and _repeats(place, found) else _plain(parameters, part, found)
        parts.append(
            Part(plain, alone=True) if plain else Part(_paired(composite, part, found), alone=False)
        )
    return Pairing(composite.number, place, tuple(parts))


def _repeats(place: Path, ways: Sequence[Path]) -> bool:
    """Whether the part is within the place, and not elsewhere in the resource (`%resource`)."""
    return any(_within(place, path) for path in ways)


def _within(place: Path, path: Path) -> bool:
    return path.steps[: len(place.steps)] == place.steps


def _plain(parameters: Parameters, part: Parameter, ways: Sequence[Path]) -> Parameter | None:
    """The parameter whose values are the part's: of the same elements, if of more datatypes.

    (`value-quantity` has SampledData besides, and so has `code-value-quantity` then.)
    """
    elements = {path.element for path in ways}
    steps = {path.steps for path in ways}
    for one in sorted(parameters.of(part.of).values(), key=lambda p: p.number):
        if (
            one.type == part.type
            and one.stored
            and not one.narrowed
            and {path.element for path in one.paths} == elements
            and steps <= {path.steps for path in one.paths}
        ):
            return one
    return None


def _paired(composite: Parameter, part: Parameter, ways: tuple[Path, ...]) -> Parameter:
    """The part as a parameter of its own, under the composite's name and number."""
    return replace(
        part,
        code=composite.code,
        number=composite.number,
        paths=ways,
        narrowed=False,
        main=False,
        also=(),
        elsewhere=frozenset[tuple[Step, ...]](),
    )


def _number(parameters: Parameters, composite: Parameter, found: Pairing) -> int:
    """The number of the first composite of the type that writes just these pairs."""
    others = [one for one in parameters.of(composite.of).values() if one.type == "composite"]
    for other in sorted(others, key=lambda p: p.number):
        keys = {one.key for one in _places(parameters, other) if one.paired}
        if keys == {found.key}:
            return other.number
    return composite.number
