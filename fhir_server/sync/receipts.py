"""receipts — what a hub says it has taken, signed, so that it can be shown later and without it.

https://hl7.org/fhir/R4/signatures.html

RFC 7515, ES256. One signature is over a chunk's receipts: which node and incarnation, a hash of
the versions that were sent, what became of each and where it stands in the hub's log, the hub's
time, and the hash of the signature before. What was signed travels beside its signature (RFC 7515
Appendix F), not inside it: base64 would not be compressed.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import Key

from fhir_server.foundation.outcome import Invalid
from fhir_server.security.tokens.keys import BadKeys, Jwk, chosen
from fhir_server.security.tokens.ring import Kind
from fhir_server.sync.lineage import Rev
from fhir_server.sync.words import Push, Receipt
from fhir_server.sync.words.answer import said_of

ALGORITHM: Final = "ES256"
# What was signed is verified for years: a receipt is what a post holds against the province.
KEYS = Kind("receipt keys", ALGORITHM, quarter=365, published=3650, many=12)
FIRST = ""  # the hash before the first of an incarnation
WORDS = ("node", "incarnation", "revs", "receipts", "epoch", "before")


@dataclass(frozen=True, slots=True)
class Said:
    """What was signed. revs: a hash of the numbers and versions (see `revs_of`). receipts: as
    `words.answer.receipts_of` reads them. epoch: the name of the hub's last. before: the hash of
    the signature before, of this incarnation."""

    node: str
    incarnation: str
    revs: str
    receipts: str
    epoch: str
    now: int
    before: str


def said(push: Push, receipts: Sequence[Receipt], *, epoch: str, now: int, before: str) -> str:
    """What is to be signed, as JSON."""
    told = {
        "node": push.node,
        "incarnation": push.incarnation,
        "revs": revs_of((one.number, one.rev) for one in receipts),
        "receipts": said_of(receipts),
        "epoch": epoch,
        "now": now,
        "before": before,
    }
    return orjson.dumps(told).decode()


def revs_of(sent: Iterable[tuple[int, Rev]]) -> str:
    """A hash of these numbers and their versions."""
    lines = "".join(f"{number} {rev}\n" for number, rev in sent)
    return _text(hashlib.sha256(lines.encode()).digest())


def signed(text: str, key: Key) -> str:
    """The signature: `[header]..[signature]`."""
    head = {"alg": ALGORITHM, "kid": key.kid}
    whole = jws.serialize_compact(head, text.encode(), key, algorithms=[ALGORITHM])
    first, _, last = whole.split(".")
    return f"{first}..{last}"


def hash_of(signature: str) -> str:
    """By which the next one names it."""
    return _text(hashlib.sha256(signature.encode()).digest())


def verified(text: str, signature: str, keys: Sequence[Jwk]) -> Said:
    """What was signed with one of these keys. Raises Invalid."""
    first, _, last = signature.partition("..")
    whole = f"{first}.{_text(text.encode())}.{last}"
    try:
        head = orjson.loads(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))
        # These keys sign other things, too, which say of what type they are.
        key = chosen([] if "typ" in head else keys, head, (ALGORITHM,))
        jws.deserialize_compact(whole, key, algorithms=[ALGORITHM])
        told = orjson.loads(text)
    except (BadKeys, JoseError, ValueError, AttributeError, TypeError) as error:
        raise Invalid("The receipt is not signed by one of the hub's keys.") from error
    return _read(told)


def _read(told: Any) -> Said:
    if (
        not isinstance(told, dict)
        or not all(isinstance(told.get(word), str) for word in WORDS)
        or type(told.get("now")) is not int
    ):
        raise Invalid("What was signed is no receipt.")
    return Said(**{word: told[word] for word in (*WORDS, "now")})


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
