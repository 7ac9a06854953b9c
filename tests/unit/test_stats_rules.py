"""The rules of statistics against worked cases and against oracles that share no code with them."""

import math
import statistics as textbook
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from shared.contracts.stats import PERIOD_DAYS
from stats import curve, nav
from stats.amounts import ONE, units
from stats.curve import Base, Point
from stats.days import Calendar, is_weekend, parse
from stats.decide import pnl_history, wilson
from stats.flows import accrual_of, classify, signed
from stats.history import curve as imported_curve
from stats.nav import Chain
from stats.standing import DayEnd, begin, replay
from stats.store import DayRead
from stats.tell import windows
from stats.trades import Deal, Refold, Tally, fold

MIN_BASE = 10 * ONE
HOUR = 3_600_000
UTC = Calendar()


def money(amount: float | str) -> int:
    return units(Decimal(str(amount)))


# Worked cases, named as in vectors.json


def test_nav_binance() -> None:
    """Balances 500, 400, 1400 (1000 paid in), 1550: NAV 1, 0.8, 0.8, 0.885714."""
    chain = Chain(equity=money(500))
    navs = [nav.value(chain, money(500), MIN_BASE), nav.value(chain, money(400), MIN_BASE)]
    chain = nav.flow(chain, money(1000), money(1400), MIN_BASE)
    navs += [nav.value(chain, money(1400), MIN_BASE), nav.value(chain, money(1550), MIN_BASE)]
    assert [round(float(value), 6) for value in navs] == [1, 0.8, 0.8, 0.885714]
    drawn = imported_curve([(0, money(500), 0), (1, money(400), 0), (2, money(1400), money(1000)), (3, money(1550), 0)], MIN_BASE)
    assert round(float(drawn[-1].nav / drawn[0].nav) - 1, 6) == -0.114286  # the same by Modified Dietz of the daily figures


def test_twr() -> None:
    """10 000, +10 %, 100 000 paid in at noon, -5 % to 105 450: 4.5 %; Modified Dietz of the two snapshots says -7.6 % (formulas.md)."""
    chain = nav.flow(Chain(equity=money(10_000)), money(100_000), money(111_000), MIN_BASE)
    assert nav.value(chain, money(105_450), MIN_BASE) == Decimal("1.045")
    factor, quality = nav.dietz(money(10_000), money(105_450), money(100_000), MIN_BASE)
    assert factor is not None
    assert (round(float(factor) - 1, 3), quality) == (-0.076, nav.DIETZ_QUALITY)


def test_mdd_withdraw() -> None:
    chain = nav.flow(Chain(equity=money(10_000)), money(-5_000), money(5_000), MIN_BASE)
    assert nav.value(chain, money(5_000), MIN_BASE) == 1


def test_pnl_history_seed() -> None:
    """20, 12, 0, -5: 20, 32, 32, 27, and as many values as days whatever the window."""
    results = {100: money(20), 101: money(12), 103: money(-5)}
    assert list(pnl_history(results, 103, 4, "USD")) == [20, 32, 32, 27]
    for days in PERIOD_DAYS.values():
        assert len(pnl_history(results, 103, days, "USD")) == days
    assert list(pnl_history(results, 103, 2, "USD")) == [0, -5]  # the window begins at nothing


def test_wilson_ranks_by_what_is_known() -> None:
    """5/5, 60/100 and 600/1000 of formulas.md."""
    assert [round(float(wilson(*case) or 0), 3) for case in ((5, 5), (60, 100), (600, 1000), (0, 3))] == [0.566, 0.502, 0.569, 0]
    assert wilson(0, 0) is None


