"""The paper venue's rules by themselves."""

from dataclasses import replace
from decimal import Decimal

import pytest
from gateway import decide
from gateway.decide import Quote
from hypothesis import given
from hypothesis import strategies as st
from shared.symbols import SymbolSpec

D = Decimal
GBPUSD = SymbolSpec("GBPUSD", 5, D(100_000), "GBP", "USD", volume_min=10, volume_step=5, volume_max=100)
NOW = Quote(D("1.57560"), D("1.57570"))


def test_a_buy_opens_at_the_ask_and_closes_at_the_bid_and_a_sell_the_other_way() -> None:
    assert (NOW.opening("buy"), NOW.closing("buy")) == (D("1.57570"), D("1.57560"))
    assert (NOW.opening("sell"), NOW.closing("sell")) == (D("1.57560"), D("1.57570"))


def test_a_step_is_counted_from_nothing() -> None:
    """As copies are sized, whatever the least volume is."""
    spec = replace(GBPUSD, volume_min=1, volume_step=10)
    assert [volume for volume in range(32) if decide.volume_fault(spec, volume) is None] == [10, 20, 30]


@pytest.mark.parametrize(
    ("volume", "fits"), [(9, False), (10, True), (12, False), (15, True), (100, True), (105, False), (0, False), (-10, False)]
)
def test_volume_between_least_and_most_on_the_step(volume: int, fits: bool) -> None:
    assert (decide.volume_fault(GBPUSD, volume) is None) == fits


@pytest.mark.parametrize(
    ("side", "sl", "tp", "fits"),
    [
        ("buy", "1.57559", "1.57561", True),
        ("buy", "1.57560", "0", False),  # would be hit at once
        ("buy", "1.57570", "0", False),
        ("buy", "0", "1.57560", False),
        ("buy", "0", "0", True),
        ("buy", "-1", "0", False),
        ("sell", "1.57561", "1.57559", True),
        ("sell", "1.57550", "0", False),
        ("sell", "0", "1.57570", False),
    ],
)
def test_stops_lie_on_their_own_sides_of_the_price(side: str, sl: str, tp: str, fits: bool) -> None:
    fault = decide.stops_fault(side, D("1.57560"), D(sl), D(tp), D(0))
    assert (fault is None) == fits
    assert fault is None or fault.reason == "INVALID_STOPS"


def test_stops_keep_the_distance_that_the_symbol_asks_for() -> None:
    # 20 points of 0.00001 from 1.57560: 1.57540 is just far enough, 1.57541 is not
    assert decide.stops_fault("buy", D("1.57560"), D("1.57540"), D(0), D("0.00020")) is None
    assert decide.stops_fault("buy", D("1.57560"), D("1.57541"), D(0), D("0.00020")) is not None


@pytest.mark.parametrize(
    ("levels", "distance", "frozen"),
    [
        (("1.57550", "0"), "0.00010", False),
        (("1.57551", "0"), "0.00010", True),
        (("0", "1.57569"), "0.00010", True),
        (("0", "1.57570"), "0.00010", False),
        (("0", "0"), "0.00010", False),
        (("1.57560", "0"), "0", False),
    ],
)
def test_what_is_nearer_than_the_freeze_level_is_frozen(levels: tuple[str, str], distance: str, frozen: bool) -> None:
    fault = decide.frozen(D("1.57560"), [D(level) for level in levels], D(distance))
    assert (fault.reason if fault else "") == ("FROZEN" if frozen else "")


@pytest.mark.parametrize(
    ("side", "kind", "price", "fits"),
    [
        ("buy", "limit", "1.57569", True),
        ("buy", "limit", "1.57570", False),
        ("buy", "stop", "1.57571", True),
        ("buy", "stop", "1.57570", False),
        ("sell", "limit", "1.57561", True),
        ("sell", "limit", "1.57560", False),
        ("sell", "stop", "1.57559", True),
        ("sell", "stop", "1.57560", False),
        ("buy", "stop_limit", "1.57571", True),
        ("buy", "stop_limit", "1.5", False),
        ("buy", "limit", "0", False),
    ],
)
def test_a_limit_is_better_and_a_stop_worse_than_the_market(side: str, kind: str, price: str, fits: bool) -> None:
    assert (decide.pending_fault(side, kind, D(price), NOW, D(0)) is None) == fits


def test_an_opening_must_leave_free_margin_and_the_margin_call_level() -> None:
    assert decide.affordable(D(100), D(100), 100)
    assert not decide.affordable(D("99.99"), D(100), 100)
    assert not decide.affordable(D(119), D(100), 120)  # level 119 % is below 120 %
    assert not decide.affordable(D(99), D(100), 50)  # the level would do, the free margin does not


def test_stop_out_is_below_the_level_not_at_it() -> None:
    assert not decide.stopped_out(D(50), D(100), 50)
    assert decide.stopped_out(D("49.99"), D(100), 50)
    assert not decide.stopped_out(D(-5), D(0), 50)  # nothing open, nothing to close


def test_stop_out_takes_the_largest_loss_first_and_of_two_equal_ones_the_older() -> None:
    assert decide.worst([(D(-5), 1), (D(-30), 2), (D(10), 3)]) == 2
    assert decide.worst([(D(-5), 9), (D(-5), 4)]) == 4


@given(
    st.integers(1, 500).flatmap(lambda initial: st.tuples(st.just(initial), st.lists(st.integers(1, initial), max_size=10))),
    st.decimals(-1000, 1000, places=2),
)
def test_slices_of_a_cost_add_up_to_it(case: tuple[int, list[int]], total: Decimal) -> None:
    initial, wanted = case
    left, sum_of_slices = initial, D(0)
    for slice_ in [*wanted, initial]:
        closed = min(slice_, left)
        if closed:
            sum_of_slices += decide.released(total, initial, left, left - closed, 2)
            left -= closed
    assert left == 0
    assert sum_of_slices == total


def test_nights_are_midnights_that_the_position_saw_and_that_were_not_charged() -> None:
    day = decide.DAY_MS
    assert decide.nights(opened_ms=100 * day + 5, last_day=100, today=101) == 1
    assert decide.nights(opened_ms=100 * day + 5, last_day=98, today=103) == 3  # the venue was away for a while
    assert decide.nights(opened_ms=101 * day + 5, last_day=100, today=101) == 0  # opened after midnight, before the venue looked
    assert decide.nights(opened_ms=90 * day, last_day=101, today=101) == 0


def test_worst_price_bounds_a_fill_on_its_own_side() -> None:
    assert decide.too_dear("buy", D("1.5758"), D("1.5757"))
    assert not decide.too_dear("buy", D("1.5757"), D("1.5757"))
    assert decide.too_dear("sell", D("1.5756"), D("1.5757"))
    assert not decide.too_dear("sell", D("1.5756"), D(0))
