"""Rates between currencies, the levels at which orders wake, recorded bars, and the venue's settings."""

from decimal import Decimal

import pytest
from gateway.decide import Quote
from gateway.paper.feed import BAR_MS, Bar, bars_of, bid_at, load_recordings, quote_of
from gateway.paper.market import CATALOGUE, GROUPS, Market, Symbol
from gateway.paper.permits import halt_fault, manual_fault
from gateway.paper.records import HaltState
from gateway.paper.triggers import Hit, Triggers
from gateway.settings import GatewaySettings
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from shared.contracts.config import ManualTradingMode

D = Decimal


def market() -> Market:
    found = Market(CATALOGUE)
    found.set("EURUSD", Quote(D("1.20"), D("1.30")), 1)  # middle 1.25
    found.set("USDJPY", Quote(D("79"), D("81")), 1)  # middle 80
    return found


def test_rates_go_by_the_middle_and_the_fewest_symbols() -> None:
    rates = market()
    assert rates.rate("USD", "USD") == 1
    assert rates.rate("EUR", "USD") == D("1.25")
    assert rates.rate("USD", "EUR") == D("0.8")
    assert rates.rate("JPY", "USD") == D("0.0125")
    assert rates.rate("JPY", "EUR") == D("0.01")  # 1 / 80 / 1.25
    assert rates.rate("USDT", "USD") == 1
    assert rates.rate("USDT", "EUR") == D("0.8")


def test_a_rate_follows_the_price() -> None:
    rates = market()
    assert rates.rate("USD", "EUR") == D("0.8")
    rates.set("EURUSD", Quote(D(2), D(2)), 2)
    assert rates.rate("USD", "EUR") == D("0.5")


def test_a_symbol_that_trades_a_pegged_currency_unpegs_it() -> None:
    usdt = Symbol("USDT-USD", 4, D(1), "USDT", "USD", first_bid=D("0.99"), first_ask=D("0.99"))
    assert Market(CATALOGUE | {"USDT-USD": usdt}).rate("USDT", "USD") == D("0.99")


def test_groups_and_symbols_are_those_that_were_agreed() -> None:
    assert {(group.name, group.mode, group.currency) for group in GROUPS.values()} == {
        ("real-usd", "REAL", "USD"),
        ("demo-usd", "DEMO", "USD"),
        ("real-eur", "REAL", "EUR"),
        ("real-usdt", "REAL", "USDT"),
    }
    assert {name: (symbol.digits, symbol.units(100)) for name, symbol in CATALOGUE.items()} == {
        "GBPUSD": (5, 100_000),
        "EURUSD": (5, 100_000),
        "USDJPY": (3, 100_000),
        "BTC-SWAP-USDT": (2, 1),
        "ETH-SWAP-USDT": (2, 1),
    }
    assert all((symbol.volume_min, symbol.volume_step, symbol.volume_per_lot) == (1, 1, 100) for symbol in CATALOGUE.values())


# Levels


def test_levels_are_reached_from_their_own_side() -> None:
    levels = Triggers(lambda _: True)
    levels.protect("buy", D("1.50"), D("1.60"), 1, 1)
    levels.protect("sell", D("1.60"), D("1.50"), 2, 1)
    assert levels.take(Quote(D("1.55"), D("1.56"))) == []
    assert levels.take(Quote(D("1.59"), D("1.60"))) == [Hit(2, "sl", 1)]  # the sell closes at the ask
    assert levels.take(Quote(D("1.60"), D("1.61"))) == [Hit(1, "tp", 1)]  # the buy at the bid
    assert levels.take(Quote(D("1.49"), D("1.50"))) == [Hit(1, "sl", 1), Hit(2, "tp", 1)]
    assert levels.take(Quote(D("1.40"), D("1.40"))) == []


def test_a_level_of_an_order_that_has_changed_does_not_count() -> None:
    levels = Triggers(lambda hit: hit.version == 2)
    levels.protect("buy", D("1.50"), D(0), 1, 1)
    levels.protect("buy", D("1.45"), D(0), 1, 2)
    assert levels.take(Quote(D("1.48"), D("1.49"))) == []
    assert levels.take(Quote(D("1.45"), D("1.46"))) == [Hit(1, "sl", 2)]


def test_levels_of_changed_orders_do_not_pile_up() -> None:
    alive = {1: 0}
    levels = Triggers(lambda hit: alive[hit.order] == hit.version)
    for version in range(10_000):
        alive[1] = version
        levels.protect("buy", D(1) + D(version).scaleb(-5), D(0), 1, version)
    assert len(levels._falls["bid"]._heap) < 2_000
    assert levels.take(Quote(D("0.5"), D("0.5"))) == [Hit(1, "sl", 9_999)]


