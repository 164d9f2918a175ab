"""primitive — the primitive types: what a valid value is, and the interval a date spans.

https://hl7.org/fhir/R4/datatypes.html#primitive

`VALID[type](value)` is asked for every value of every resource, so each predicate decides by the
cheapest true test first.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any

Predicate = Callable[[Any], bool]

MAX_STRING = 1024 * 1024  # characters; R4 datatypes#string
# A decimal is an xs:decimal or an xs:double, "the limits documented in XML Schema apply".
MAX_EXPONENT, MIN_EXPONENT = 308, -400

# R4 datatypes#string: no code point below 32 but tab, CR, LF. Nor what XML 1.0 cannot carry:
# every resource must be answerable as XML.
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]").search
BLANK = re.compile(r"\s").search

YEAR = r"(?!0000)[0-9]{4}"
MONTH = r"(?:0[1-9]|1[0-2])"
DAY = r"(?:0[1-9]|[12][0-9]|3[01])"
CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
ZONE = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"

_code = re.compile(r"[^\s]+(?:\s[^\s]+)*").fullmatch
_id = re.compile(r"[A-Za-z0-9\-.]{1,64}").fullmatch
_oid = re.compile(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+").fullmatch
_uuid = re.compile(
    r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
).fullmatch
_base64 = re.compile(r"[0-9a-zA-Z+/]*={0,2}").fullmatch
_date = re.compile(rf"{YEAR}(?:-{MONTH}(?:-{DAY})?)?").fullmatch
_date_time = re.compile(rf"{YEAR}(?:-{MONTH}(?:-{DAY}(?:T{CLOCK}{ZONE})?)?)?").fullmatch
_instant = re.compile(rf"{YEAR}-{MONTH}-{DAY}T{CLOCK}{ZONE}").fullmatch
_time = re.compile(CLOCK).fullmatch
_blanks = str.maketrans("", "", " \t\r\n")


def is_string(value: Any) -> bool:
    return (
        value.__class__ is str
        and value != ""
        and (value.isprintable() or not CONTROL(value))
        and not value.isspace()  # trimmed in XML, it would be nothing
        and len(value) <= MAX_STRING
    )


def is_xhtml(value: Any) -> bool:
    return value.__class__ is str and value != "" and not CONTROL(value)


def is_code(value: Any) -> bool:
    return (
        value.__class__ is str
        and value != ""
        and (
            (value.isprintable() and " " not in value)  # of all blanks only the space is printable
            or (_code(value) is not None and not CONTROL(value))
        )
        and len(value) <= MAX_STRING
    )


def is_id(value: Any) -> bool:
    return value.__class__ is str and _id(value) is not None


def is_uri(value: Any) -> bool:
    return (
        value.__class__ is str
        and value != ""
        and (
            (value.isprintable() and " " not in value)  # of all blanks only the space is printable
            or (BLANK(value) is None and not CONTROL(value))
        )
        and len(value) <= MAX_STRING
    )


def is_oid(value: Any) -> bool:
    return value.__class__ is str and _oid(value) is not None


def is_uuid(value: Any) -> bool:
    return value.__class__ is str and _uuid(value) is not None


def is_boolean(value: Any) -> bool:
    return value is True or value is False


def is_integer(value: Any) -> bool:
    return value.__class__ is int and -2147483648 <= value <= 2147483647


def is_unsigned_int(value: Any) -> bool:
    return value.__class__ is int and 0 <= value <= 2147483647


def is_positive_int(value: Any) -> bool:
    return value.__class__ is int and 1 <= value <= 2147483647


def is_decimal(value: Any) -> bool:
    if value.__class__ is int:
        return -(10**308) < value < 10**308
    if not isinstance(value, Decimal) or not value.is_finite():
        return False
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    return exponent >= MIN_EXPONENT and (value.is_zero() or value.adjusted() <= MAX_EXPONENT)


def is_base64(value: Any) -> bool:
    if value.__class__ is not str or value == "":
        return False
    bare = value if value.isalnum() else value.translate(_blanks)
    return bare != "" and len(bare) % 4 == 0 and _base64(bare) is not None


def _is_real(text: str) -> bool:
    """Whether a date's day is in its month."""
    if text[8:10] <= "28":
        return True
    try:
        date(int(text[:4]), int(text[5:7]), int(text[8:10]))
    except ValueError:
        return False
    return True


