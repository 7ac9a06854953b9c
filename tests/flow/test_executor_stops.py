"""Stops of whole copies, and a follower's own, through the real handlers. Numbers are worked out by hand."""

from pathlib import Path
from typing import Any

import pytest
from shared.contracts import trades
from shared.contracts.config import PositionStops, StopsSaved, SubscriptionSaved
from shared.contracts.orders import ProtectCopies

from tests.flow.executor_world import ANNA, BEN, MASTER, NOW, D, follow, price, world

pytestmark = pytest.mark.anyio


async def test_the_whole_copy_ends_at_its_profit(tmp_path: Path) -> None:
    """10 % of 1,000: 2 units gain 100 at 1.15. Then nothing is opened until the config is set anew."""
    async with world(tmp_path) as w:
        await w.ready(follow(1, stop_profit_rate=D("0.1")), follow(2, BEN))
        await w.open(11)
        await price(w, "1.14999")
        assert w.open_volume(ANNA) == 2
        await price(w, "1.15")
        link = (await w.links(11))[1]
        assert (link.phase, link.reason, w.open_volume(ANNA), w.open_volume(BEN)) == ("closed", "COPY_STOP_PROFIT", 0, 2)
        for order in (12, 13):
            await w.open(order)
            assert (await w.links(order))[1].reason == "STOPPED"
            w.parts_desk.forget()
        await w.configured(SubscriptionSaved(subscription=follow(1, version=2, stop_profit_rate=D("0.1"), set_ms=w.now)))
        await w.open(14)
        assert (await w.links(14))[1].volume == 1  # 2,200 at 1,150 a unit


async def test_the_whole_copy_ends_at_its_loss_after_the_delay(tmp_path: Path) -> None:
    """20 % of 1,000: 150 were realised, and 2 units lose 50 at 1.075. The loss has to last for 30 s, whatever restarts meanwhile."""
    async with world(tmp_path) as w:
        await w.ready(follow(1, stop_loss_rate=D("0.2"), stop_loss_delay=30))
        await w.open(11)
        [row] = w.venue.closing(50_001, 2, trades.REASON_CLIENT).rows
        await w.told(trades.PositionsClosed.of([row._replace(profit=D(-148), commission=D(-2))]))
        await w.open(12)
        await price(w, "1.075")
        await w.tick(28_000)
        await price(w, "1.07501")  # back in time
        await price(w, "1.07499")
        w.parts_desk.forget()
        await w.tick(29_999)
        assert w.open_volume(ANNA) == 2
        await w.tick(1)
        assert ((await w.links(12))[1].reason, w.open_volume(ANNA)) == ("COPY_STOP_LOSS", 0)
        await w.open(13)
        assert (await w.links(13))[1].reason == "STOPPED"


def stops(version: int = 1, **more: Any) -> StopsSaved:
    values: dict[str, Any] = {
        "id": 5, "version": version, "updated_ms": NOW + 5, "follower_login": ANNA, "master_login": MASTER, "symbol": "EURUSD",
        "is_long": 1,
    }  # fmt: skip
    return StopsSaved(stops=PositionStops(**(values | more)))


async def test_a_followers_own_stops_are_the_venues_and_stay_when_the_master_moves_his(tmp_path: Path) -> None:
    """Opened at 1.1: 10 % above 1.21, 5 % below 1.045. The master's own move of both changes nothing any more; told again, neither."""
    async with world(tmp_path) as w:
        await w.ready(follow(1), follow(2, BEN))
        await w.open(11, sl=D("1.0"), tp=D("1.3"))
        await w.configured(stops(stop_profit_rate=D("0.1"), stop_loss_rate=D("0.05")))
        [protect] = await w.orders(ProtectCopies)
        assert [(row.login, row.sl, row.tp) for row in protect.rows] == [(ANNA, D("1.045"), D("1.21"))]
        await w.move_stops(11, "1.01", "1.31", 2)
        await w.configured(stops(stop_profit_rate=D("0.1"), stop_loss_rate=D("0.05")))
        assert [row.login for event in (await w.orders(ProtectCopies))[1:] for row in event.rows] == [BEN]
        w.now += 10
        await w.open(12)  # opened later: the stops were not for it
        await w.configured(stops(stop_profit_rate=D("0.1"), stop_loss_rate=D("0.05")))
        await price(w, "1.21")
        assert ((await w.links(11))[1].reason, (await w.links(12))[1].phase) == ("STOP_PROFIT_RATE", "open")
        assert (await w.links(11))[2].phase == "open"


@pytest.mark.parametrize(
    ("first", "then", "expected"),
    [
        ({"stop_profit_rate": D("0.1")}, {}, ("1.0", "1.21")),
        ({"stop_loss_rate": D("0.05")}, {}, ("1.045", "1.3")),
        ({"stop_loss_rate": D("0.05"), "stop_loss_delay": 10}, {}, ("0", "1.3")),
        ({"stop_loss_delay": 10}, {}, ("1.0", "1.3")),
        ({"stop_loss_rate": D("0.05")}, {"stop_profit_rate": D("0.1")}, ("1.0", "1.21")),
        ({"stop_profit_rate": D("0.1"), "stop_loss_rate": D("0.05")}, {"stop_loss_rate": D("0.05")}, ("1.045", "1.3")),
    ],
)
async def test_a_stop_that_the_follower_has_not_set_stays(
    tmp_path: Path, first: dict[str, Any], then: dict[str, Any], expected: tuple[str, str]
) -> None:
    """Opened at 1.1 with the master's 1.0 and 1.3. What is set no more is the master's again. A loss with a delay is not the venue's."""
    async with world(tmp_path) as w:
        await w.ready(follow(1))
        await w.open(11, sl=D("1.0"), tp=D("1.3"))
        await w.configured(stops(**first))
        if then:
            await w.configured(stops(2, **then))
        position = w.venue.positions[50_001]
        assert (position["sl"], position["tp"]) == (D(expected[0]), D(expected[1]))