@pytest.mark.parametrize(
    ("operation", "reason", "refund", "kind", "flagged"),
    [
        ("OP_BALANCE_IN", "TR_REASON_DEPOSIT", False, "external", False),
        ("OP_BALANCE_OUT", "TR_REASON_CLIENT", False, "external", False),
        ("OP_CREDIT_IN", "", False, "credit", False),
        ("OP_CREDIT_OUT", "", False, "credit", False),
        ("OP_BONUS", "", False, "credit", False),
        ("OP_CHARGE", "", False, "performance", False),
        ("OP_COMMISSION_DAILY", "", False, "performance", False),
        ("OP_INTEREST", "", False, "performance", False),
        ("OP_DIVIDEND", "", False, "performance", False),
        ("OP_TAX", "", False, "performance", False),
        ("OP_BALANCE_OUT", "TR_REASON_COMMISSION", False, "performance", False),
        ("OP_BALANCE_IN", "TR_REASON_COPY_REWARD", False, "external", False),
        ("OP_BALANCE_OUT", "TR_REASON_COPY_REWARD", False, "performance", False),
        ("OP_BALANCE_IN", "TR_REASON_COPY_REWARD", True, "performance", False),
        ("OP_BALANCE_OUT", "TR_REASON_COPY_REWARD", True, "external", False),
        ("OP_BALANCE_IN", "TR_REASON_CORRECTION", False, "external", True),
        ("OP_SO_COMPENSATION", "", False, "external", True),
        ("OP_SOMETHING_NEW", "", False, "external", False),
    ],
)
def test_flows_are_classified(operation: str, reason: str, refund: bool, kind: str, flagged: bool) -> None:
    assert classify(operation, reason, refund=refund) == (kind, flagged)


def test_what_an_operation_adds_to_the_balance() -> None:
    amount = Decimal(5)
    assert [signed(name, amount) for name in ("OP_BALANCE_IN", "OP_BALANCE_OUT", "OP_CHARGE", "OP_TAX", "OP_INTEREST")] == [
        5,
        -5,
        -5,
        -5,
        5,
    ]


@pytest.mark.parametrize(
    ("api_data", "accrual"),
    [
        ('{"copy_reward_accrual_id": 7}', 7),
        ('{"copy_reward_accrual_id": "7"}', 7),
        ("", 0),
        ("[]", 0),
        ('{"copy_reward_accrual_id": null}', 0),
    ],
)
def test_the_accrual_of_an_operation(api_data: str, accrual: int) -> None:
    assert accrual_of(api_data) == accrual


@pytest.mark.parametrize(
    ("ms", "zone", "day"),
    [
        (0, "UTC", "1970-01-01"),
        (1_774_745_999_999, "Europe/Berlin", "2026-03-29"),  # 01:59:59.999 UTC: 02:59 standard time became 03:59 summer time
        (1_774_821_600_000, "Europe/Berlin", "2026-03-30"),  # 22:00 UTC is midnight in summer
        (1_774_821_599_999, "Europe/Berlin", "2026-03-29"),
        (-1, "UTC", "1969-12-31"),
    ],
)
def test_days(ms: int, zone: str, day: str) -> None:
    assert Calendar(zone).day(ms) == parse(day)


def test_weekends() -> None:
    assert [is_weekend(parse(f"2026-07-{day}")) for day in (24, 25, 26, 27)] == [False, True, True, False]


# Trades: an oracle that keeps whole histories and recomputes from nothing


class Slice(NamedTuple):
    order: int
    net: int
    minute: int
    last: bool


@st.composite
def histories(draw: st.DrawFn) -> list[Slice]:
    """Positions of up to 4 slices, told in any order of positions (the slices of one keep theirs, or not)."""
    slices = []
    for order in range(1, draw(st.integers(1, 12)) + 1):
        minutes = sorted(draw(st.lists(st.integers(0, 20_000), min_size=1, max_size=4)))
        ended = draw(st.booleans())
        for index, minute in enumerate(minutes):
            slices.append(Slice(order, draw(st.integers(-500, 500)), minute, ended and index == len(minutes) - 1))
    return draw(st.permutations(slices))


def deals_of(slices: list[Slice]) -> list[Deal]:
    return [
        Deal(1, one.order, number, f"S{one.order % 3}", 0 if one.last else 1, one.net, 0, one.minute * 60_000, one.order)
        for number, one in enumerate(slices)
    ]


