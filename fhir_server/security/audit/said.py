"""said — what one entry of the audit says, as it is kept: a JSON array, packed where it is long.

https://hl7.org/fhir/R4/auditevent.html

It names resources by their ids and versions, so that it can be read without the records; patients
by the numbers they are found by, since a record may name one who is not stored here.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec
import zstandard

from fhir_server.foundation.resource import Key
from fhir_server.store.contract import Entry, hash128, rid

LONG = 1024  # bytes; shorter ones would hardly become smaller
LARGEST = 64 * 1024 * 1024  # bytes of one entry, unpacked: more is damage
ZSTD = b"\x28\xb5\x2f\xfd"
MOST_URL = 16 * 1024  # characters of a URL that are kept


class Said(msgspec.Struct, array_like=True, frozen=True):
    """Who asked for what, when it was and what became of it.

    New members are added at the end, with a default.
    """

    interaction: str  # a code of restful-interaction, or a word of this server's own
    status: int  # of HTTP
    code: str = ""  # of a refusal: its issue type
    url: str = ""  # path and query as they were asked
    request: str = ""  # X-Request-Id
    client: str = ""
    user: str = ""
    facility: str = ""
    roles: tuple[str, ...] = ()
    purpose: str = ""
    basis: str = ""
    reason: str = ""
    token: str = ""
    address: str = ""
    # type, id, version id, and whose it is: a place in `patients` from 1; 0: nobody's
    resources: tuple[tuple[str, str, str, int], ...] = ()
    patients: tuple[int, ...] = ()
    rules: tuple[str, ...] = ()  # of the policy, by which it was reached

    @property
    def failed(self) -> bool:
        return self.status >= 400

    def of(self, patient: int) -> Said:
        """What of it is about one patient alone, and of nobody else."""
        place = self.patients.index(patient) + 1 if patient in self.patients else -1
        own = tuple((*one[:3], 1) for one in self.resources if one[3] == place)
        return msgspec.structs.replace(self, url="", resources=own, patients=(patient,))


class Unreadable(Exception):
    """The bytes are not what an entry can hold: they were changed."""


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Said)
_PACK = zstandard.ZstdCompressor(level=1)


def entry(said: Said, at: int) -> Entry:
    body = _ENCODER.encode(said)
    if len(body) >= LONG:
        body = _PACK.compress(body)
    return Entry(at, subjects(said), body)


def read(body: bytes) -> Said:
    """Raises Unreadable."""
    try:
        if body[:4] == ZSTD:
            if zstandard.frame_content_size(body) > LARGEST:
                raise Unreadable
            body = zstandard.ZstdDecompressor().decompress(body, max_output_size=LARGEST)
        return _DECODER.decode(body)
    except (msgspec.MsgspecError, zstandard.ZstdError, UnicodeDecodeError) as error:
        raise Unreadable(str(error)) from error


def subjects(said: Said) -> tuple[int, ...]:
    """The numbers an entry is found by, each once."""
    who = (of_client(said.client), of_user(said.user)) if said.user else (of_client(said.client),)
    return tuple(dict.fromkeys((*who, *said.patients)))


@lru_cache(maxsize=4096)
def of_client(id: str) -> int:
    return hash128(f"client {id}") >> 65


@lru_cache(maxsize=4096)
def of_user(name: str) -> int:
    return hash128(f"user {name}") >> 65


def of_patient(id: str) -> int:
    return rid(Key("Patient", id))
