"""reach — what a caller may reach: the grounds on which a record is within a query or a write.

https://hl7.org/fhir/R4/security.html#authorization%2Faccess-control
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.store.contract.index import Condition


@dataclass(frozen=True, slots=True)
class Ground:
    """Why a record is reached: every fact of it must hold. None: whatever it is."""

    types: frozenset[str] | None = None
    owners: frozenset[int] | None = None  # rids of Patients; 0: what belongs to no patient
    facility: int | None = None  # the rid of the Organization that recorded it
    in_care_of: tuple[int, int] | None = None  # (rid of an Organization, moment in ms): whose then
    where: Condition | None = None  # and this holds of it; `types` is exactly one
    barred: frozenset[int] = frozenset()  # rids of Patients: what is theirs is not reached by this


@dataclass(frozen=True, slots=True)
class Restriction:
    """What a caller may reach; part of every query and every write. Any of the grounds is enough.

    None: without limit. (): nothing.
    """

    grounds: tuple[Ground, ...] | None = None

    @property
    def is_free(self) -> bool:
        return self.grounds is None


EVERYTHING, NOTHING = Restriction(), Restriction(())


def only(types: frozenset[str] | None = None, owners: frozenset[int] | None = None) -> Restriction:
    """What is of these types and belongs to these patients."""
    return Restriction((Ground(types, owners),))
