"""The settings of the stats service, beyond what every service has."""

from typing import Literal

from pydantic import Field
from shared.settings import Settings


class StatsSettings(Settings):
    """Each field is the environment variable `LOCKSTEP_<NAME>`."""

    stats_year_days: Literal[252, 365] = 365
    """Days in a year of returns: 365 counts every day, 252 leaves Saturdays and Sundays out (Sharpe, Sortino, tracking error)."""
    stats_min_base: int = Field(default=10, ge=0)
    """Equity, in whole units of the account's currency, below which a return means nothing: such days are excluded and counted."""
    stats_corrections: Literal["external", "performance"] = "external"
    """What a correction or a stop-out compensation is; `external` ones are flagged in `details.corrections` for a person to look at."""
