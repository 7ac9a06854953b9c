"""The risk figures against `empyrical-reloaded`, a published library, and the window's figures against a plain recompute of the account."""

import json
import math
from decimal import Decimal
from typing import Any

import empyrical
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from shared.contracts.stats import PERIOD_DAYS
from stats import curve
from stats.amounts import ONE
from stats.curve import Base, Point
from stats.days import Calendar, is_weekend
from stats.decide import Rules, Window, details_json, statistics
from stats.standing import DayEnd, begin
from stats.store import DayRead
from stats.tell import curve_of, windows
from stats.trades import Deal, Tally, fold

RULES = Rules(10 * ONE, 365)
DAY_MS = 86_400_000
FIRST = 20_000
RETURNS = st.lists(st.integers(-60, 70).map(lambda value: value / 100), min_size=20, max_size=130)


def points_of(returns: list[float]) -> list[Point]:
    """A curve that begins at 1 and has these daily returns."""
    points, value = [Point(FIRST, Decimal(1), 10**12, 1, alive=True, quality=0, growth=None)], Decimal(1)
    for day, one in enumerate(returns, FIRST + 1):
        growth = 1 + Decimal(str(one))
        value *= growth
        points.append(Point(day, value, 10**12, 1, alive=True, quality=0, growth=growth))
    return points


def same(ours: Decimal | None, theirs: float) -> bool:
    assert ours is not None
    return math.isclose(float(ours), theirs, rel_tol=1e-9, abs_tol=1e-9)


@settings(deadline=None, max_examples=150)
@given(RETURNS, st.sampled_from([365, 252]))
def test_drawdown_sharpe_and_sortino_are_empyrical_s(returns: list[float], year: int) -> None:
    """A year of 252 days has no weekends, for both; what empyrical cannot tell (no spread, no loss) we do not tell."""
    points = points_of(returns)
    series = pd.Series(returns)
    assert same(curve.drawdown(points, Base(Decimal(1), 10**12, 1)), -float(empyrical.max_drawdown(series)))
    own = curve.returns(points, year)
    weekdays = [one for day, one in enumerate(returns, FIRST + 1) if year == 365 or not is_weekend(day)]
    assert [float(one) for one in own] == weekdays
    if len(weekdays) < curve.RETURNS_MIN:
        assert curve.sharpe(own, year) is None
        assert curve.sortino(own, year) is None
        return
    daily = pd.Series(weekdays)
    if len(set(weekdays)) > 1:
        assert same(curve.sharpe(own, year), float(empyrical.sharpe_ratio(daily, annualization=year)))
    else:
        assert curve.sharpe(own, year) is None
    if min(weekdays) < 0:
        assert same(curve.sortino(own, year), float(empyrical.sortino_ratio(daily, annualization=year)))
    else:
        assert curve.sortino(own, year) is None


DAYS = st.lists(
    st.tuples(st.lists(st.integers(-900, 1000), max_size=3), st.sampled_from([0, 0, 0, 500, -200])),
    min_size=1,
    max_size=40,
)


@settings(deadline=None, max_examples=100)
@given(DAYS)
def test_a_whole_account_is_its_plain_recompute(life: list[tuple[list[int], int]]) -> None:
    """Days of trades and one payment each, through the service's rules; the figures again from the list alone, in binary floats and sums.

    The return is empyrical's cumulative return of the stretches between payments.
    """
    account = begin(1, 1, "REAL", "USD", FIRST, 10_000 * ONE, 10_000 * ONE, 0)
    equity, deals, stretches, ends = 10_000, [], [], {FIRST - 1: 1.0}
    growth = 1.0
    for day, (trades, paid) in enumerate(life, FIRST):
        for wanted in trades:
            net = max(wanted, 100 - equity)  # never ruined: that is another test's
            deals.append(Deal(1, len(deals) + 1, len(deals) + 1, "EURUSD", 0, net * ONE, day * DAY_MS, day * DAY_MS + 1))
            stretches.append(net / equity)
            growth *= 1 + net / equity
            equity += net
            account.see(day, equity * ONE, equity * ONE, 0, RULES.min_base)
        if paid and equity + paid >= 100:
            equity += paid
            account.paid(day, paid * ONE, equity * ONE, equity * ONE, RULES.min_base)
        ends[day] = growth
    today = FIRST + len(life) - 1
    account.roll(today, RULES.min_base)
    change = fold({}, deals, Calendar().day)
    closed: dict[int, DayEnd] = {end.day: end for end in account.ends}
    days = [DayRead(closed.get(day), day, change.days.get((1, day), Tally()), 0) for day in range(FIRST, today + 1)]
    points = curve_of(account, days, today, RULES)
    results = {read.day: read.tally.pnl for read in days}
    for period, (tally, corrections) in windows(days, today).items():
        length = PERIOD_DAYS[period]
        since = max(FIRST, today - length + 1)
        row, details = statistics(account, points, results, period, today, Window(tally, corrections, {}), 0, RULES)
        shown = json.loads(details_json(details, {}, "USD"))
        own = [deal.net // ONE for deal in deals if deal.closed_ms // DAY_MS >= since]
        navs = pd.Series([ends[day] for day in range(since - 1, today + 1)])
        daily = navs.pct_change().dropna()
        assert (row.trades, row.pnl) == (len(own), sum(own))
        assert close(row.roi, (navs.iloc[-1] / navs.iloc[0] - 1) * 100)
        assert close(row.max_drawdown, -float(empyrical.max_drawdown(daily)) * 100)
        assert close(row.win_rate, 100 * sum(net > 0 for net in own) / len(own) if own else None)
        assert close(row.avg_pnl_per_trade, round(sum(own) / len(own), 2) if own else None, 0.0051)
        losses = -sum(net for net in own if net < 0)
        assert close(shown["profit_factor"], sum(net for net in own if net > 0) / losses if losses else None)
        if len(daily) >= curve.RETURNS_MIN and daily.std() > 1e-6:
            assert close(shown["sharpe_ratio"], float(empyrical.sharpe_ratio(daily, annualization=365)))
        history = [sum(net // ONE for net in results_of(deals, since, day)) for day in range(today - length + 1, today + 1)]
        assert list(row.pnl_history) == history
    assert close(points[-1].nav, float(empyrical.cum_returns_final(pd.Series(stretches))) + 1 if stretches else 1.0, 1e-9)


def results_of(deals: list[Deal], first: int, last: int) -> list[int]:
    return [deal.net for deal in deals if first <= deal.closed_ms // DAY_MS <= last]


def close(ours: Any, theirs: float | None, within: float = 0.000051) -> bool:
    """Equal to the digits that are told."""
    if ours is None or theirs is None:
        return ours is None and theirs is None
    return abs(float(ours) - theirs) <= within
