"""Days as the broker counts them: a day is the number of its local date (1970-01-01 is 0), and ends at local midnight."""

from datetime import UTC, date, datetime, tzinfo
from zoneinfo import ZoneInfo

EPOCH = date(1970, 1, 1).toordinal()
WEEK = 7
THURSDAY = 3
"""The weekday of day 0."""


class Calendar:
    """The days of one time zone."""

    def __init__(self, zone: str = "UTC") -> None:
        self.zone: tzinfo = UTC if zone == "UTC" else ZoneInfo(zone)

    def day(self, ms: int) -> int:
        """The day that an instant (Unix milliseconds) belongs to."""
        if self.zone is UTC:
            return ms // 86_400_000
        return datetime.fromtimestamp(ms // 1000, self.zone).toordinal() - EPOCH


def parse(text: str) -> int:
    """The day of an ISO date, `2026-01-31`. Raises ValueError for anything else."""
    return date.fromisoformat(text).toordinal() - EPOCH


def is_weekend(day: int) -> bool:
    """Whether a day is a Saturday or a Sunday."""
    return (day + THURSDAY) % WEEK >= 5
