"""How much a follower copies, and how much of it is left: formulas.md sections 1 and 2. Numbers are worked out by hand."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from executor import limits, links, sizing
from executor.amounts import UNIT, amount, units
from executor.decide import decide
from executor.market import Market, SymbolFacts
from executor.terms import Policy, Rules, Signal, Standing, Terms
from hypothesis import given
from hypothesis import strategies as st

VECTORS = {
    "partial_close": {"M0": 100, "F0": 3, "slices": [10] * 10, "remaining": [3, 2, 2, 2, 1, 1, 1, 1, 0, 0]},
    "lot_floor": {"raw": "0.29", "step": "0.01", "steps": 29},
    "binance_discount": {"S": "0.01", "L": 20, "value": 0.815294},
}
"""The worked cases of vectors.json, as they stand there."""

TERMS = Terms("EURUSD", 1, 1, 1, 100_000, 1, 1, 1, 1, 1000, 0, 0, 0, 1)
POLICY = Policy(0, -1)
STANDING = Standing(1, 1, 0, 10_000 * UNIT, 10_000 * UNIT, 10_000 * UNIT, 100, 0, 0, 0, 0, 1, 0, 0)
FIXED, MULTIPLIER, EQUITY, BALANCE = range(4)


def rules(**fields: int) -> Rules:
    values = dict.fromkeys(Rules._fields, 0) | {
        "subscription": 1, "version": 1, "enabled": 1, "volume_mode": MULTIPLIER, "risk_multiplier": UNIT, "copy_sl": 1, "copy_tp": 1,
        "copy_partial_close": 1, "allocation_percent": 100 * UNIT, "ratio_multiplier": UNIT,
    }  # fmt: skip
    return Rules(**(values | fields))


def signal(**fields: object) -> Signal:
    values: dict[str, object] = {
        "order": 1, "login": 1000, "symbol": "EURUSD", "side": "buy", "volume": 100, "price": 110_000_000, "sl": 0, "tp": 0,
        "equity": 10_000 * UNIT, "balance": 10_000 * UNIT, "opened_ms": 1000, "now": 1000,
    }  # fmt: skip
    return Signal(**(values | fields))  # type: ignore[arg-type]


def volume(**fields: int) -> tuple[int, str]:
    made = decide(signal(), TERMS, rules(**fields), STANDING, POLICY)
    return made.volume, made.reason


def test_vectors_partial_close() -> None:
    case: Any = VECTORS["partial_close"]
    left, now, told = case["M0"], case["F0"], []
    for part in case["slices"]:
        left -= part
        now = links.target(case["F0"], now, left, case["M0"], 1, 1, "close_dust")
        told.append(now)
    assert told == case["remaining"]


def test_vectors_lot_floor() -> None:
    """0.29 lots in steps of 0.01 are 29 steps: integers do not lose the one that binary floats lose."""
    case: Any = VECTORS["lot_floor"]
    raw, step = Fraction(case["raw"]), Fraction(case["step"])
    got, reason = sizing.fit(int(raw / step * sizing.PARTS), TERMS, 0, 0, 0)
    assert (got, reason) == (case["steps"], "")


def test_vectors_binance_discount() -> None:
    case: Any = VECTORS["binance_discount"]
    share = limits.margin_share(Fraction(str(case["S"])), case["L"])
    assert round(float(share), 6) == case["value"]


def test_amounts_keep_eight_places() -> None:
    assert units(Decimal("1.10345")) == 110_345_000
    assert amount(110_345_000) == Decimal("1.10345")
    assert units(Decimal("1E+30")) == 2**62


def test_limits_of_the_volume() -> None:
    """100 wanted: at most 40; a fixed 3 with a minimum of 5 is skipped, or raised (5 <= 2 x 3); 2 is not raised to 5 (> 2 x 2)."""
    assert volume(max_volume=40) == (40, "")
    assert volume(volume_mode=FIXED, fixed_volume=3, min_volume=5) == (0, "BELOW_MIN")
    assert volume(volume_mode=FIXED, fixed_volume=3, min_volume=5, raise_to_min=1) == (5, "")
    assert volume(volume_mode=FIXED, fixed_volume=2, min_volume=5, raise_to_min=1) == (0, "BELOW_MIN_RISK")
    assert volume(volume_mode=FIXED, fixed_volume=3, min_volume=5, max_volume=4, raise_to_min=1) == (0, "BELOW_MIN")
    assert volume(volume_mode=FIXED, fixed_volume=0) == (0, "BELOW_MIN")


def test_steps_and_raising_to_a_step() -> None:
    """Step 10: 57 -> 50. A minimum of 15 lies on the step 20: 12 is raised to 20 (<= 24)."""
    coarse = TERMS._replace(step=10, smallest=10)
    assert sizing.fit(57_000, coarse, 0, 0, 0) == (50, "")
    assert sizing.fit(12_000, coarse, 15, 0, 1) == (20, "")
    assert sizing.fit(9_000, coarse, 15, 0, 1) == (0, "BELOW_MIN_RISK")


def test_allocation_and_ratio_multiplier() -> None:
    """100 x 10,000 x 30 % / 10,000 = 30; times 1.5 = 45. MULTIPLIER's own factor plays no part in a ratio mode."""
    assert volume(volume_mode=EQUITY, allocation_percent=30 * UNIT) == (30, "")
    assert volume(volume_mode=EQUITY, allocation_percent=30 * UNIT, ratio_multiplier=UNIT * 3 // 2) == (45, "")
    assert volume(volume_mode=EQUITY, risk_multiplier=7 * UNIT) == (100, "")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"signal": {"equity": 0}}, "MASTER_EQUITY_INVALID"),
        ({"signal": {"equity": -5}}, "MASTER_EQUITY_INVALID"),
        ({"standing": {"equity": 0}}, "FOLLOWER_EQUITY_INVALID"),
        ({"standing": {"equity": -1}}, "FOLLOWER_EQUITY_INVALID"),
        ({"standing": {"known": 0}}, "ACCOUNT_UNKNOWN"),
        ({"standing": {"updated_ms": 399, "positions": 1}}, "STALE_EQUITY"),
        ({"standing": {"updated_ms": 399, "positions": 0}}, ""),
        ({"standing": {"updated_ms": 400, "positions": 1}}, ""),
        ({"terms": {"fx_num": 0}}, "FX_RATE_UNKNOWN"),
    ],
)
def test_no_equity_no_guess(changes: dict[str, dict[str, int]], reason: str) -> None:
    made = decide(
        signal(**changes.get("signal", {})),
        TERMS._replace(**changes.get("terms", {})),  # type: ignore[arg-type]
        rules(volume_mode=EQUITY),
        STANDING._replace(**changes.get("standing", {})),
        Policy(600, -1),
    )
    assert made.reason == reason
    assert (made.volume > 0) == (reason == "")


