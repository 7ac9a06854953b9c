"""How the demo's masters trade, pure: from the prices so far to what they want to hold, and from what they hold to the orders for it."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from enum import Enum, auto
from typing import NamedTuple


class Want(Enum):
    """What a rule says at the newest price."""

    STAY = auto()
    BUY = auto()
    SELL = auto()
    HALF = auto()
    """Take half of what is open off."""
    FLAT = auto()


Rule = Callable[[Sequence[Decimal]], Want]
"""From the prices, oldest first, the newest one last."""

KEPT_PRICES = 128
"""How many prices a rule may look back."""


def moving_average_cross(fast: int, slow: int) -> Rule:
    """Holds the side of the short average over the long one."""

    def rule(prices: Sequence[Decimal]) -> Want:
        if len(prices) < slow:
            return Want.STAY
        short, long = _mean(prices[-fast:]), _mean(prices[-slow:])
        if short == long:
            return Want.STAY
        return Want.BUY if short > long else Want.SELL

    return rule


def breakout(span: int) -> Rule:
    """Goes with a price that leaves the range of the `span` prices before it."""

    def rule(prices: Sequence[Decimal]) -> Want:
        if len(prices) <= span:
            return Want.STAY
        last, before = prices[-1], prices[-span - 1 : -1]
        if last > max(before):
            return Want.BUY
        return Want.SELL if last < min(before) else Want.STAY

    return rule


def mean_reversion(span: int, width: Decimal) -> Rule:
    """Goes against a price that is `width` mean deviations away from the mean; takes half off on the way back, and the rest at the mean."""

    def rule(prices: Sequence[Decimal]) -> Want:
        if len(prices) < span:
            return Want.STAY
        window = prices[-span:]
        mean = _mean(window)
        deviation = _mean([abs(price - mean) for price in window])
        away, away_before = prices[-1] - mean, prices[-2] - mean
        if abs(away) > deviation * width:
            return Want.SELL if away > 0 else Want.BUY
        if away * away_before <= 0:
            return Want.FLAT
        return Want.HALF if abs(away) < deviation / 2 else Want.STAY

    return rule


def _mean(values: Sequence[Decimal]) -> Decimal:
    return sum(values, Decimal(0)) / len(values)


class Held(NamedTuple):
    """An open position of the master."""

    order: int
    side: str
    volume: int


class Close(NamedTuple):
    order: int
    volume: int


class Open(NamedTuple):
    side: str
    volume: int


def orders(want: Want, held: Sequence[Held], volume: int) -> list[Close | Open]:
    """What to send so that the master, who trades `volume` at a time, holds what the rule wants."""
    match want:
        case Want.STAY:
            return []
        case Want.FLAT:
            return [Close(one.order, one.volume) for one in held]
        case Want.HALF:
            return [Close(one.order, volume // 2) for one in held if one.volume == volume and volume >= 2]
        case Want.BUY | Want.SELL:
            side = "buy" if want is Want.BUY else "sell"
            wrong = [Close(one.order, one.volume) for one in held if one.side != side]
            return [*wrong, Open(side, volume)] if len(wrong) == len(held) else list(wrong)


def stops(side: str, price: Decimal, digits: int, loss: Decimal, gain: Decimal) -> tuple[Decimal, Decimal]:
    """Stop loss and take profit at these shares of the price (0: none), on the symbol's grid."""
    sign = 1 if side == "buy" else -1
    grid = Decimal(1).scaleb(-digits)
    sl = (price * (1 - sign * loss)).quantize(grid) if loss else Decimal(0)
    tp = (price * (1 + sign * gain)).quantize(grid) if gain else Decimal(0)
    return sl, tp