async def test_a_stop_that_the_follower_has_moved_by_hand_stays_beside_the_rate(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(follow(1))
        await w.open(11, sl=D("1.0"), tp=D("1.3"))
        await w.told(w.venue.stops(50_001, D("1.02"), D("1.25")))
        await w.configured(stops(stop_profit_rate=D("0.1")))
        assert (w.venue.positions[50_001]["sl"], w.venue.positions[50_001]["tp"]) == (D("1.02"), D("1.21"))
        await w.configured(stops(2, stop_loss_rate=D("0.05")))
        assert (w.venue.positions[50_001]["sl"], w.venue.positions[50_001]["tp"]) == (D("1.045"), D("1.3"))


async def test_stops_that_are_set_no_more_are_the_reversed_masters(tmp_path: Path) -> None:
    """The master buys with 1.0 and 1.3: the short copy's stop loss is 1.3, its take profit would be 1.0, which it does not copy."""
    async with world(tmp_path) as w:
        await w.ready(follow(1).model_copy(update={"reverse_direction": 1, "copy_tp": 0}))
        await w.open(11, sl=D("1.0"), tp=D("1.3"))
        await w.configured(stops(is_long=0, stop_profit_rate=D("0.1"), stop_loss_rate=D("0.05")))
        assert (w.venue.positions[50_001]["sl"], w.venue.positions[50_001]["tp"]) == (D("1.155"), D("0.99"))
        await w.configured(stops(2, is_long=0))
        assert (w.venue.positions[50_001]["sl"], w.venue.positions[50_001]["tp"]) == (D("1.3"), D(0))


async def test_stops_are_not_for_a_copy_that_rests(tmp_path: Path) -> None:
    """It is filled after they were set, and keeps the master's also when they are told again; those that are set anew are for it."""
    async with world(tmp_path) as w:
        await w.ready(follow(1).model_copy(update={"copy_pending_orders": 1}))
        row = trades.PendingRow(
            *(11, MASTER, "EURUSD", "buy", "limit", 100, D("1.09"), D(0), D("1.0"), D("1.3"), 0, 1, "", trades.REASON_CLIENT),
            *(D(10000), D(10000), D(0), 50, 0),
        )
        await w.told(trades.PendingPlaced.of([row]))
        await w.configured(stops(stop_profit_rate=D("0.1"), stop_loss_rate=D("0.05")))
        assert (w.venue.pending[50_001]["sl"], w.venue.pending[50_001]["tp"]) == (D("1.0"), D("1.3"))
        await w.told(*w.venue.fill_pending(50_001))
        w.now += 10
        await w.configured(stops(stop_profit_rate=D("0.1"), stop_loss_rate=D("0.05")))
        assert await w.orders(ProtectCopies) == []
        await w.configured(stops(2, updated_ms=w.now, stop_profit_rate=D("0.1"), stop_loss_rate=D("0.05")))
        assert [(row.sl, row.tp) for event in await w.orders(ProtectCopies) for row in event.rows] == [(D("1.0355"), D("1.199"))]


async def test_stops_reach_a_copy_although_the_api_s_clock_is_behind(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(follow(1))
        await w.open(11)
        w.api.clock = lambda: w.now - 3_600_000
        await w.configured(stops(updated_ms=w.now - 3_600_000, stop_profit_rate=D("0.1"), stop_loss_rate=D("0.05")))
        [protect] = await w.orders(ProtectCopies)
        assert [(row.login, row.sl, row.tp) for row in protect.rows] == [(ANNA, D("1.045"), D("1.21"))]


async def test_a_stop_loss_with_a_delay_acts_when_the_price_is_still_beyond(tmp_path: Path) -> None:
    """A short from 1.1, 5 % above is 1.155 (the ask counts). The venue has no stop: a delay is ours to keep, also over a restart."""
    async with world(tmp_path) as w:
        await w.ready(follow(1))
        await w.open(11, side="sell", sl=D("1.2"))
        await w.configured(stops(is_long=0, stop_loss_rate=D("0.05"), stop_loss_delay=10))
        assert [(row.sl, row.tp) for event in await w.orders(ProtectCopies) for row in event.rows] == [(D(0), D(0))]
        await price(w, "1.15", "1.155")
        await w.tick(8_000)
        await price(w, "1.15", "1.15499")
        await price(w, "1.16", "1.161")
        await w.tick(9_000)
        w.parts_desk.forget()
        assert w.open_volume(ANNA) == 2
        await w.tick(1_000)
        assert ((await w.links(11))[1].reason, w.open_volume(ANNA)) == ("STOP_LOSS_RATE", 0)
