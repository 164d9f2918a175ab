"""standing — where a node stands in what the hub has for it: what its cursor holds.

https://hl7.org/fhir/R4/http.html#paging

A node without a cursor is sent everything once: what everybody has, then its patients, each with
all that is theirs. It joins the log where the log was when that began. A patient who comes home
later is sent whole at that place of the log, over as many pages as it takes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fhir_server.foundation.outcome import Invalid
from fhir_server.search.page import seal, unseal
from fhir_server.store.contract import Position

VERSION = 1  # of what a cursor holds
STAGES = ("everywhere", "patients", "outside", "following")
STRANGE = "This `cursor` is of another version of the hub. Begin again without it."


@dataclass(frozen=True, slots=True)
class Standing:
    """log: the store's cursor the next look begins with. seq, num: all of the log up to there is
    told. edge, bound: of what everybody has. patient, last: who is being sent whole, and up to
    which of their resources; or who was sent last. passed: the last receipt that was compared."""

    log: str
    seq: int = 0
    num: int = 0
    stage: str = STAGES[0]
    edge: tuple[Any, ...] = ()
    bound: str = ""
    patient: int = 0
    sending: bool = False
    last: int | None = None
    mark: int | None = None  # up to which resource those outside were told
    passed: int = 0

    @property
    def at(self) -> Position:
        return Position(self.seq, self.num)

    @property
    def entering(self) -> bool:
        """Whether something is being sent whole."""
        return self.stage != STAGES[-1] or self.sending

    def sealed(self, secret: bytes, *, to: str) -> str:
        told = {name: value for name, value in asdict(self).items() if value or name in KEPT}
        return seal(secret, {"v": VERSION, "s": told}, to=to)


def opened(secret: bytes, text: str, *, to: str) -> Standing:
    """Raises Invalid for a cursor that was not given to this node."""
    match unseal(secret, text, to=to):
        case {"v": 1, "s": {"log": str(), **told} as held} if told.keys() <= NAMES:
            edge: Any = told.get("edge", ())
            frozen = tuple(tuple(one) if isinstance(one, list) else one for one in edge)
            return Standing(**{**held, "edge": frozen})
    raise Invalid(STRANGE, expression="http.cursor")


KEPT = ("log", "last", "mark")  # also where they are 0
NAMES = frozenset(Standing.__dataclass_fields__)
