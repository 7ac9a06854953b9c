"""What followers really got of a master: which copies were made, how fast and at what price, and what their money made of it.

Formulas.md section 8. A follower's return is what closed copies made, on the money that it allocated when the day began; days are chained,
followers count alike, so that currencies and sizes do not matter. Shares are whole numbers of 1e-12.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import IntEnum
from typing import NamedTuple

from shared.contracts.links import LinkState
from shared.money import EXACT
from shared.symbols import sign

from stats.amounts import ONE, bounded, money, ratio
from stats.curve import RETURNS_MIN, Point, deviation
from stats.days import is_weekend
from stats.decide import Details, percent, share

SHARE_PLACES = 12
SHARE_MAX = 100 * 10**SHARE_PLACES
"""No closing or charge counts for more than a hundred times the money allocated: beyond it next to nothing was, and a sum of many fits."""
SLIPPAGE_MAX = 10**17
"""A billion points: no fill counts for more, so that a sum of many fits."""
NOT_DUE = frozenset(
    {
        "ALREADY_COPIED",
        "CLOSE_ONLY",
        "DAILY_MAX",
        "DISABLED",
        "FOLLOWER_DISABLED",
        "HALTED",
        "MARGIN_FILTERED",
        "MASTER_DISABLED",
        "MAX_INVEST",
        "MAX_MASTERS",
        "MAX_POSITIONS",
        "MODE_NOT_ALLOWED",
        "NOT_LED",
        "NO_SL",
        "PAST_DUE",
        "PAUSED",
        "REDUCE_ONLY",
        "STOPPED",
        "SYMBOL_FILTERED",
    }
)
"""Reasons of a skip that somebody wanted, a follower's own limits among them: the copy was not due, so it neither succeeded nor failed."""
UNFILLED = frozenset({"MASTER_FILLED", "NOT_ENOUGH_MONEY", "NOT_FILLED", "PRICE_MOVED"})
"""Reasons of a pending copy's end that are a miss: the market came to it, or to the master's order, and it was not filled."""

MEDIAN, P95 = 50, 95
SAME_MONEY = {"USDT": "USD"}
"""Currencies that are one to one with another unless a symbol says otherwise."""
CROSS = "USD"


class Outcome(IntEnum):
    """What became of a copy."""

    PENDING = 0
    COPIED = 1
    MISSED = 2
    NOT_DUE = 3


def outcome(state: LinkState, phase: str, reason: str, follower_order: int) -> Outcome:
    """What a trade link says of its copy."""
    if phase == "skipped":
        return Outcome.NOT_DUE if reason in NOT_DUE else Outcome.MISSED
    if phase == "cancelled":  # a pending copy that was confirmed, and never opened
        return Outcome.MISSED if reason in UNFILLED else Outcome.NOT_DUE
    if state == LinkState.FAILED:
        return Outcome.MISSED
    if follower_order and phase not in {"opening", "pending"}:
        return Outcome.COPIED
    return Outcome.PENDING if state == LinkState.ACTIVE else Outcome.NOT_DUE


