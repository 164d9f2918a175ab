"""reach — what a caller may reach of what is stored: part of every question and of every write.

https://hl7.org/fhir/R4/security.html#authorization%2Faccess-control

A Restriction is any of several grounds, and of a ground every fact must hold. What is out of reach
is as if it were not there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

from fhir_server.store.contract.index import AllOf, Condition


class Care(NamedTuple):
    """A facility has a patient in its care until a moment."""

    basis: int  # rid of the resource that says so
    patient: int  # rid of the Patient
    facility: int  # rid of the Organization
    until: int  # milliseconds since 1970 UTC, or FOREVER


FOREVER = (1 << 62) - 1
FEW = 100  # patients


@dataclass(frozen=True, slots=True)
class Facts:
    """What a restriction is judged by, of a resource that need not be stored.

    cared_by: the facilities that have its owner in their care now (Store.cared_by). meets: whether
    it meets a condition; without it, it meets none.
    """

    type: str
    owner: int = 0
    facility: int = 0
    cared_by: frozenset[int] = frozenset()
    meets: Callable[[Condition], bool] | None = None


@dataclass(frozen=True, slots=True)
class Ground:
    """Why something may be reached: every fact must hold; None: whichever."""

    types: frozenset[str] | None = None
    owners: frozenset[int] | None = None  # rids of Patients; 0: what belongs to no patient
    facility: int | None = None  # rid of the Organization that recorded it
    in_care_of: tuple[int, int] | None = None  # rid of an Organization, and a moment in ms: whose
    # patient it has in its care then
    where: Condition | None = None  # what one type must meet; a deletion meets nothing
    barred: frozenset[int] = frozenset()  # rids of Patients: what is theirs is not reached by this

    def __post_init__(self) -> None:
        if self.where is not None and (self.types is None or len(self.types) != 1):
            raise ValueError("A condition is about exactly one type.")

    @property
    def is_of_types(self) -> bool:
        """Whether it limits nothing but types."""
        return self == Ground(self.types)

    def holds(self, facts: Facts) -> bool:
        return (
            (self.types is None or facts.type in self.types)
            and (self.owners is None or facts.owner in self.owners)
            and facts.owner not in self.barred
            and self.facility in (None, facts.facility)
            and (self.in_care_of is None or self.in_care_of[0] in facts.cared_by)
            and (self.where is None or (facts.meets is not None and facts.meets(self.where)))
        )


@dataclass(frozen=True, slots=True)
class Restriction:
    """What a caller may reach: what any ground allows; None: everything; (): nothing."""

    grounds: tuple[Ground, ...] | None

    @property
    def is_free(self) -> bool:
        """Whether everything is reached."""
        return self.grounds is None

    @property
    def is_of_types(self) -> bool:
        """Whether it limits nothing but types, so that all others of a type are reached too."""
        return self.grounds is None or all(ground.is_of_types for ground in self.grounds)

    @property
    def is_plain(self) -> bool:
        """Whether it asks for no condition and names few patients, so that it may be remembered."""
        return all(
            ground.where is None and len(ground.owners or ()) + len(ground.barred) <= FEW
            for ground in self.grounds or ()
        )

    @property
    def types(self) -> frozenset[str] | None:
        """The types that something may be reached of; None: every type."""
        found: frozenset[str] = frozenset()
        if self.grounds is None:
            return None
        for ground in self.grounds:
            if ground.types is None:
                return None
            found |= ground.types
        return found

    def holds_all_of(self, type: str, *, of_nobody: bool = False) -> bool:
        """Whether one ground alone reaches all of a type; of_nobody: none of it is a patient's."""
        if self.grounds is None:
            return True
        whole = (None, frozenset({0})) if of_nobody else (None,)
        return any(
            (ground.types is None or type in ground.types)
            and ground.owners in whole
            and ground == Ground(ground.types, ground.owners)
            for ground in self.grounds
        )

    def allows(self, facts: Facts) -> bool:
        return self.grounds is None or any(ground.holds(facts) for ground in self.grounds)

    def among(self, types: frozenset[str]) -> Restriction:
        """The same, of resources that are of these types (none: of any): in fewer grounds."""
        return self if self.grounds is None else _among(self.grounds, types)


@lru_cache(maxsize=256)
def _among(grounds: tuple[Ground, ...], types: frozenset[str]) -> Restriction:
    found: dict[Ground, frozenset[int] | None] = {}
    for ground in grounds:
        of = types & ground.types if types and ground.types is not None else ground.types
        if of == frozenset():
            continue
        if of == types and ground.where is None:
            of = None
        rest, known = replace(ground, types=of, owners=None), ground.owners
        if rest in found:
            before = found[rest]
            known = None if known is None or before is None else known | before
        found[rest] = known
    merged = tuple(replace(rest, owners=owners) for rest, owners in found.items())
    return EVERYTHING if Ground() in merged else Restriction(merged)


ANYTHING = AllOf()
EVERYTHING = Restriction(None)
NOTHING = Restriction(())


def only(types: frozenset[str] | None = None, owners: frozenset[int] | None = None) -> Restriction:
    """What is of these types and belongs to these patients."""
    return Restriction((Ground(types, owners),))


@dataclass(frozen=True, slots=True)
class Select:
    """Which current, undeleted resources. An empty `types` means every type. What may be reached
    has no default here or anywhere: whoever forgot it would reach everything."""

    types: tuple[str, ...]
    where: Condition = ANYTHING
    restriction: Restriction = field(kw_only=True)
