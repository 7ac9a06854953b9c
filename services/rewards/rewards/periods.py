"""Billing periods: half-open, bounded at midnight in the broker's time zone, told in UTC."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

ONE_TIME = "one_time"
PER_TRADE = "per_trade"


class Period(NamedTuple):
    """From `start` until just before `end`, Unix milliseconds."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


@lru_cache(maxsize=4096)  # a month ends for everybody at once
def period_at(kind: str, at_ms: int, zone: ZoneInfo) -> Period:
    """The calendar period of a kind (daily, weekly, monthly, quarterly) that holds an instant.

    Bounds are found in the zone and then converted, so a day with a change of the clocks has 23 or 25 hours. Raises ValueError for
    another kind.
    """
    day = datetime.fromtimestamp(at_ms / 1000, zone).date()
    match kind:
        case "daily":
            first, after = day, day + timedelta(days=1)
        case "weekly":
            first = day - timedelta(days=day.weekday())
            after = first + timedelta(days=7)
        case "monthly":
            first = day.replace(day=1)
            after = _months_after(first, 1)
        case "quarterly":
            first = day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
            after = _months_after(first, 3)
        case _:
            raise ValueError(f"{kind!r} is no billing period")
    return Period(midnight(first, zone), midnight(after, zone))


def midnight(day: date, zone: ZoneInfo) -> int:
    """The first instant of a day in a zone, Unix milliseconds; where the clocks skip midnight, the instant they skip to."""
    local = datetime(day.year, day.month, day.day, tzinfo=zone)
    return round(local.astimezone(UTC).timestamp() * 1000)


def days_in(period: Period, zone: ZoneInfo) -> list[Period]:
    """The zone's days that a period touches, whole ones, in order."""
    days = []
    at = period.start
    while at < period.end:
        days.append(period_at("daily", at, zone))
        at = days[-1].end
    return days


def overlap(period: Period, start: int, end: int) -> int:
    """Milliseconds that a period shares with the time from `start` until `end`."""
    return max(0, min(period.end, end) - max(period.start, start))


def _months_after(first: date, months: int) -> date:
    index = first.year * 12 + first.month - 1 + months
    return date(index // 12, index % 12 + 1, 1)
