"""How near to the market a copy's stops and pending prices may be. EURUSD 1.10000 / 1.10010; a point is 0.00001, 1000 of 1e-8."""

from decimal import Decimal

import pytest
from executor.amounts import amount
from executor.decide import has_mirror, pending_kind
from executor.distance import Levels, Room, away, frozen, nearest, on_grid, over, resting, stops
from gateway import decide as venue
from hypothesis import given
from hypothesis import strategies as st

POINT = 1000
BID, ASK = 110_000_000, 110_010_000
ROOM = Room(BID, ASK, 50 * POINT, POINT)
LEVEL = st.integers(0, 2 * BID)
NEAR = st.integers(BID - 200 * POINT, ASK + 200 * POINT)


@pytest.mark.parametrize(
    ("side", "sl", "tp", "expected"),
    [
        ("buy", 109_950_000, 110_050_000, (109_950_000, 110_050_000)),  # 50 points from the bid: just far enough
        ("buy", 109_951_000, 110_049_000, (109_950_000, 110_050_000)),
        ("buy", 109_999_000, 110_001_000, (109_950_000, 110_050_000)),
        ("buy", 0, 0, (0, 0)),
        ("buy", 110_000_000, 0, (110_000_000, 0)),  # the price is there: over, not too near
        ("buy", 110_020_000, 109_990_000, (110_020_000, 109_990_000)),
        ("sell", 110_011_000, 110_009_000, (110_060_000, 109_960_000)),  # from the ask
        ("sell", 110_060_000, 109_960_000, (110_060_000, 109_960_000)),
    ],
)
def test_stops_that_are_too_near_are_moved_off(side: str, sl: int, tp: int, expected: tuple[int, int]) -> None:
    assert stops(side, sl, tp, ROOM) == expected


@pytest.mark.parametrize(
    ("side", "kind", "price", "expected"),
    [
        ("buy", "limit", 110_000_000, 109_960_000),  # the ask is 1.10010
        ("buy", "stop", 110_020_000, 110_060_000),
        ("buy", "stop_limit", 110_020_000, 110_060_000),
        ("sell", "limit", 110_010_000, 110_050_000),  # the bid is 1.10000
        ("sell", "stop", 109_990_000, 109_950_000),
        ("buy", "limit", 109_000_000, 109_000_000),
        ("buy", "limit", 110_020_000, 110_020_000),  # over: the venue refuses it
    ],
)
def test_pending_prices_that_are_too_near_are_moved_off(side: str, kind: str, price: int, expected: int) -> None:
    assert resting(side, kind, Levels(price, 0, 0, 0), ROOM).price == expected


def test_the_stops_of_a_pending_order_keep_away_from_where_it_is_filled() -> None:
    """A buy limit at 1.10000 moves to 1.09960; its stop loss at 1.09940 is 20 points off that, so 1.09910, and so is one at 1.09990, which
    the move has passed. One that was on the wrong side from the beginning stays there. A stop-limit's limit counts."""
    for sl in (109_940_000, 109_990_000):
        assert resting("buy", "limit", Levels(110_000_000, 0, sl, 0), ROOM) == (109_960_000, 0, 109_910_000, 0)
    assert resting("buy", "limit", Levels(110_000_000, 0, 110_020_000, 0), ROOM) == (109_960_000, 0, 110_020_000, 0)
    assert resting("buy", "stop_limit", Levels(110_500_000, 110_400_000, 110_390_000, 0), ROOM) == (
        110_500_000,
        110_400_000,
        110_350_000,
        0,
    )


@pytest.mark.parametrize(("level", "rounded"), [(110_004_999, 110_000_000), (110_005_000, 110_000_000), (110_015_000, 110_020_000)])
def test_levels_are_on_the_follower_s_grid_half_even(level: int, rounded: int) -> None:
    assert on_grid(level, 10_000) == rounded
    assert amount(rounded) == amount(level).quantize(Decimal("0.0001"), rounding="ROUND_HALF_EVEN")


