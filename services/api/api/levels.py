"""What a leader of a level may ask for, and what its followers have to bring at least. Pure."""

from decimal import Decimal
from typing import NamedTuple

from api.follow_rules import Least
from api.settings import Level, Settings

NONE = Level()


class Bounds(NamedTuple):
    """The largest shares of profits, and the least that a leader may ask followers for."""

    profit_rate_max: Decimal
    private_profit_rate_max: Decimal
    least: Least


def bounds(settings: Settings, level: str) -> Bounds | None:
    """A level's bounds, the system's where it has none of its own; no level (an empty name): the system's. None when there is no such
    level."""
    own = settings.openapi_levels.get(level) if level else NONE
    if own is None:
        return None
    return Bounds(
        _or(own.profit_rate_max, settings.openapi_profit_rate_max),
        _or(own.private_profit_rate_max, settings.openapi_private_profit_rate_max),
        Least(
            _or(own.place_min, settings.openapi_place_min),
            _or(own.invest_min, settings.openapi_invest_min),
            _or(own.rate_invest_min, settings.openapi_rate_invest_min),
        ),
    )


def _or(own: Decimal | None, systems: Decimal) -> Decimal:
    return systems if own is None else own
