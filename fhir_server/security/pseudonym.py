"""pseudonym — another id for each record, so that no id a person is known by is told.

https://hl7.org/fhir/R4/secpriv-module.html#deident

An id may be the number of an identity card, or stand in another register beside a name. To whoever
must not know whose a record is, each is told under an id made of the record's number by a keyed
cipher (AES-SIV, RFC 5297): always the same for one client, so that what belongs together stays
together; another for each client, so that two cannot compare; and read by it, because the server
alone can turn it back.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

from fhir_server.foundation.resource import Key
from fhir_server.store.contract.number import rid

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

SHAPE = re.compile("[0-9a-f]{48}")  # 16 bytes that show it is ours, and the 8 of the number


class Pseudonyms:
    """Those told to one client."""

    def __init__(self, secret: bytes, client: str) -> None:
        self._secret, self._client = secret, client.encode()

    def of(self, key: Key) -> str:
        """The id under which the record is told."""
        return _sealed(self._secret, self._client, rid(key))

    def number(self, id: str) -> int | None:
        """The number of the record that is told so; None: it was not told to this client."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - see _cipher

        if not SHAPE.fullmatch(id):
            return None
        try:
            told = _cipher(self._secret).decrypt(bytes.fromhex(id), [self._client])
        except InvalidTag:
            return None
        return int.from_bytes(told)

    def word(self, text: str) -> str:
        """A name that means something within one record only: the id of what is contained."""
        key = blake2b(self._secret, digest_size=32, person=b"contained").digest()
        return blake2b(text.encode() + b"\0" + self._client, digest_size=8, key=key).hexdigest()


@lru_cache(maxsize=1 << 14)
def _sealed(secret: bytes, client: bytes, number: int) -> str:
    return _cipher(secret).encrypt(number.to_bytes(8), [client]).hex()


@lru_cache(maxsize=4)
def _cipher(secret: bytes) -> AESSIV:
    # Loading it takes as long as a command that shows its `--help`: search/page.py waits too.
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415 - above

    # blake2b takes 64 bytes of key; whoever sets a longer secret has all of it count.
    key = blake2b(blake2b(secret).digest(), digest_size=64, person=b"pseudonym").digest()
    return AESSIV(key)
