"""identifier — numbers of the right form: people's, cards', facilities', prescriptions'.

https://hl7.org/fhir/R4/datatypes.html#Identifier

Numbers that must not repeat are not drawn but counted, and the count is scattered: n times a
number that shares no factor with the size, so that each n has a place of its own.
"""

from __future__ import annotations

from datetime import date, datetime
from hashlib import blake2b

BASE_36 = "0123456789abcdefghijklmnopqrstuvwxyz"
SPREAD = {6: 387_421, 8: 61_803_399}  # share no factor with a power of ten
SPREAD_36 = 48_271_331_957  # odd and not a multiple of three


def uuid7(at: datetime, *key: object) -> str:
    """A UUID of version 7 (RFC 9562 5.7): its time is the record's, its chance is the key's."""
    chance = int.from_bytes(blake2b("/".join(map(str, key)).encode(), digest_size=10).digest())
    first, last = chance >> 68, chance & ((1 << 62) - 1)
    value = (int(at.timestamp() * 1000) << 80) | (7 << 76) | (first << 64) | (2 << 62) | last
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def scattered(count: int, digits: int, offset: int) -> str:
    """The count-th number of so many digits; none comes twice among the first 10 ** digits."""
    size = 10**digits
    return f"{(count * SPREAD[digits] + offset) % size:0{digits}}"


def gln(count: int) -> str:
    """13 digits: 893 (GS1 Viet Nam), the count, and GS1's check digit."""
    body = f"893{count:09}"
    return body + check_digit(body)


def check_digit(body: str) -> str:
    """GS1 mod 10: from the right, every other digit weighs three."""
    total = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(body[::-1]))
    return str(-total % 10)


def cccd(province: str, sex: str, birth: date, serial: str) -> str:
    """Province of the birth record (3), sex and century (1), year (2), serial (6)."""
    century = 2 * (birth.year // 100 - 19) + (0 if sex == "male" else 1)
    return f"0{province}{century}{birth.year % 100:02}{serial}"


def prescription(facility: str, count: int, type: str, offset: int) -> str:
    """Facility (5), seven of [0-9a-z] that tell no order, a hyphen and the type."""
    number, letters = (count * SPREAD_36 + offset) % 36**7, ""
    for _ in range(7):
        number, digit = divmod(number, 36)
        letters = BASE_36[digit] + letters
    return f"{facility}{letters}-{type}"
