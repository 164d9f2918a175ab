"""standing — where a node stands in what the hub has for it: what its cursor holds.

https://hl7.org/fhir/R4/http.html#paging

A node without a cursor is sent everything once: what everybody has, then its patients, each with
all that is theirs. It joins the log where the log was when that began. A patient who comes home
later is sent whole at that place of the log, over as many pages as it takes.

A cursor goes over a narrow line with every page, so it is no longer than what it says, and of one
place always the same: it tells of a node's own standing, to that node. It is encrypted all the same
(AES-SIV, RFC 5297), so that nobody makes one.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, fields
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import orjson

from fhir_server.foundation.outcome import Invalid
from fhir_server.search.page import unseal
from fhir_server.store.contract import Position

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

STAGES = ("everywhere", "patients", "outside", "following")
LONGEST = 4096  # letters of a cursor
TAG = 16  # bytes of it that nobody can make
STRANGE = (
    "This `cursor` is damaged, or was given by another hub, to another node, or by another version"
    " of the hub. Begin again without it."
)


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
        """What is as it is by itself is left out, from the end."""
        told = [getattr(self, name) for name in NAMES]
        told[STAGE] = STAGES.index(self.stage)
        if self.stage == STAGES[-1] and not self.sending:
            told[PATIENT] = 0  # who was sent last says nothing any more
        while told[-1] == DEFAULTS[len(told) - 1]:
            told.pop()
        body = _cipher(secret).encrypt(orjson.dumps(told), [to.encode()])
        return base64.urlsafe_b64encode(body).decode().rstrip("=")


# In the order of a cursor: what is seldom said comes last.
NAMES = (
    *("log", "seq", "num", "stage", "passed"),
    *("patient", "sending", "last", "mark", "edge", "bound"),
)
STAGE, PATIENT = NAMES.index("stage"), NAMES.index("patient")
_BY_ITSELF = {one.name: one.default for one in fields(Standing)}
DEFAULTS = tuple(_BY_ITSELF[name] for name in NAMES)


def opened(secret: bytes, text: str, *, to: str) -> Standing:
    """Raises Invalid for a cursor that was not given to this node."""
    told = _opened(secret, text, to)
    if told is None:
        return _of_before(secret, text, to=to)
    held = dict(zip(NAMES, told, strict=False))
    return Standing(**{**held, "stage": STAGES[held["stage"]], "edge": _edge(held.get("edge", ()))})


def _opened(secret: bytes, text: str, to: str) -> list[Any] | None:
    """What was sealed; None: it was not, here, to this node."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - see _cipher

    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        if len(text) > LONGEST or len(data) <= TAG:
            return None
        told: list[Any] = orjson.loads(_cipher(secret).decrypt(data, [to.encode()]))
    except (ValueError, InvalidTag):
        return None
    return told


def _of_before(secret: bytes, text: str, *, to: str) -> Standing:
    """As cursors were at first, by name: nodes hold theirs for as long as they were away."""
    try:
        before = unseal(secret, text, to=to)
    except Invalid:
        raise Invalid(STRANGE, expression="http.cursor") from None
    match before:
        case {"v": 1, "s": {"log": str(), **told} as held} if told.keys() <= frozenset(NAMES):
            return Standing(**{**held, "edge": _edge(told.get("edge", ()))})
    raise Invalid(STRANGE, expression="http.cursor")


def _edge(edge: Any) -> tuple[Any, ...]:
    return tuple(tuple(one) if isinstance(one, list) else one for one in edge)


@lru_cache(maxsize=4)
def _cipher(secret: bytes) -> AESSIV:
    """Under a key of its own, made of the server's secret."""
    # Loading it takes as long as a small command, so it waits for a first page.
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415 - above

    whole = blake2b(secret).digest()  # blake2b takes 64 bytes of key
    return AESSIV(blake2b(whole, digest_size=64, person=b"standing").digest())