def bucket(latency_ms: int) -> int:
    """A latency as it is counted: to the millisecond up to 100, to 2 significant digits (half up) above."""
    value = max(0, latency_ms)
    step = 1
    while value >= 100 * step:
        step *= 10
    return (value + step // 2) // step * step


def percentile(fills: Mapping[int, int], percents: int) -> int | None:
    """The nearest-rank percentile of counted latencies; None of none."""
    rank = -(-sum(fills.values()) * percents // 100)
    for latency in sorted(fills):
        rank -= fills[latency]
        if rank <= 0:
            return latency
    return None


def slippage(side: str, price: int, master_price: int, digits: int) -> tuple[int, int]:
    """How much worse a follower's opening price is than the master's: (points, 1/100 %), each in 1e-8; negative when better.

    Prices in 1e-8.
    """
    if master_price <= 0:
        return 0, 0
    worse = int(sign(side)) * (price - master_price)
    bps = EXACT.divide(Decimal(worse * 10_000 * ONE), Decimal(master_price)).to_integral_value(context=EXACT)
    return bounded(worse * 10**digits, SLIPPAGE_MAX), bounded(int(bps), SLIPPAGE_MAX)


def share_of(amount: int, base: int, allocation: int) -> int:
    """An amount in 1e-12 of the allocated part (1e-8 percent) of a base, at most SHARE_MAX; 0 where nothing was allocated."""
    allocated = EXACT.multiply(Decimal(base), Decimal(allocation))
    if allocated <= 0:
        return 0
    part = EXACT.divide(EXACT.multiply(Decimal(amount), Decimal(100 * ONE * 10**SHARE_PLACES)), allocated)
    return bounded(int(part.to_integral_value(context=EXACT)), SHARE_MAX)


def least_capital(equity: int, volume: int, volume_min: int) -> int | None:
    """The least equity that still gets the least volume of a position of `volume` on `equity`, copied in proportion; rounded up."""
    return bounded(-(-equity * volume_min // volume)) if equity > 0 and volume > 0 and volume_min > 0 else None


class Rate(NamedTuple):
    """A symbol's middle price: one `base` is `middle` `quote`."""

    base: str
    quote: str
    middle: Decimal


def convert(amount: Decimal, source: str, target: str, rates: Sequence[Rate]) -> Decimal | None:
    """An amount in another currency: directly, or by way of the US dollar; None when no rate is known."""
    factor = _factor(source, target, rates)
    if factor is None:
        first, second = _factor(source, CROSS, rates), _factor(CROSS, target, rates)
        if first is None or second is None:
            return None
        factor = EXACT.multiply(first, second)
    return EXACT.multiply(amount, factor)


def _factor(source: str, target: str, rates: Sequence[Rate]) -> Decimal | None:
    if source == target:
        return Decimal(1)
    for rate in rates:
        if rate.middle > 0 and (rate.base, rate.quote) == (source, target):
            return rate.middle
        if rate.middle > 0 and (rate.quote, rate.base) == (source, target):
            return EXACT.divide(Decimal(1), rate.middle)
    if SAME_MONEY.get(source, source) == SAME_MONEY.get(target, target):
        return Decimal(1)
    return None


class Copied(NamedTuple):
    """A master's day of being copied; see `stats.tables.CopyDay`."""

    day: int
    copied: int
    missed: int
    fills: int
    points: int
    bps: int
    made: int
    paid: int
    followers: int
    participants: int = 0


class Audience(NamedTuple):
    """Who copies a master now: counted when it was told by the timer. `assets` in 1e-8 of the master's currency."""

    followers: int
    assets: int
    unconverted: int
    in_profit: int
    with_copies: int


def figures(
    audience: Audience,
    days: Sequence[Copied],
    latencies: Mapping[int, int],
    points: Sequence[Point],
    currency: str,
    year_days: int,
) -> Details:
    """The details of a window that copying gives. `days`: its days with any; `points`: the master's curve, the base snapshot first."""
    copied, missed = sum(day.copied for day in days), sum(day.missed for day in days)
    fills = sum(day.fills for day in days)
    net, gross = _chained(days, net=True), _chained(days, net=False)
    difference, error = _tracking(days, points, year_days)
    return {
        "followers": audience.followers,
        "assets_under_copy": money(audience.assets, currency),
        "assets_not_converted": audience.unconverted,
        "copies": copied + missed,
        "copy_success": share(copied, copied + missed),
        "copy_latency_median": percentile(latencies, MEDIAN),
        "copy_latency_p95": percentile(latencies, P95),
        "slippage_points": _mean(sum(day.points for day in days), fills),
        "slippage_bps": _mean(sum(day.bps for day in days), fills),
        "followers_roi": percent(net),
        "followers_roi_gross": percent(gross),
        "tracking_difference": percent(difference),
        "tracking_error": percent(error),
        "followers_in_profit": share(audience.in_profit, audience.with_copies),
    }


def _mean(total: int, parts: int) -> Decimal | None:
    return ratio(EXACT.divide(Decimal(total), Decimal(parts * ONE))) if parts else None


def day_return(day: Copied, *, net: bool) -> Decimal:
    """What an average follower's allocated money made on a day, as a fraction; no day can lose more than all of it. Who has left, and made
    or paid something all the same, counts as a follower."""
    made = day.made - day.paid if net else day.made
    followers = max(day.followers, day.participants, 1)
    return max(Decimal(-1), EXACT.divide(Decimal(made), Decimal(followers)).scaleb(-SHARE_PLACES, context=EXACT))


def _chained(days: Sequence[Copied], *, net: bool) -> Decimal | None:
    """The chained return of days; None when there is none."""
    growth = Decimal(1)
    for day in days:
        growth = EXACT.multiply(growth, EXACT.add(Decimal(1), day_return(day, net=net)))
    return EXACT.subtract(growth, Decimal(1)) if days else None


def _tracking(days: Sequence[Copied], points: Sequence[Point], year_days: int) -> tuple[Decimal | None, Decimal | None]:
    """Followers' less the master's return, and the deviation of the daily differences, from the first copied day on."""
    if not days or not points:
        return None, None
    by_day = {day.day: day for day in days}
    differences, master = [], Decimal(1)
    for point in points[1:]:
        if point.day < days[0].day or point.growth is None:
            continue
        master = EXACT.multiply(master, point.growth)
        if year_days == 252 and is_weekend(point.day) and point.day not in by_day:
            continue
        mine = day_return(by_day[point.day], net=True) if point.day in by_day else Decimal(0)
        differences.append(EXACT.subtract(EXACT.add(mine, Decimal(1)), point.growth))
    followers = _chained(days, net=True)
    assert followers is not None
    difference = EXACT.subtract(EXACT.add(followers, Decimal(1)), master) if differences else None
    return difference, deviation(differences) if len(differences) >= RETURNS_MIN else None
