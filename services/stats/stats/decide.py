"""What the marketplace ranks by: a master's statistics for 7, 30, 90 and 365 days, from tallies of days and a curve of daily snapshots.

Formulas.md sections 7 and 8, specification 4. A window of n days is today and the n - 1 days before it; its base is the last snapshot at or
before its start, else the account's first (`coverage_days` tells how many days are really covered). Amounts are whole numbers of 1e-8
inside; percentages and ratios are rounded, half-even, to 4 places and money to its currency's minor digits once, here.

`StatsRow.details` is a flat JSON object of numbers (null: not defined), one object and one list:

| key | meaning |
| --- | --- |
| sharpe_ratio, sortino_ratio | of daily returns, annualised by 365 or 252 days (setting); null below 20, or without deviation / loss |
| profit_factor | results of winning positions / of losing ones; null without a loss |
| avg_holding_time | seconds from a position's opening to its last closing, on average; null without trades |
| weekly_trades | trades per 7 covered days |
| win_rate_lower_bound | Wilson's 95 % lower bound of the win rate, 0 to 1: 5 of 5 ranks below 600 of 1000 only when it should |
| epochs | epochs of the account so far; more than 1: its equity was at zero once |
| gap_days, excluded_days | days of the window without a snapshot; that began with less than the least base |
| corrections | corrections and stop-out compensations in the window, for a person to look at |
| minimum_capital | the least equity with which every trade of the window could be copied in proportion; null when not known |
| profit_per_symbol | object: symbol -> result in the window |

| growth_history | list: the time-weighted return in percent at each covered day's end, the last one today's; deposits are taken out |

and what followers really got, `stats.copying`:

| key | meaning |
| --- | --- |
| followers | enabled subscriptions of other customers; paused ones count |
| assets_under_copy | equity of real followers times their allocation, in the master's currency |
| assets_not_converted | followers left out of it, because no rate of their currency is known |
| copies, copy_success | copies that were due in the window; how many percent of them were opened |
| copy_latency_median, copy_latency_p95 | milliseconds from the master's opening to the follower's, to 2 significant digits above 100 |
| slippage_points, slippage_bps | mean of follower's less master's price, in points and in 1/100 %; positive: worse for the follower |
| followers_roi, followers_roi_gross | percent that an average follower's allocated money made by closed copies, after and before rewards |
| tracking_difference | followers_roi less the master's time-weighted return since the window's first copy, in points of percent |
| tracking_error | standard deviation of the daily differences, in points of percent; null below 20 days |
| followers_in_profit | percent of followers whose closed copies, rewards not counted, have a profit so far |
"""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import accumulate
from typing import NamedTuple

from shared.contracts.stats import PERIOD_DAYS, StatsRow
from shared.money import EXACT, minor_digits, quantize

from stats import curve
from stats.amounts import amount, money, ratio
from stats.curve import Point
from stats.nav import QUALITIES
from stats.standing import Standing
from stats.trades import Tally

HUNDRED = Decimal(100)
LONGEST = max(PERIOD_DAYS.values())
Z95 = Decimal("1.959963984540054")
"""The normal distribution's 97.5 % point: a two-sided interval of 95 %."""

Details = dict[str, Decimal | int | None]


class Rules(NamedTuple):
    """The settings that figures depend on. `min_base` in units of 1e-8."""

    min_base: int
    year_days: int


class Window(NamedTuple):
    """What happened in a window, summed up."""

    tally: Tally
    corrections: int
    symbols: Mapping[str, int]
    """Result by symbol, units of 1e-8."""


def percent(fraction: Decimal | None) -> Decimal | None:
    """A fraction as a rounded percentage."""
    return None if fraction is None else ratio(EXACT.multiply(fraction, HUNDRED))


def share(part: int, whole: int) -> Decimal | None:
    """`part` in percent of `whole`; None of nothing."""
    return ratio(EXACT.divide(Decimal(100 * part), Decimal(whole))) if whole else None


def wilson(wins: int, trades: int) -> Decimal | None:
    """The lower bound of Wilson's score interval (95 %) of a win rate, between 0 and 1; None without trades."""
    if not trades:
        return None
    n, p = Decimal(trades), EXACT.divide(Decimal(wins), Decimal(trades))
    z2 = EXACT.multiply(Z95, Z95)
    spread = EXACT.sqrt(EXACT.divide(EXACT.add(EXACT.multiply(p, 1 - p), EXACT.divide(z2, 4 * n)), n))
    middle = EXACT.add(p, EXACT.divide(z2, 2 * n))
    return max(Decimal(0), EXACT.divide(EXACT.subtract(middle, EXACT.multiply(Z95, spread)), EXACT.add(Decimal(1), EXACT.divide(z2, n))))


