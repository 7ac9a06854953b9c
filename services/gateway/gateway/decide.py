"""The paper venue's rules: what an order needs, what a position is worth, when it ends; values in, values out."""

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from shared.money import EXACT, quantize
from shared.symbols import BUY, SymbolSpec

DAY_MS = 86_400_000
NONE = Decimal(0)
HUNDRED = Decimal(100)

NOT_ENOUGH_MONEY = "NOT_ENOUGH_MONEY"
INVALID_VOLUME = "INVALID_VOLUME"
INVALID_STOPS = "INVALID_STOPS"
FROZEN = "FROZEN"
PRICE_MOVED = "PRICE_MOVED"
POSITION_NOT_FOUND = "POSITION_NOT_FOUND"
ORDER_NOT_FOUND = "ORDER_NOT_FOUND"
ACCOUNT_NOT_FOUND = "ACCOUNT_NOT_FOUND"
SYMBOL_NOT_FOUND = "SYMBOL_NOT_FOUND"
MANUAL_TRADING_DISABLED = "MANUAL_TRADING_DISABLED"
TRADING_HALTED = "TRADING_HALTED"
REDUCE_ONLY = "REDUCE_ONLY"
CURRENCY_MISMATCH = "CURRENCY_MISMATCH"
INVALID_DATA = "INVALID_DATA"
EXPIRED = "EXPIRED"


class Refused(NamedTuple):
    """A refusal: nothing was changed. `reason` is a code of the venue, `message` says it in words."""

    reason: str
    message: str


class Quote(NamedTuple):
    """A symbol's price: one buys at the ask and sells at the bid."""

    bid: Decimal
    ask: Decimal

    def opening(self, side: str) -> Decimal:
        """What opening a position of that side costs."""
        return self.ask if side == BUY else self.bid

    def closing(self, side: str) -> Decimal:
        """What closing a position of that side brings."""
        return self.bid if side == BUY else self.ask


def volume_fault(spec: SymbolSpec, volume: int) -> Refused | None:
    """INVALID_VOLUME unless the volume is between the symbol's least and most, and whole steps."""
    if spec.volume_min <= volume <= spec.volume_max and volume % spec.volume_step == 0:
        return None
    return Refused(INVALID_VOLUME, f"{spec.symbol}: volume {spec.volume_min} to {spec.volume_max} in steps of {spec.volume_step}")


def stops_fault(side: str, reference: Decimal, sl: Decimal, tp: Decimal, distance: Decimal) -> Refused | None:
    """INVALID_STOPS unless loss and profit lie on their own sides of the price, at least `distance` from it; 0 is none.

    `reference` is the price that closes the position (a pending order's own price while it waits). A stop on the price itself would
    be hit at once, so it is refused even when no distance is asked for.
    """
    away = distance if distance > 0 else NONE
    for level, below in ((sl, side == BUY), (tp, side != BUY)):
        if level == 0:
            continue
        gap = reference - level if below else level - reference
        if level < 0 or gap <= 0 or gap < away:
            return Refused(INVALID_STOPS, f"stop {level} is too near to, or on the wrong side of, {reference}")
    return None


def pending_fault(side: str, kind: str, price: Decimal, quote: Quote, distance: Decimal) -> Refused | None:
    """INVALID_STOPS unless a pending order's price is one that the market still has to reach: a limit better, a stop worse than now."""
    now = quote.opening(side)
    wants_lower = (side == BUY) == (kind == "limit")
    gap = now - price if wants_lower else price - now
    if price <= 0 or gap <= 0 or gap < distance:
        return Refused(INVALID_STOPS, f"a {side} {kind} at {price} is too near to, or on the wrong side of, {now}")
    return None


def frozen(now: Decimal, levels: Iterable[Decimal], distance: Decimal) -> Refused | None:
    """FROZEN when one of an order's levels (0: none) is nearer than `distance` to the price that hits it: it is about to be carried out."""
    near = [level for level in levels if level and abs(now - level) < distance] if distance else []
    return Refused(FROZEN, f"{near[0]} is too near to {now} for a change") if near else None


def affordable(equity: Decimal, margin: Decimal, margin_call: int) -> bool:
    """Whether an account may stand like this after an opening: free margin not below 0, margin level not below the margin call (%)."""
    return equity >= margin and EXACT.multiply(equity, HUNDRED) >= EXACT.multiply(margin, Decimal(margin_call))


def stopped_out(equity: Decimal, margin: Decimal, stop_out: int) -> bool:
    """Whether the margin level (equity / margin, in %) is below the group's stop-out level. Without margin there is none."""
    return margin > 0 and EXACT.multiply(equity, HUNDRED) < EXACT.multiply(margin, Decimal(stop_out))


def worst(results: Iterable[tuple[Decimal, int]]) -> int:
    """Which position a stop-out closes first: the one with the largest loss, the older of two equal ones. Takes (profit, order)."""
    return min(results)[1]


def released(total: Decimal, initial: int, left_before: int, left_after: int, digits: int) -> Decimal:
    """The part of a cost of the whole position that goes with a slice of it, so that all slices together are exactly the cost."""

    def upto(closed: int) -> Decimal:
        return quantize(EXACT.divide(EXACT.multiply(total, Decimal(closed)), Decimal(initial)), digits)

    return upto(initial - left_after) - upto(initial - left_before)


def nights(opened_ms: int, last_day: int, today: int) -> int:
    """How many midnights (UTC) a position has to pay swap for, when the venue last charged on `last_day` (days since 1970)."""
    return max(0, today - max(last_day, opened_ms // DAY_MS))


def too_dear(side: str, price: Decimal, worst_price: Decimal) -> bool:
    """Whether a fill would be beyond the worst price that the sender takes (0: any)."""
    return worst_price > 0 and (price > worst_price if side == BUY else price < worst_price)