@settings(deadline=None)
@given(histories(), st.data())
def test_folding_in_pieces_is_the_plain_recompute(slices: list[Slice], data: st.DataObject) -> None:
    """Whatever the order and the batches: the same as summing whole positions by hand, and as the recompute of all, to the last digit."""
    deals = deals_of(slices)
    cut = data.draw(st.integers(0, len(deals)))
    known: dict[tuple[int, int], list[Deal]] = {}
    parts = [fold(known, deals[:cut], UTC.day), fold(known, deals[cut:], UTC.day)]
    total: dict[int, Tally] = {}
    symbols: dict[tuple[int, str], int] = {}
    for part in parts:
        for (_, day), tally in part.days.items():
            total[day] = total.get(day, Tally()).plus(tally)
        for (_, day, symbol), pnl in part.symbols.items():
            symbols[day, symbol] = symbols.get((day, symbol), 0) + pnl

    expected: dict[int, dict[str, int]] = {}
    for one in slices:
        at = expected.setdefault(one.minute // 1440, dict.fromkeys(("pnl", "trades", "wins", "gain", "loss", "held", "capital"), 0))
        at["pnl"] += one.net
        at["capital"] = max(at["capital"], one.order)
    for order in {one.order for one in slices}:
        own = [one for one in slices if one.order == order]
        end = [one.minute for one in own if one.last]
        if end:
            net, at = sum(one.net for one in own), expected[end[0] // 1440]
            at["trades"] += 1
            at["wins"] += net > 0
            at["gain"] += max(net, 0)
            at["loss"] += max(-net, 0)
            at["held"] += end[0] * 60_000
    assert {day: tuple(tally) for day, tally in total.items()} == {day: tuple(values.values()) for day, values in expected.items()}

    by_symbol = {(one.minute // 1440, f"S{one.order % 3}"): 0 for one in slices}
    for one in slices:
        by_symbol[one.minute // 1440, f"S{one.order % 3}"] += one.net
    assert symbols == by_symbol

    refold = Refold(UTC.day)
    ordered = sorted(deals, key=lambda deal: deal.order)
    refold.add(ordered[:cut])
    refold.add(ordered[cut:])
    again = refold.change()
    assert {day: tally for (_, day), tally in again.days.items()} == total
    assert {(day, symbol): value for (_, day, symbol), value in again.symbols.items()} == symbols


@settings(deadline=None)
@given(st.dictionaries(st.integers(600, 1000), st.integers(-(10**12), 10**12)))
def test_windows_move_without_trades(results: dict[int, int]) -> None:
    """One pass over the days sums every window as a sum of its own would."""
    days = [DayRead(None, day, Tally(pnl=pnl, trades=1), 1) for day, pnl in sorted(results.items())]
    found = windows(days, 990)
    for period, length in PERIOD_DAYS.items():
        own = [pnl for day, pnl in results.items() if 990 - length < day <= 990]
        assert (found[period][0].pnl, found[period][0].trades, found[period][1]) == (sum(own), len(own), len(own))


# The curve: an oracle in exact fractions


class Event(NamedTuple):
    day: int
    kind: str
    amount: int


events = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["trade", "trade", "flow"]),
        st.integers(-800, 900),
    ),
    max_size=25,
)


@settings(deadline=None)
@given(st.integers(0, 2000) | st.integers(0, 20), events)
@example(5, [(0, "trade", 45), (1, "trade", 50), (0, "flow", 40), (1, "trade", -135)])
def test_the_chain_is_the_product_of_sub_periods(start: int, moves: list[tuple[int, str, int]]) -> None:
    """Live, then replayed from links and snapshots, then by fractions: the product of what trading made of each stretch's equity. A stretch
    that began with less than 10 ends where a day begins with more."""
    day, equity = 100, start
    account = begin(1, 1, "REAL", "USD", day, start * ONE, start * ONE, 0)
    growth, epochs, base, alive = Fraction(1), 1, Fraction(start), True
    for skip, kind, amount in moves:
        day += skip
        if skip and alive and base < 10 <= equity:
            base = Fraction(equity)
        if kind == "flow":
            if equity + amount < 0 or amount == 0:
                continue
            equity += amount
            account.paid(day, amount * ONE, equity * ONE, equity * ONE, MIN_BASE)
            if alive and base >= 10:
                growth = growth * Fraction(equity - amount) / base
            if not alive and amount > 0 and equity > 0:
                growth, epochs, alive = Fraction(1), epochs + 1, True
            base = Fraction(equity)
        else:
            equity = max(0, equity + amount) if equity else 0
            account.see(day, equity * ONE, equity * ONE, 0, MIN_BASE)
            if alive and equity == 0 and base >= 10:
                alive = False
    expected = growth * Fraction(equity) / base if base >= 10 else growth
    shown = account.nav(MIN_BASE)
    assert account.chain.epoch == epochs
    if alive:
        assert math.isclose(float(shown), float(expected), rel_tol=1e-12, abs_tol=1e-15)
    else:
        assert shown == 0
    ends = [*account.ends, account.end_of_day(MIN_BASE)]
    again, chain = replay(account.links, ends, MIN_BASE)
    assert again == ends
    assert chain == account.chain


def points_of(navs: list[float]) -> list[Point]:
    """A curve with these NAVs at the ends of days."""
    points = []
    for day, value in enumerate(navs):
        growth = None if day == 0 else Decimal(str(value)) / Decimal(str(navs[day - 1]))
        points.append(Point(day, Decimal(str(value)), 10**12, 1, alive=True, quality=0, growth=growth))
    return points


navs = st.lists(st.floats(0.2, 5).map(lambda value: round(value, 4)), min_size=21, max_size=120)


@settings(deadline=None)
@given(navs)
def test_risk_figures_are_the_textbooks(values: list[float]) -> None:
    """empyrical's formulas written out in binary floats: drawdown from running highs, Sharpe with ddof=1, Sortino by downside deviation."""
    points = points_of(values)
    base = Base(points[0].nav, 1, 1)
    highs = [max(values[: index + 1]) for index in range(len(values))]
    deepest = max(1 - value / high for value, high in zip(values, highs, strict=True))
    drawdown = curve.drawdown(points, base)
    assert drawdown is not None
    assert math.isclose(float(drawdown), deepest, rel_tol=1e-9, abs_tol=1e-12)
    returns = [after / before - 1 for before, after in pairwise(values)]
    own = curve.returns(points, 365)
    sharpe, sortino = curve.sharpe(own, 365), curve.sortino(own, 365)
    spread = textbook.stdev(returns)
    if spread > 1e-6:
        assert sharpe is not None
        assert math.isclose(float(sharpe), textbook.mean(returns) / spread * math.sqrt(365), rel_tol=1e-6, abs_tol=1e-9)
    downside = math.sqrt(sum(min(value, 0) ** 2 for value in returns) / len(returns))
    if downside > 1e-6:
        assert sortino is not None
        assert math.isclose(float(sortino), textbook.mean(returns) / downside * math.sqrt(365), rel_tol=1e-6, abs_tol=1e-9)
    if min(returns) >= 0:
        assert sortino is None


def test_risk_needs_twenty_returns_that_differ() -> None:
    assert curve.sharpe([Decimal("0.01")] * 20, 365) is None
    assert curve.sharpe([Decimal("0.01"), Decimal("0.02")] * 9 + [Decimal(0)], 365) is None
    assert curve.sharpe([Decimal("0.01"), Decimal("0.02")] * 10, 365) is not None


def test_a_year_of_252_days_has_no_weekends() -> None:
    points = points_of([1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7])  # day 0 is a Thursday: days 2 and 3 are the weekend
    assert len(curve.returns(points, 365)) == 7
    assert len(curve.returns(points, 252)) == 5


def test_a_gap_is_carried_and_is_no_return() -> None:
    """Days 10 and 13 are told; a position was open in between: 11 and 12 are gaps, the move counts on day 13."""
    account = begin(1, 1, "REAL", "USD", 10, 100 * ONE, 100 * ONE, 1)
    held = account.end_of_day(MIN_BASE)
    later = DayEnd(1, 13, 110 * ONE, Decimal("1.1"), 1, 1, 0, 0)
    points = curve.expand(account.inception, [held, later], 0, 14, MIN_BASE)
    shown = [(point.day, point.growth, point.gap) for point in points[1:]]
    assert shown == [(10, 1, False), (11, None, True), (12, None, True), (13, Decimal("1.1"), False), (14, 1, False)]


def test_the_growth_curve_is_measured_against_the_window_s_base_and_ends_with_its_epoch() -> None:
    points = points_of([2.0, 2.2, 1.98, 2.5])
    base = Base(Decimal(2), 10**12, 1)
    assert curve.growth(points, base) == [Decimal("0.1"), Decimal("-0.01"), Decimal("0.25")]
    assert curve.growth([*points, points[-1]._replace(epoch=2)], base)[-1] == -1, "a new deposit launders nothing"
    assert curve.growth(points, None) == []
