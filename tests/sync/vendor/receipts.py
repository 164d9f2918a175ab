"""receipts — what a hub signed, verified without it.

docs/sync.md, "Receipts".
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from joserfc import jwk, jws

from tests.sync.vendor.places import Place, next_of, place


class Forged(Exception):
    """It is not what the hub signed."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a number."""

    number: int
    outcome: str
    place: Place | None


def url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def hash_of(signed: str) -> str:
    """How the next chunk's receipts name these."""
    return url64(hashlib.sha256(signed.encode()).digest())


def verified(said: str, signed: str, keys: dict[str, Any], sent: dict[int, str]) -> list[Receipt]:
    """Receipts of the versions that were sent under these numbers, as the hub has signed them."""
    try:
        jws.deserialize_compact(
            whole(said, signed), jwk.KeySet.import_key_set(keys), algorithms=["ES256"]
        )
    except Exception as error:
        raise Forged("not signed by this hub") from error
    told = json.loads(said)
    found = receipts(told["receipts"])
    lines = "".join(f"{one.number} {sent.get(one.number, '')}\n" for one in found)
    if told["revs"] != url64(hashlib.sha256(lines.encode()).digest()):
        raise Forged("of other versions than were sent")
    return found


def whole(said: str, signed: str) -> str:
    """As it is shown to the hub: a JWS with its payload in it."""
    head, _, signature = signed.partition("..")
    return f"{head}.{url64(said.encode())}.{signature}"


def receipts(text: str) -> list[Receipt]:
    """`41 warned 2.901.3,42 stored +`."""
    found: list[Receipt] = []
    at: Place | None = None
    for one in text.split(",") if text else ():
        number, outcome, where = one.split(" ")
        if where != "-":
            at = next_of(at) if where == "+" and at else place(where)
        found.append(Receipt(int(number), outcome, None if where == "-" else at))
    return found


def chain_holds(kept: list[tuple[str, str]]) -> bool:
    """Whether each of (said, signed) names the one before it in its incarnation."""
    last: dict[str, str] = {}
    for text, signed in kept:
        told = json.loads(text)
        if told["before"] != last.get(told["incarnation"], ""):
            return False
        last[told["incarnation"]] = hash_of(signed)
    return True
