"""temporal — dates and times of any precision: compared, and moved by a duration.

http://hl7.org/fhirpath/N1/#datetime
https://hl7.org/fhir/R4/datatypes.html#dateTime
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from decimal import Decimal

DATE = r"(?P<Y>[0-9]{4})(?:-(?P<M>[0-9]{2})(?:-(?P<D>[0-9]{2}))?)?"
TIME = r"(?P<h>[0-9]{2})(?::(?P<m>[0-9]{2})(?::(?P<s>[0-9]{2}(?:\.[0-9]{1,9})?))?)?"
ZONE = r"(?P<zone>Z|[+-][0-9]{2}:[0-9]{2})?"
FORMS = {
    "date": re.compile(DATE),
    "dateTime": re.compile(f"{DATE}(?:T(?:{TIME}{ZONE})?)?"),
    "time": re.compile(TIME),
}
SECONDS = {
    "week": Decimal(604_800),
    "day": Decimal(86_400),
    "hour": Decimal(3_600),
    "minute": Decimal(60),
    "second": Decimal(1),
    "millisecond": Decimal("0.001"),
}
UCUM = {"wk": "week", "d": "day", "h": "hour", "min": "minute", "s": "second", "ms": "millisecond"}


@dataclass(frozen=True, slots=True)
class Temporal:
    """A date, dateTime or time. `parts`: as many as were given, from the year or the hour."""

    kind: str
    parts: tuple[int | Decimal, ...]
    zone: int | None = None  # minutes east of UTC
    text: str = ""

    @staticmethod
    def parse(text: str, kind: str) -> Temporal | None:
        """What a text means, or None where it is no such thing or no such day."""
        found = FORMS[kind].fullmatch(text)
        if found is None:
            return None
        names = "hms" if kind == "time" else "YMD" if kind == "date" else "YMDhms"
        given = [(name, found[name]) for name in names if found[name] is not None]
        if kind == "dateTime" and found["h"] is not None and found["D"] is None:
            return None
        parts = tuple(Decimal(part) if name == "s" else int(part) for name, part in given)
        new = Temporal(kind, parts, _zone(found["zone"]) if kind == "dateTime" else None, text)
        return new if new._exists() else None

    def _exists(self) -> bool:
        day = (2000, 1, 1) if self.kind == "time" else _day(self.parts)
        hour, minute, second = _clock(self.parts if self.kind == "time" else self.parts[3:])
        in_a_day = hour < 24 and minute < 60 and second < 60
        return in_a_day and _is_date(*day) and (self.zone is None or abs(self.zone) <= 14 * 60)

    def __str__(self) -> str:
        return self.text

    @property
    def text_without_zone(self) -> str:
        return Temporal(self.kind, self.parts).rendered()

    def utc(self) -> tuple[int | Decimal, ...]:
        """The parts in UTC, where there are a zone and minutes to reckon with."""
        if not self.zone or len(self.parts) < 5:
            return self.parts
        try:
            hour, minute, *rest = self.parts[3:]
            moved = dt.datetime(*_day(self.parts), int(hour), int(minute), tzinfo=dt.UTC)
            moved -= dt.timedelta(minutes=self.zone)
        except OverflowError:
            return self.parts
        return (moved.year, moved.month, moved.day, moved.hour, moved.minute, *rest)

    def compare(self, other: Temporal) -> int | None:
        """-1, 0 or 1; None where the precision does not tell."""
        if (self.zone is None) != (other.zone is None) and min(
            len(self.parts), len(other.parts)
        ) > 3:
            return None if self._days_apart(other) <= 1 else _order(self.parts, other.parts)
        return _order(self.utc(), other.utc())

    def _days_apart(self, other: Temporal) -> int:
        one, two = (dt.date(*_day(each.parts)) for each in (self, other))
        return abs((one - two).days)

    def plus(self, amount: Decimal, unit: str) -> Temporal | None:
        """Moved by a duration; None where there is no such day, or the unit is no duration."""
        unit = UCUM.get(unit, unit.removesuffix("s"))
        amount = Decimal(int(amount))  # N1: the part after the point is ignored
        try:
            if unit in ("year", "month"):
                return self._months(int(amount) * (12 if unit == "year" else 1))
            if unit in SECONDS:
                return self._seconds(amount * SECONDS[unit])
        except (ValueError, OverflowError):
            pass
        return None

    def _months(self, months: int) -> Temporal | None:
        if self.kind == "time":
            return None
        year, month, day = _day(self.parts)
        if len(self.parts) == 1:
            months = int(months / 12) * 12
        total = year * 12 + month - 1 + months
        year, month = total // 12, total % 12 + 1
        while day > 28 and not _is_date(year, month, day):
            day -= 1  # the last day of a shorter month
        if not _is_date(year, month, day):
            return None
        return self._with((year, month, day, *self.parts[3:])[: len(self.parts)])

    def _seconds(self, seconds: Decimal) -> Temporal | None:
        if self.kind != "time" and len(self.parts) < 3:
            # N1: reckoned in the date's own precision, a month at 30 days and a year at 365
            days = int(seconds / 86_400)
            return self._months(int(days / 365) * 12 if len(self.parts) == 1 else int(days / 30))
        is_time = self.kind == "time"
        hour, minute, second = _clock(self.parts if is_time else self.parts[3:])
        since = hour * 3600 + minute * 60 + second + seconds
        days = int(since // 86_400) - (since < 0 and since % 86_400 != 0)
        rest = since - days * 86_400
        clock = (int(rest // 3600), int(rest // 60 % 60), rest % 60)
        if is_time:
            return self._with(clock[: len(self.parts)])
        moved = dt.date(*_day(self.parts)) + dt.timedelta(days=days)
        return self._with((moved.year, moved.month, moved.day, *clock)[: len(self.parts)])

    def _with(self, parts: tuple[int | Decimal, ...]) -> Temporal:
        new = Temporal(self.kind, parts, self.zone)
        return Temporal(self.kind, parts, self.zone, new.rendered())

    def rendered(self) -> str:
        texts = [_padded(part) for part in self.parts]
        if self.kind == "time":
            return ":".join(texts)
        texts[0] = texts[0].zfill(4)
        text = "-".join(texts[:3])
        if len(texts) > 3:
            text += "T" + ":".join(texts[3:])
        if self.zone is not None:
            hours, minutes = divmod(abs(self.zone), 60)
            text += f"{'-' if self.zone < 0 else '+'}{hours:02}:{minutes:02}" if self.zone else "Z"
        return text


def _day(parts: tuple[int | Decimal, ...]) -> tuple[int, int, int]:
    year, month, day = (*parts, 1, 1)[:3]
    return int(year), int(month), int(day)


def _clock(parts: tuple[int | Decimal, ...]) -> tuple[int, int, Decimal]:
    hour, minute, second = (*parts, 0, 0, 0)[:3]
    return int(hour), int(minute), Decimal(second)


def _order(one: tuple[int | Decimal, ...], two: tuple[int | Decimal, ...]) -> int | None:
    for left, right in zip(one, two, strict=False):
        if left != right:
            return -1 if left < right else 1
    return 0 if len(one) == len(two) else None


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        dt.date(year, month, day)
    except ValueError:
        return False
    return True


def _padded(part: int | Decimal) -> str:
    whole, dot, fraction = str(part).partition(".")
    return whole.zfill(2) + dot + fraction


def _zone(text: str | None) -> int | None:
    if text is None or text == "Z":
        return None if text is None else 0
    minutes = int(text[1:3]) * 60 + int(text[4:6])
    return -minutes if text[0] == "-" else minutes
