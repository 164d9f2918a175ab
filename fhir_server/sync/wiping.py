"""wiping — the hub's word to a node that is revoked: to wipe what it has. Signed, of no other use.

https://hl7.org/fhir/R4/signatures.html

RFC 7515, ES256, by the keys that sign receipts, under a type of its own. It names the node and the
thumbprint (RFC 7638) of the key it has, so it is nobody else's, and no later one's. The same word
is signed by each key the hub has had: a node that was away for years knows an old one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import orjson
from joserfc import jws
from joserfc.jwk import Key

from fhir_server.foundation.outcome import Invalid
from fhir_server.security.tokens import signed as tokens
from fhir_server.security.tokens.keys import Jwk, chosen
from fhir_server.security.tokens.ring import Ring
from fhir_server.sync.receipts import ALGORITHM

TYPE: Final = "fhir-server-wipe+jws"
MOST = 20  # signatures that are looked at


@dataclass(frozen=True, slots=True)
class Word:
    """node: the client. key: the thumbprint of its key. at: when it was ordered, in milliseconds
    since 1970 UTC by the hub's clock, by which the node names it when it is done."""

    node: str
    key: str
    at: int


def signed(word: Word, key: Key) -> str:
    head = {"alg": ALGORITHM, "kid": key.kid, "typ": TYPE}
    return jws.serialize_compact(head, orjson.dumps(asdict(word)), key, algorithms=[ALGORITHM])


async def words(ring: Ring, word: Word, now: int) -> list[str]:
    """The word by each key of the ring, the newest first."""
    published = await ring.published(now)
    keys = [await ring.by_kid(each["kid"], now) for each in published["keys"]]
    return [signed(word, key) for key in keys if key is not None]


def verified(told: Any, keys: Sequence[Jwk], *, node: str, key: str) -> Word:
    """The word to this node with this key, by one of the hub's keys that were known before. told:
    what came beside a refusal. Raises Invalid."""
    if not isinstance(told, list):
        raise Invalid("What came with the refusal is no list of signed words.")
    for each in told[:MOST]:
        found = _read(each, keys)
        if found is not None:
            if (found.node, found.key) != (node, key):
                raise Invalid("The word is to another node, or to another key of this one.")
            return found
    raise Invalid("The word to wipe is not signed by a key of the hub that was known before.")


def _read(told: Any, keys: Sequence[Jwk]) -> Word | None:
    """None: it is signed by nobody who is known."""
    try:
        head = tokens.header(told)
        if head.get("typ") != TYPE or any(name in head for name in tokens.BROUGHT):
            return None
        opened = jws.deserialize_compact(told, chosen(keys, head, (ALGORITHM,)), [ALGORITHM])
        match orjson.loads(opened.payload):
            case {"node": str(node), "key": str(key), "at": int(at)}:
                return Word(node, key, at)
    except Exception:  # whatever a library raises of what a stranger wrote
        return None
    return None