def test_a_level_never_goes_farther_off_than_it_is() -> None:
    """Wanted 1.0998: with 1.0995 allowed, 1.0996 in force stays and 1.0990 does not; with none of them nothing is compared."""
    assert nearest(109_980_000, 109_960_000, 109_950_000) == 109_960_000
    assert nearest(109_980_000, 109_900_000, 109_950_000) == 109_950_000
    assert nearest(109_980_000, 0, 109_950_000) == 109_950_000
    assert nearest(0, 109_960_000, 0) == 0
    assert nearest(109_980_000, 109_960_000, 109_980_000) == 109_980_000, "what is wanted is allowed"


@pytest.mark.parametrize(("level", "near"), [(109_991_000, True), (109_990_000, False), (110_009_000, True), (0, False)])
def test_within_the_freeze_level_nothing_is_changed(level: int, near: bool) -> None:
    assert frozen(BID, (level, 0), 10 * POINT) == near
    assert not frozen(BID, (level, 0), 0)
    assert not frozen(0, (level, 0), 10 * POINT), "no price is known"


@given(LEVEL, LEVEL, st.booleans(), st.integers(0, 10**8))
def test_a_level_is_moved_off_by_no_more_than_it_must_and_never_across(level: int, now: int, below: bool, least: int) -> None:
    moved = away(level, now, below=below, least=least)
    assert away(moved, now, below=below, least=least) == moved
    if moved != level:
        assert abs(now - moved) == least > abs(now - level)
        assert (moved < now) == (level < now) == below
    elif level and now and not over(level, now, below=below) and (now > least or not below):
        assert abs(now - level) >= least


@given(st.sampled_from(["buy", "sell"]), NEAR, NEAR, st.integers(0, 120), st.sampled_from([POINT, 10 * POINT]))
def test_the_venue_takes_what_is_asked_for_unless_the_market_has_reached_it(side: str, sl: int, tp: int, points: int, grid: int) -> None:
    """Its own rule, in its own arithmetic; and what it takes as it is, is asked for as it is."""
    room = Room(BID, ASK, points * grid, grid)
    now, buys = room.closing(side), side == "buy"
    asked = stops(side, sl, tp, room)
    wanted = on_grid(sl, grid), on_grid(tp, grid)

    def taken(levels: tuple[int, int]) -> bool:
        return venue.stops_fault(side, amount(now), amount(levels[0]), amount(levels[1]), amount(room.least)) is None

    assert taken(asked) == (not over(wanted[0], now, below=buys) and not over(wanted[1], now, below=not buys))
    assert asked == wanted or not taken(wanted)


@given(st.sampled_from(["buy", "sell"]), st.sampled_from(["limit", "stop", "stop_limit"]), NEAR, NEAR, NEAR, NEAR, st.integers(0, 120))
def test_the_venue_takes_the_pending_orders_that_are_asked_for(
    side: str, kind: str, price: int, limit_price: int, sl: int, tp: int, points: int
) -> None:
    room = Room(BID, ASK, points * POINT, POINT)
    asked = resting(side, kind, Levels(price, limit_price, sl, tp), room)
    at = asked.limit_price if kind == "stop_limit" else asked.price
    quote = venue.Quote(amount(BID), amount(ASK))
    fault = venue.pending_fault(side, kind, amount(asked.price), quote, amount(room.least))
    below = (side == "buy") == (kind == "limit")
    assert (fault is None) == (not over(on_grid(price, POINT), room.opening(side), below=below))
    meant, buys = limit_price if kind == "stop_limit" else price, side == "buy"
    for level, asked_level, own in ((sl, asked.sl, buys), (tp, asked.tp, not buys)):
        fits = over(on_grid(level, POINT), on_grid(meant, POINT), below=own) or abs(asked_level - at) >= room.least
        assert fits
        assert not over(asked_level, at, below=own) or over(on_grid(level, POINT), on_grid(meant, POINT), below=own)


def test_the_mirror_of_a_pending_order() -> None:
    assert {kind: pending_kind(kind, 1) for kind in ("limit", "stop")} == {"limit": "stop", "stop": "limit"}
    assert {kind: has_mirror(kind) for kind in ("limit", "stop", "stop_limit")} == {"limit": True, "stop": True, "stop_limit": False}
    assert [pending_kind(kind, 0) for kind in ("limit", "stop", "stop_limit")] == ["limit", "stop", "stop_limit"]
