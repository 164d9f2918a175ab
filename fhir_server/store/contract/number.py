"""number — the integers by which a store tells resources and values apart.

https://hl7.org/fhir/R4/references.html#literal
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from fhir_server.foundation.resource import Key

MISSING = -(2**62)  # a bound that is not there: an interval's open beginning or end
UNDATED = MISSING - 1  # the main date of what has none: newest first, it comes last
PARAM_SHIFT = 50  # a KeyRow.v is the parameter's number above 50 bits of hash
HASH_MASK = (1 << PARAM_SHIFT) - 1


@lru_cache(maxsize=1 << 16)
def hash128(text: str) -> int:
    """128 bits of a text. Keyed rows and ids are told apart by these, so a strong hash."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return int.from_bytes(digest)


@lru_cache(maxsize=1 << 16)
def rid(key: Key) -> int:
    """The resource's number: 63 bits of a hash of `Type/id`, so never negative.

    Known without asking, so references need no look-up and no place kept for a target that is
    not here yet. The store refuses the second of two ids with one number (Conflict).
    """
    return hash128(f"{key.type}/{key.id}") >> 65
