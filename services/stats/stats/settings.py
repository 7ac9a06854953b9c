"""The settings of the stats service, beyond what every service has."""

from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator
from shared.settings import Settings


class StatsSettings(Settings):
    """Each field is the environment variable `LOCKSTEP_<NAME>`."""

    broker_timezone: str = "UTC"
    """IANA name of the zone whose midnight ends a day. What is stored keeps the day that it was given."""
    stats_year_days: Literal[252, 365] = 365
    """Days in a year of returns: 365 counts every day, 252 leaves Saturdays and Sundays out (Sharpe, Sortino, tracking error)."""
    stats_min_base: int = Field(default=10, ge=0)
    """Equity, in whole units of the account's currency, below which a return means nothing: such days are excluded and counted."""
    stats_corrections: Literal["external", "performance"] = "external"
    """What a correction or a stop-out compensation is; `external` ones are flagged in `details.corrections` for a person to look at."""

    @field_validator("broker_timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"{name!r} is no time zone of the IANA database") from error
        return name