@given(
    st.lists(st.tuples(st.sampled_from(["buy", "sell"]), st.sampled_from(["limit", "stop"]), st.integers(90, 110)), max_size=30),
    st.integers(90, 110),
)
def test_waiting_orders_wake_exactly_when_the_price_is_there(orders: list[tuple[str, str, int]], now: int) -> None:
    levels = Triggers(lambda _: True)
    for number, (side, kind, price) in enumerate(orders):
        levels.wait(side, kind, D(price), number, 1)
    woken = {hit.order for hit in levels.take(Quote(D(now), D(now + 1)))}
    expected = set()
    for number, (side, kind, price) in enumerate(orders):
        market_price = now + 1 if side == "buy" else now
        falls = (side, kind) in {("buy", "limit"), ("sell", "stop")}
        if (market_price <= price) if falls else (market_price >= price):
            expected.add(number)
    assert woken == expected


# Who may trade


def test_halts_hold_for_their_scope_and_a_halt_outweighs_reduce_only() -> None:
    def reason(*halts: HaltState) -> str | None:
        fault = halt_fault(halts, master=5, follower=6, symbol="GBPUSD")
        return fault.reason if fault else None

    assert reason() is None
    assert reason(HaltState(1, "all", "", "halt")) == "TRADING_HALTED"
    assert reason(HaltState(1, "master", "5", "reduce_only")) == "REDUCE_ONLY"
    assert reason(HaltState(1, "master", "6", "halt"), HaltState(2, "follower", "5", "halt")) is None
    assert reason(HaltState(1, "follower", "6", "halt")) == "TRADING_HALTED"
    assert reason(HaltState(1, "symbol", "EURUSD", "halt")) is None
    assert reason(HaltState(1, "symbol", "GBPUSD", "reduce_only"), HaltState(2, "all", "", "halt")) == "TRADING_HALTED"


@pytest.mark.parametrize(
    ("mode", "own", "copied"),
    [
        (ManualTradingMode.DISABLED, False, False),
        (ManualTradingMode.ALLOW_NON_COPIED, True, False),
        (ManualTradingMode.ALLOW_ALL, True, True),
    ],
)
def test_manual_trading_modes(mode: ManualTradingMode, own: bool, copied: bool) -> None:
    assert (manual_fault(mode, copied=False) is None, manual_fault(mode, copied=True) is None) == (own, copied)


# Recorded prices


def test_a_rising_bar_goes_down_first_and_a_falling_one_up() -> None:
    rising, falling = Bar(D(10), D(16), D(7), D(13)), Bar(D(10), D(16), D(7), D(9))
    third = BAR_MS // 3
    assert [rising.at(at) for at in (0, third // 2, third, 2 * third, BAR_MS)] == [10, D("8.5"), 7, 16, 13]
    assert [falling.at(at) for at in (0, third, 2 * third)] == [10, 16, 7]


def test_a_recording_begins_anew_at_its_end() -> None:
    bars = bars_of(["time,open,high,low,close\n", "1,1,2,1,2\n", "2,2,3,2,3\n"])
    assert bid_at(bars, 0) == bid_at(bars, 2 * BAR_MS) == 1
    assert bid_at(bars, BAR_MS) == 2


def test_recordings_are_there_and_start_as_the_catalogue_says() -> None:
    found = load_recordings(CATALOGUE)
    assert {name: len(bars) for name, bars in found.items()} == {"GBPUSD": 6049, "BTC-SWAP-USDT": 9007}
    assert found["BTC-SWAP-USDT"][0].open == CATALOGUE["BTC-SWAP-USDT"].first_bid == 46319
    assert all(bar.low <= min(bar.open, bar.close) and bar.high >= max(bar.open, bar.close) for bars in found.values() for bar in bars)


def test_a_played_quote_is_on_the_grid_with_the_spread_of_the_symbol() -> None:
    assert quote_of(CATALOGUE["GBPUSD"], D("1.5812345")) == Quote(D("1.58123"), D("1.58133"))


# Settings


def test_symbols_can_be_changed_and_added(monkeypatch: pytest.MonkeyPatch) -> None:
    new = '{"digits": 3, "contract_size": 100, "base_currency": "XAU", "quote_currency": "USD", "bid": 1700, "ask": 1700.5}'
    monkeypatch.setenv("LOCKSTEP_VENUE_SYMBOLS", '{"GBPUSD": {"commission": "3.5", "stops_level": 20}, "XAUUSD": ' + new + "}")
    symbols = GatewaySettings().symbols()
    assert (symbols["GBPUSD"].commission, symbols["GBPUSD"].distance, symbols["GBPUSD"].digits) == (D("3.5"), D("0.00020"), 5)
    assert (symbols["XAUUSD"].first_bid, symbols["XAUUSD"].volume_per_lot) == (1700, 100)
    assert symbols["EURUSD"] == CATALOGUE["EURUSD"]


@pytest.mark.parametrize(
    "value",
    [
        '{"XAUUSD": {"digits": 3}}',
        '{"GBPUSD": {"bid": 2, "ask": 1}}',
        '{"GBPUSD": {"comission": 2}}',
        '{"GBPUSD": {"commission": "NaN"}}',
        '{"GBPUSD": {"quote_currency": "CHF"}}',
    ],
)
def test_symbols_that_cannot_be_traded_are_refused_at_start(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("LOCKSTEP_VENUE_SYMBOLS", value)
    with pytest.raises(ValidationError):
        GatewaySettings()