def is_date(value: Any) -> bool:
    return value.__class__ is str and _date(value) is not None and _is_real(value)


def is_date_time(value: Any) -> bool:
    return value.__class__ is str and _date_time(value) is not None and _is_real(value)


def is_instant(value: Any) -> bool:
    return value.__class__ is str and _instant(value) is not None and _is_real(value)


def is_time(value: Any) -> bool:
    return value.__class__ is str and _time(value) is not None


VALID: dict[str, Predicate] = {
    "base64Binary": is_base64,
    "boolean": is_boolean,
    "canonical": is_uri,
    "code": is_code,
    "date": is_date,
    "dateTime": is_date_time,
    "decimal": is_decimal,
    "id": is_id,
    "instant": is_instant,
    "integer": is_integer,
    "markdown": is_string,
    "oid": is_oid,
    "positiveInt": is_positive_int,
    "string": is_string,
    "time": is_time,
    "unsignedInt": is_unsigned_int,
    "uri": is_uri,
    "url": is_uri,
    "uuid": is_uuid,
    "xhtml": is_xhtml,
}

# The JSON type of each, where it is not a string. https://hl7.org/fhir/R4/json.html#primitive
# The types that are no text in JSON.
JSON_TYPE: dict[str, str] = {
    "boolean": "boolean",
    "integer": "number",
    "unsignedInt": "number",
    "positiveInt": "number",
    "decimal": "number",
}

# --- the interval a date spans --------------------------------------------------------------------

DAY_MS = 86_400_000
EPOCH = date(1970, 1, 1).toordinal()
LOCAL_MINUTES = 7 * 60  # Indochina Time

# R4 search#date:  yyyy-mm-ddThh:mm:ss[Z|(+|-)hh:mm]; seconds may be left out of a search
INSTANT = re.compile(
    rf"({YEAR})(?:-({MONTH})(?:-({DAY})"
    r"(?:T([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]|60)(?:\.([0-9]+))?)?"
    rf"({ZONE})?)?)?)?"
).fullmatch


@lru_cache(maxsize=1 << 14)
def interval(text: str, zone_offset_minutes: int = LOCAL_MINUTES) -> tuple[int, int]:
    """The interval [lo, hi) in milliseconds since 1970 UTC that a date, dateTime or instant spans.

    A text without a zone is read at the given one. A leap second is the first of the next minute.
    Raises ValueError where the text is no date.
    """
    found = INSTANT(text)
    if found is None:
        raise ValueError(f"`{text[:50]}` is not a date")
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    shift = (_zone_minutes(zone) if zone else zone_offset_minutes) * 60_000
    if hour is None:
        first, after = _days(int(year), int(month) if month else None, int(day) if day else None)
        return (first - EPOCH) * DAY_MS - shift, (after - EPOCH) * DAY_MS - shift
    days = date(int(year), int(month), int(day)).toordinal() - EPOCH
    lo = days * DAY_MS + (int(hour) * 60 + int(minute)) * 60_000 - shift
    if second is None:
        return lo, lo + 60_000
    lo += int(second) * 1000
    if fraction is None:
        return lo, lo + 1000
    lo += int(fraction[:3].ljust(3, "0"))
    return lo, lo + max(1, 1000 // 10 ** len(fraction[:3]))


def _zone_minutes(zone: str) -> int:
    if zone == "Z":
        return 0
    minutes = int(zone[1:3]) * 60 + int(zone[4:6])
    return -minutes if zone[0] == "-" else minutes


def _days(year: int, month: int | None, day: int | None) -> tuple[int, int]:
    """The first day of a year, month or day, and the day after its last, as ordinals."""
    if day is not None and month is not None:
        first = date(year, month, day).toordinal()
        return first, first + 1
    if month is not None and month < 12:
        return date(year, month, 1).toordinal(), date(year, month + 1, 1).toordinal()
    return date(year, month or 1, 1).toordinal(), date(year, 12, 31).toordinal() + 1
