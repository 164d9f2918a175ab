"""dates — the interval a date means, by the standard library's calendar; no zone means +07:00."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HERE = timezone(timedelta(hours=7))
Interval = tuple[float, float]  # milliseconds since 1970 UTC: from, to (excluded)


def interval(text: str) -> tuple[int, int]:
    day, _, clock = text.partition("T")
    if clock:
        start = datetime.fromisoformat(text.replace("Z", "+00:00"))
        start = start if start.tzinfo else start.replace(tzinfo=HERE)
        bare = clock.rstrip("Z").split("+")[0].split("-")[0]
        step = timedelta(minutes=1) if bare.count(":") == 1 else timedelta(seconds=1)
        if "." in bare:
            step = timedelta(seconds=10.0 ** -len(bare.partition(".")[2]))
        return _ms(start), _ms(start + step)
    parts = [int(part) for part in day.split("-")]
    year, month, number = [*parts, 1, 1][:3]
    start = datetime(year, month, number, tzinfo=HERE)
    if len(parts) == 1:
        end = start.replace(year=start.year + 1)
    elif len(parts) == 2:
        end = (start + timedelta(days=31)).replace(day=1)
    else:
        end = start + timedelta(days=1)
    return _ms(start), _ms(end)


def _ms(moment: datetime) -> int:
    return (
        round(
            (moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)
        )
        // 1000
    )
