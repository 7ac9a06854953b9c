"""Whether a follow config (specification 5) is one that may be: the document's rules between its fields, and the minimums. Pure."""

from decimal import Decimal
from typing import NamedTuple

from shared.contracts.config import FollowConfig, VolumeMode

ALL = "all"
STOP_RATE_MIN = Decimal("0.01")
MODES = (VolumeMode.FIXED_AMOUNT, VolumeMode.FIXED_RATE)
"""A volume mode by `followAmountMode`."""


class Least(NamedTuple):
    """What the system and the leader ask for, the larger of the two each: on an order, invested by fixed amount, by fixed rate."""

    place: Decimal
    invest: Decimal
    rate_invest: Decimal


def wrong_range(config: FollowConfig, leverage_max: Decimal) -> str:
    """The first field whose value can never be, under its name in the document; empty when all can be."""
    checks = (
        (config.leverage > leverage_max, "leverage"),
        (config.max_invest_rate > 1, "maxInvestRate"),
        (0 < config.stop_profit_rate < STOP_RATE_MIN, "stopProfitRate"),
        (0 < config.stop_loss_rate < STOP_RATE_MIN, "stopLossRate"),
    )
    return next((name for wrong, name in checks if wrong), "")


def below_least(config: FollowConfig, mode: VolumeMode, least: Least) -> str:
    """The first field that is less than is asked for, under its name in the document; empty when none is."""
    by_amount = mode == VolumeMode.FIXED_AMOUNT
    needed = config.isolated_reserved_amount + (config.single_place_amount if by_amount else least.rate_invest)
    checks = (
        (config.invest_amount < (least.invest if by_amount else least.rate_invest), "investAmount"),
        (by_amount and config.single_place_amount < least.place, "singlePlaceAmount"),
        (0 < config.daily_max_invest_amount < least.place, "dailyMaxInvestAmount"),
        (config.real_invest_amount < needed, "realInvestAmount"),
    )
    return next((name for wrong, name in checks if wrong), "")


def symbol_ids(text: str, known: set[str]) -> tuple[str, ...] | None:
    """The symbols of a `followSymbolIds`; none for `all`. None when it is not one: an empty name, `all` beside others, no such symbol."""
    names = [name.strip() for name in text.split(",")]
    if names == [ALL]:
        return ()
    if not all(names) or not set(names) <= known:
        return None
    return tuple(dict.fromkeys(names))
