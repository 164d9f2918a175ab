"""piece — some versions of a node, signed by it, and sealed for its hub alone.

https://hl7.org/fhir/R4/security.html
https://hl7.org/fhir/R4/signatures.html

RFC 7515 within RFC 7516. Who finds a copy reads in a piece's header whose it is, of when, and which
piece; not what it holds. The same words stand in what was signed, with the key it was sealed for,
so that no piece can be given another place, another node or another hub.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, NamedTuple

from joserfc import jwe, jwk, jws
from joserfc.errors import JoseError

from fhir_server.foundation.resource import ID
from fhir_server.security.tokens.keys import MAX_KID, BadKeys, Jwk, Strict, chosen, read
from fhir_server.security.tokens.ring import Kind
from fhir_server.sync import wire

ALGORITHM: Final = "ECDH-ES+A256KW"
CONTENT = "A256GCM"
SIGNED = ("ES384", "RS384")  # as nodes sign their assertions
CURVE = "P-256"
# A copy may lie in a drawer for years before somebody brings it.
KEYS = Kind("copy keys", ALGORITHM, quarter=365, published=3650, many=12)
OUTSIDE, INSIDE = "sync-piece", "sync-versions"  # the `typ` of what is sealed, and of what is in it
MOST = 20 * 1024 * 1024  # letters of a piece
UNPACKED = 64 * 1024 * 1024  # bytes of the Bundle in one
LARGEST = 2**53
ERRORS = (JoseError, BadKeys, ValueError, TypeError, KeyError, AttributeError, binascii.Error)


class Why(NamedTuple):
    """A piece is not taken. code: of an issue."""

    english: str
    vietnamese: str
    code: str = "invalid"


class BadPiece(Exception):
    """A piece is not taken."""

    def __init__(self, why: Why) -> None:
        super().__init__(why.english)
        self.why = why


NO_PIECE = Why(
    "This is no piece of a copy: a JWE in compact serialization, with the header that a copy has.",
    "Đây không phải là một mảnh của bản sao lưu.",
)
LARGE = Why(
    f"The piece is longer than {MOST} letters.",
    f"Mảnh này dài hơn {MOST} ký tự.",
    "too-long",
)
DAMAGED = Why(
    "The piece was changed or cut since it was sealed, so it cannot be opened.",
    "Mảnh này đã bị sửa hoặc bị cắt từ khi niêm phong nên không mở được.",
)
MOVED = Why(
    "The piece says outside that it is of another node, copy, place or hub than was signed.",
    "Mảnh này ghi bên ngoài một nơi khác với nơi mà máy trạm đã ký.",
    "security",
)
UNSIGNED = Why(
    "No key that its node has, or ever had, has signed the piece.",
    "Mảnh này không được ký bằng khóa nào của máy trạm.",
    "security",
)
UNREADABLE = Why(
    f"What the node has signed is damaged, or has more than {UNPACKED} bytes.",
    f"Nội dung mà máy trạm đã ký bị hỏng, hoặc lớn hơn {UNPACKED} byte.",
)


class _Sealing(jwe.JWERegistry):
    max_ciphertext_length = MOST


class _Signing(jws.JWSRegistry):
    max_header_length = 2048
    max_payload_length = MOST


_SEALING = _Sealing(algorithms=[ALGORITHM, CONTENT], strict_check_header=False)
_SIGNING = _Signing(algorithms=list(SIGNED), strict_check_header=False)


@dataclass(frozen=True, slots=True)
class Head:
    """What anybody may read of a piece. copy: the random name of the copy it is of, and piece: its
    number in it. low: the first piece that is still needed. first, count: the numbers of its
    versions. at: when it was made, and offset: how far that clock was ahead of the hub's, in
    milliseconds. latest: when the last of its versions was written; 0: it has none."""

    node: str
    copy: str
    piece: int
    low: int
    first: int
    count: int
    at: int
    offset: int = 0
    latest: int = 0


WORDS = tuple(field.name for field in fields(Head))


class Opened(NamedTuple):
    """head: as it stands outside; signed: what was in it."""

    head: Head
    kid: str
    signed: str


def sealed(head: Head, body: bytes, key: Jwk, to: Jwk) -> str:
    """One line of a copy. body: the Bundle. key: the node's own; to: the hub's."""
    told = asdict(head)
    own = jwk.import_key(dict(key))
    signing = {"alg": key.get("alg", SIGNED[0]), "kid": key["kid"], "typ": INSIDE, "for": to["kid"]}
    signed = jws.serialize_compact({**signing, **told}, wire.packed(body), own, registry=_SIGNING)
    sealing = {"alg": ALGORITHM, "enc": CONTENT, "kid": to["kid"], "typ": OUTSIDE}
    public = jwk.import_key({**to, "use": "enc"})
    return jwe.encrypt_compact({**sealing, **told}, signed.encode(), public, registry=_SEALING)


def head_of(line: str) -> tuple[Head, str]:
    """What a piece says of itself, which nothing proves yet, and the key it was sealed for. Raises
    BadPiece."""
    told = _header(line, 5)
    if told.get("typ") != OUTSIDE or told.get("alg") != ALGORITHM or told.get("enc") != CONTENT:
        raise BadPiece(NO_PIECE)
    kid = told.get("kid")
    if not isinstance(kid, str):
        raise BadPiece(NO_PIECE)
    return _head(told), kid


def opened(line: str, key: jwk.Key) -> Opened:
    """What is in it. key: the hub's, that it was sealed for. Raises BadPiece."""
    head, kid = head_of(line)
    try:
        found = jwe.decrypt_compact(line, key, registry=_SEALING)
        return Opened(head, kid, (found.plaintext or b"").decode("ascii"))
    except ERRORS:
        raise BadPiece(DAMAGED) from None