def pnl_history(results: Mapping[int, int], today: int, days: int, currency: str) -> tuple[Decimal, ...]:
    """The cumulative result at the end of each day of the window, oldest first, exactly `days` values; the last is today's so far."""
    told: dict[int, Decimal] = {}
    history = []
    for total in accumulate(results.get(day, 0) for day in range(today - days + 1, today + 1)):
        if total not in told:
            told[total] = money(total, currency)
        history.append(told[total])
    return tuple(history)


def window_points(points: Sequence[Point], today: int, days: int) -> Sequence[Point]:
    """The window's part of a curve that ends today: its base snapshot first."""
    return points[max(0, len(points) - days - 1) :] if points and points[-1].day == today else ()


def statistics(
    account: Standing, points: Sequence[Point], results: Mapping[int, int], period: str, today: int, window: Window, now: int, rules: Rules
) -> tuple[StatsRow, Details]:
    """One master's statistics for one period, and the details that follow from its own trading.

    `points`: its curve, the last one today. `results`: its result of each day in units of 1e-8.
    """
    days = PERIOD_DAYS[period]
    shown = window_points(points, today, days)
    base = curve.base_of(shown, account.epoch_equity) if shown else None
    roi = curve.roi(shown, base) if shown else None
    tally, currency = window.tally, account.currency
    simple = None
    if base is not None and base.equity > 0 and roi is not None:
        simple = EXACT.subtract(EXACT.divide(Decimal(shown[-1].equity), Decimal(base.equity)), Decimal(1))
    coverage = max(0, min(days, today - account.inception.day))
    row = StatsRow(
        login=account.login,
        period=period,  # type: ignore[arg-type]
        period_days=days,
        roi=percent(roi),
        roi_simple=percent(simple),
        pnl=money(tally.pnl, currency),
        win_rate=share(tally.wins, tally.trades),
        max_drawdown=percent(curve.drawdown(shown, base)) if roi is not None else None,
        avg_pnl_per_trade=_each(tally.pnl, tally.trades, currency),
        trades=tally.trades,
        pnl_history=pnl_history(results, today, days, currency),
        currency=currency,
        coverage_days=coverage,
        roi_quality=QUALITIES[max((point.quality for point in shown[1:]), default=0)],
        updated_ms=now,
    )
    return row, _details(account, shown, window, coverage, rules)


def _each(total: int, parts: int, currency: str) -> Decimal | None:
    """An average amount, rounded once."""
    if not parts:
        return None
    return quantize(EXACT.divide(amount(total), Decimal(parts)), minor_digits(currency))


def _details(account: Standing, shown: Sequence[Point], window: Window, coverage: int, rules: Rules) -> Details:
    tally = window.tally
    returns = curve.returns(shown, rules.year_days)
    sharpe, sortino = curve.sharpe(returns, rules.year_days), curve.sortino(returns, rules.year_days)
    lower = wilson(tally.wins, tally.trades)
    return {
        "sharpe_ratio": None if sharpe is None else ratio(sharpe),
        "sortino_ratio": None if sortino is None else ratio(sortino),
        "profit_factor": ratio(EXACT.divide(Decimal(tally.gain), Decimal(tally.loss))) if tally.loss else None,
        "avg_holding_time": ratio(EXACT.divide(Decimal(tally.holding_ms), Decimal(1000 * tally.trades))) if tally.trades else None,
        "weekly_trades": ratio(EXACT.divide(Decimal(7 * tally.trades), Decimal(coverage))) if coverage else None,
        "win_rate_lower_bound": None if lower is None else ratio(lower),
        "epochs": account.chain.epoch,
        "gap_days": sum(point.gap for point in shown[1:]),
        "excluded_days": sum(point.excluded for point in shown[1:]),
        "corrections": window.corrections,
        "minimum_capital": money(tally.capital, account.currency) if tally.capital else None,
    }


def growth_history(account: Standing, shown: Sequence[Point]) -> list[Decimal]:
    """The window's curve in percent to two places, for a chart."""
    base = curve.base_of(shown, account.epoch_equity) if shown else None
    return [quantize(EXACT.multiply(each, HUNDRED), 2) for each in curve.growth(shown, base)]


def details_json(details: Details, symbols: Mapping[str, int], currency: str, growth: Sequence[Decimal] = ()) -> str:
    """`StatsRow.details`: plain JSON numbers, never an exponent."""
    parts = [f'"{key}":{_number(value)}' for key, value in details.items()]
    profits = ",".join(f"{json.dumps(symbol)}:{_number(money(value, currency))}" for symbol, value in sorted(symbols.items()))
    curve_ = ",".join(_number(each) for each in growth)
    return "{" + ",".join(parts) + ',"profit_per_symbol":{' + profits + '},"growth_history":[' + curve_ + "]}"


def _number(value: Decimal | int | None) -> str:
    return "null" if value is None else format(value, "f") if isinstance(value, Decimal) else str(value)
