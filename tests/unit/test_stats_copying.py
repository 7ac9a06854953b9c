"""What followers really got: the rules of copyability, with numbers worked out by hand."""

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from executor.bulk import REASONS
from hypothesis import given, settings
from hypothesis import strategies as st
from shared.contracts.links import LinkState
from stats import copying
from stats.amounts import ONE
from stats.copying import Copied, Outcome, Rate
from stats.curve import Point


@pytest.mark.parametrize(
    ("state", "phase", "reason", "order", "expected"),
    [
        (LinkState.ACTIVE, "opening", "", 0, Outcome.PENDING),
        (LinkState.ACTIVE, "pending", "", 9, Outcome.PENDING),
        (LinkState.ACTIVE, "open", "", 9, Outcome.COPIED),
        (LinkState.CLOSED, "closed", "MASTER_CLOSED", 9, Outcome.COPIED),
        (LinkState.CLOSED, "detached", "", 9, Outcome.COPIED),
        (LinkState.FAILED, "rejected", "MARKET_CLOSED", 0, Outcome.MISSED),
        (LinkState.CANCELLED, "skipped", "MARGIN", 0, Outcome.MISSED),
        (LinkState.CANCELLED, "skipped", "PAUSED", 0, Outcome.NOT_DUE),
        (LinkState.CANCELLED, "cancelled", "", 0, Outcome.NOT_DUE),
        (LinkState.CANCELLED, "cancelled", "MASTER_CANCELLED", 9, Outcome.NOT_DUE),
        (LinkState.CANCELLED, "cancelled", "EXPIRED", 9, Outcome.NOT_DUE),
        (LinkState.CANCELLED, "cancelled", "HALTED", 9, Outcome.NOT_DUE),
        (LinkState.CANCELLED, "cancelled", "NOT_FILLED", 9, Outcome.MISSED),
        (LinkState.CANCELLED, "cancelled", "MASTER_FILLED", 9, Outcome.MISSED),
        (LinkState.CANCELLED, "cancelled", "PRICE_MOVED", 9, Outcome.MISSED),
        (LinkState.CANCELLED, "cancelled", "NOT_ENOUGH_MONEY", 9, Outcome.MISSED),
    ],
)
def test_what_a_link_says_of_its_copy(state: LinkState, phase: str, reason: str, order: int, expected: Outcome) -> None:
    assert copying.outcome(state, phase, reason, order) == expected


def test_each_reason_of_a_skip_is_somebody_s_wish_or_a_miss() -> None:
    """All that the executor skips for: a copy that came too late or too dear, that was too small, that the margin did not carry or that
    lacked what it is sized by was due; the rest somebody wanted."""
    missed = {reason for reason in REASONS if reason and copying.outcome(LinkState.CANCELLED, "skipped", reason, 0) == Outcome.MISSED}
    assert missed == {
        *("MASTER_CLOSED", "TOO_OLD", "PRICE_MOVED", "BELOW_MIN", "BELOW_MIN_RISK", "MARGIN"),
        *("ACCOUNT_UNKNOWN", "SYMBOL_UNKNOWN", "MASTER_EQUITY_INVALID", "FOLLOWER_EQUITY_INVALID", "STALE_EQUITY", "FX_RATE_UNKNOWN"),
    }
    assert set(REASONS) >= copying.NOT_DUE


@settings(deadline=None)
@given(st.integers(0, 10**7))
def test_latencies_are_counted_to_two_digits(latency: int) -> None:
    counted = copying.bucket(latency)
    assert abs(counted - latency) <= latency * 0.05
    assert latency > 99 or counted == latency
    assert copying.bucket(counted) == counted


@settings(deadline=None)
@given(st.lists(st.integers(0, 99), min_size=1), st.sampled_from([50, 95]))
def test_percentiles_are_by_nearest_rank(latencies: list[int], percents: int) -> None:
    fills = {value: latencies.count(value) for value in latencies}
    assert copying.percentile(fills, percents) == sorted(latencies)[math.ceil(len(latencies) * percents / 100) - 1]
    assert copying.percentile({}, percents) is None


def test_conversion() -> None:
    """EUR to USD by the price, back by its inverse, JPY to EUR by way of the dollar, USDT as dollars; CHF not at all."""
    rates = [Rate("EUR", "USD", Decimal("1.25")), Rate("USD", "JPY", Decimal(160)), Rate("GBP", "USD", Decimal(0))]
    cases = [
        ("EUR", "USD", 125),
        ("USD", "EUR", 80),
        ("JPY", "EUR", Decimal("0.5")),
        ("USDT", "USD", 100),
        ("USDT", "EUR", 80),
        ("USD", "USD", 100),
    ]
    for source, target, expected in cases:
        assert copying.convert(Decimal(100), source, target, rates) == expected
    assert copying.convert(Decimal(100), "CHF", "USD", rates) is None
    assert copying.convert(Decimal(100), "GBP", "USD", rates) is None


def test_what_is_summed_up_is_bounded() -> None:
    """50 made on a hundred-millionth is no more than a hundred times what was allocated, a fill at 46 billion a billion points worse."""
    assert copying.share_of(50 * ONE, 1, 100 * ONE) == 100 * 10**12
    assert copying.share_of(-50 * ONE, 1, 100 * ONE) == -100 * 10**12
    assert copying.slippage("buy", 2**62, ONE, 5) == (10**17, 10**17)
    assert copying.slippage("sell", 2**62, ONE, 5) == (-(10**17), -(10**17))
    assert copying.least_capital(2**62, 1, 100) == 2**62


def test_tracking_error() -> None:
    """Followers make 1 % on odd days, the master nothing: 30 differences of 0 and 0.01, whose deviation is 0.005 * sqrt(30/29)."""
    days = [Copied(day, 0, 0, 0, 0, 0, 10**10 if day % 2 else 0, 0, 1) for day in range(1, 31)]
    points = [Point(day, Decimal(1), 10**12, 1, alive=True, quality=0, growth=Decimal(1) if day else None) for day in range(31)]
    audience = copying.Audience(0, 0, 0, 0, 0)
    details = copying.figures(audience, days, {}, points, "USD", 365)
    assert details["tracking_error"] == Decimal(str(round(0.5 * math.sqrt(30 / 29), 4)))
    assert details["followers_roi"] == Decimal(str(round((1.01**15 - 1) * 100, 4)))


@settings(deadline=None)
@given(st.integers(-(10**15), 10**15), st.integers(0, 10**15), st.integers(0, 100))
def test_a_share_of_what_was_allocated(amount: int, base: int, allocation: int) -> None:
    share = copying.share_of(amount, base, allocation * ONE)
    allocated = Fraction(base * allocation, 100)
    exact = Fraction(amount) / allocated * 10**12 if allocated else Fraction(0)
    exact = max(-copying.SHARE_MAX, min(exact, copying.SHARE_MAX))
    assert abs(Fraction(share) - exact) <= max(1, abs(share) // 10**25)