def verified(one: Opened, keys: Sequence[Jwk]) -> bytes:
    """The Bundle, if one of these keys has signed it as what it says it is. Raises BadPiece."""
    told = _header(one.signed, 3)
    if told.get("typ") != INSIDE or _head(told) != one.head or told.get("for") != one.kid:
        raise BadPiece(MOVED)
    try:
        key = chosen(keys, told, SIGNED)
        found = jws.deserialize_compact(one.signed, key, registry=_SIGNING)
    except ERRORS:
        raise BadPiece(UNSIGNED) from None
    try:
        return wire.unpacked(found.payload, at_most=UNPACKED)
    except (wire.UnknownDictionary, ValueError):
        raise BadPiece(UNREADABLE) from None


def sealing_key(text: str | bytes) -> Jwk | None:
    """The first key of a published set that is for sealing; None: there is none. Raises BadKeys."""
    for one in read(text):
        if isinstance(one, dict) and (one.get("kty"), one.get("crv")) == ("EC", CURVE):
            public = {name: str(one.get(name)) for name in ("kty", "crv", "x", "y", "kid")}
            if max(map(len, public.values())) > MAX_KID:
                continue
            try:
                jwk.import_key(dict(public))
            except ERRORS:
                continue
            return public
    return None


def _header(compact: str, parts: int) -> Mapping[str, Any]:
    """The header of a compact serialization of so many parts. Raises BadPiece."""
    if len(compact) > MOST:
        raise BadPiece(LARGE)
    first, *rest = compact.split(".", parts)
    if len(rest) != parts - 1 or not compact.isascii():
        raise BadPiece(NO_PIECE)
    try:
        told = Strict().decode(_decoded(first).decode())
    except (ValueError, RecursionError):
        raise BadPiece(NO_PIECE) from None
    if not isinstance(told, dict):
        raise BadPiece(NO_PIECE)
    return told


def _decoded(text: str) -> bytes:
    if len(text) > 4096:
        raise ValueError
    return binascii.a2b_base64(
        text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), strict_mode=True
    )


def _head(told: Mapping[str, Any]) -> Head:
    node, copy = told.get("node"), told.get("copy")
    numbers = [told.get(word) for word in WORDS[2:]]
    if not isinstance(node, str) or not isinstance(copy, str):
        raise BadPiece(NO_PIECE)
    if not (ID.fullmatch(node) and ID.fullmatch(copy) and all(map(_is_number, numbers))):
        raise BadPiece(NO_PIECE)
    found = Head(node, copy, *numbers)  # type: ignore[arg-type] # each was looked at above
    if min(found.piece, found.low, found.first) < 1 or min(found.count, found.at) < 0:
        raise BadPiece(NO_PIECE)
    return found


def _is_number(value: object) -> bool:
    return type(value) is int and abs(value) < LARGEST