def test_contract_sizes_and_lot_units_are_made_equal() -> None:
    """1 lot of 100 units and contract 100,000 against 1,000 units a lot and contract 10,000: 100 units -> 1 lot -> 10 lots -> 10,000."""
    market = Market({"*": {"EURUSD": "EURUSD.m"}})
    market.put(SymbolFacts("EURUSD", 5, 100_000 * UNIT, "EUR", "USD", 100, 1, 1, 10**6, 0, 0))
    market.put(SymbolFacts("EURUSD.m", 5, 10_000 * UNIT, "EUR", "USD", 1000, 1, 1, 10**6, 0, 0))
    terms = market.terms("EURUSD", "real-usd", "USD", "USD", {})
    made = decide(signal(), terms, rules(), STANDING, POLICY)
    assert (terms.symbol, made.volume) == ("EURUSD.m", 10_000)


def test_rates_between_currencies() -> None:
    """EURUSD 1.24/1.26 -> 1.25; USDJPY 150: EUR -> JPY over USD 187.5; USDT is a USD unless a symbol says otherwise."""
    market = Market({})
    market.put(SymbolFacts("EURUSD", 5, UNIT, "EUR", "USD", 100, 1, 1, 10, 124_000_000, 126_000_000))
    market.put(SymbolFacts("USDJPY", 3, UNIT, "USD", "JPY", 100, 1, 1, 10, 150 * UNIT, 150 * UNIT))
    assert market.rate("EUR", "USD") == Fraction(5, 4)
    assert market.rate("USD", "EUR") == Fraction(4, 5)
    assert market.rate("EUR", "JPY") == Fraction(375, 2)
    assert market.rate("USDT", "EUR") == Fraction(4, 5)
    assert market.rate("USDT", "USD") == 1
    assert market.rate("CHF", "USD") == 0
    market.put(SymbolFacts("USDTUSD", 4, UNIT, "USDT", "USD", 100, 1, 1, 10, 99_000_000, 99_000_000))
    assert market.rate("USDT", "USD") == Fraction(99, 100)


def test_margin_check() -> None:
    """100 units x 1,100 of notional a unit / leverage 100 = 1,100. Free 1,350 x 0.99 / (0.99 + 100 x 0.01) x 0.98 = 658.19: too little;
    2,257 x 0.4875.. = 1,100.4: enough."""
    terms = TERMS._replace(margin_num=1100 * UNIT, margin_den=1)
    policy = Policy(0, UNIT // 100)
    for free, reason in ((1350, "MARGIN"), (2256, "MARGIN"), (2257, "")):
        made = decide(signal(), terms, rules(), STANDING._replace(free_margin=free * UNIT), policy)
        assert made.reason == reason, free


positive = st.integers(1, 10**6)


@given(positive, st.integers(1, 10**4), st.lists(st.integers(0, 10**6), min_size=1, max_size=12), st.integers(1, 50), st.booleans())
def test_a_target_never_grows_and_never_strays(m0: int, f0: int, masters: list[int], smallest: int, dust: bool) -> None:
    """Along any descending path of the master: never more than before, never a forbidden residue, at the end nothing."""
    now = f0
    for left in [*sorted((min(m, m0) for m in masters), reverse=True), 0]:
        wanted = links.remaining(f0, left, m0)
        assert abs(wanted - Fraction(f0 * left, m0)) <= Fraction(1, 2)
        then = links.target(f0, now, left, m0, smallest, 1, "close_dust" if dust else "keep_min")
        assert 0 <= then <= now
        assert then == 0 or then >= smallest
        assert then == links.target(f0, then, left, m0, smallest, 1, "close_dust" if dust else "keep_min") or then == 0
        now = then
    assert now == 0


@given(
    st.integers(0, 10**12), st.integers(1, 10**9), st.integers(1, 1000), st.integers(0, 10**4), st.integers(1, 10**6),
    st.integers(0, 10**5), st.integers(0, 10**6), st.integers(0, 1),
)  # fmt: skip
def test_a_fitted_volume_keeps_every_limit(
    num: int, den: int, step: int, smallest: int, largest: int, least: int, most: int, up: int
) -> None:
    terms = TERMS._replace(step=step, smallest=smallest, largest=largest)
    got, reason = sizing.fit(num * sizing.PARTS // den, terms, least, most, up)
    assert (got == 0) == (reason != "")
    if got:
        assert got % step == 0
        assert max(smallest, least) <= got <= min(largest, most or largest)
        assert got * den <= num or (up and got * den <= 2 * num)
