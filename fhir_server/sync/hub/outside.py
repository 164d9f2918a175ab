"""outside — the number by which the log names a node that sent what it does not see.

https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

from hashlib import blake2b


def number_of(node: str) -> int:
    """`whom` of an OUTSIDE: 63 bits of a hash of the client's id."""
    digest = blake2b(node.encode(), digest_size=8, person=b"node").digest()
    return int.from_bytes(digest) >> 1
