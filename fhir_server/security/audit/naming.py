"""naming — an entry's id as an AuditEvent, which tells neither its place nor how many there are.

https://hl7.org/fhir/R4/resource.html#id

The id is the entry's chain and number as one block of AES under a key made of the server's secret:
always the same for one entry, and of any other id nothing but an entry that is not there.
"""

from __future__ import annotations

import string
from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING

from fhir_server.store.contract import Entered

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.modes import ECB

PLACE = Struct(">QQ")
MOST = 1 << 63
DIGITS = frozenset(string.hexdigits.lower())


def id_of(secret: bytes, entered: Entered) -> str:
    return _cipher(secret).encryptor().update(PLACE.pack(entered.chain, entered.number)).hex()


def place(secret: bytes, id: str) -> tuple[int, int] | None:
    """The chain and the number an AuditEvent's id names, or None where it can name none."""
    if len(id) != 2 * PLACE.size or not DIGITS.issuperset(id):
        return None
    chain, number = PLACE.unpack(_cipher(secret).decryptor().update(bytes.fromhex(id)))
    return (chain, number) if 0 < chain < MOST and 0 < number < MOST else None


@lru_cache(maxsize=4)
def _cipher(secret: bytes) -> Cipher[ECB]:
    """One block by itself, each another: what such a mode gives away of many, it cannot of one."""
    # Loading it takes as long as a command that shows its `--help`, so it waits for a first id.
    from cryptography.hazmat.primitives.ciphers import (  # noqa: PLC0415 - above
        Cipher,
        algorithms,
        modes,
    )

    key = blake2b(blake2b(secret).digest(), digest_size=32, person=b"audit id").digest()
    return Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305 - see above
