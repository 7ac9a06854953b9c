"""The time that a statement is asked for, in words: a year, quarter, month, week or day of the broker's time zone, or all of it."""

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from api.errors import Refused

PATTERN = r"^(all|[12][0-9]{3}(-(Q[1-4]|W[0-5][0-9]|[01][0-9](-[0-3][0-9])?))?)$"
EVER = 2**62
_PARTS = re.compile(r"(\d{4})(?:-Q(\d)|-W(\d\d)|-(\d\d)(?:-(\d\d))?)?")


def span(period: str, zone: ZoneInfo) -> tuple[int, int]:
    """From when until before when (Unix milliseconds): `2026`, `2026-Q2`, `2026-05`, `2026-W19` (from Monday), `2026-05-08` or `all`.

    Raises Refused(INVALID_DATA) for a time that the calendar does not have.
    """
    if period == "all":
        return 0, EVER
    try:
        first, after = _days(period)
    except ValueError as error:
        raise Refused("INVALID_DATA", f"period: {error}") from None
    return _midnight(first, zone), _midnight(after, zone)


def _days(period: str) -> tuple[date, date]:
    parts = _PARTS.fullmatch(period)
    if parts is None:
        raise ValueError("write it like 2026, 2026-Q2, 2026-05, 2026-W19, 2026-05-08 or all")
    year, quarter, week, month, day = (int(part) if part else 0 for part in parts.groups())
    if parts.group(5) is not None:
        first = date(year, month, day)
        return first, first + timedelta(days=1)
    if week:
        first = date.fromisocalendar(year, week, 1)
        return first, first + timedelta(days=7)
    months = 1 if month else 3 if quarter else 12
    if parts.group(3) is not None or (parts.group(4) is not None and not 1 <= month <= 12):
        raise ValueError("there is no such week or month")
    first = date(year, month or quarter * 3 - 2 if month or quarter else 1, 1)
    past = first.month - 1 + months
    return first, date(year + past // 12, past % 12 + 1, 1)


def _midnight(day: date, zone: ZoneInfo) -> int:
    return round(datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC).timestamp() * 1000)
