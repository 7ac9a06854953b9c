"""Pending orders: placed, changed, cancelled, expired, filled; and one side filled without the other."""

from pathlib import Path
from typing import Any

import pytest
from executor import snapshots
from shared.contracts import trades
from shared.contracts.config import (
    CopyMode,
    Follower,
    FollowerSaved,
    Halt,
    HaltSaved,
    Master,
    MasterSaved,
    SubscriptionDeleted,
    SubscriptionSaved,
    SubscriptionStatus,
)
from shared.contracts.links import LinkState
from shared.contracts.orders import CancelCopies, OpenCopies, PlaceCopies, ReplaceCopies

from tests.flow.executor_world import ANNA, BEN, MASTER, NOW, D, account, opened, subscription, world

pytestmark = pytest.mark.anyio

COPIES = {"copy_pending_orders": 1}


def pending(order: int = 11, **fields: Any) -> trades.PendingRow:
    values: dict[str, Any] = {
        "order": order, "login": MASTER, "symbol": "EURUSD", "side": "buy", "kind": "limit", "volume": 100, "price": D("1.09"),
        "limit_price": D(0), "sl": D("1.08"), "tp": D("1.12"), "expires_ms": NOW + 60_000, "version": 1, "client_id": "",
        "reason": trades.REASON_CLIENT, "equity": D(10000), "balance": D(10000), "credit": D(0),
    }  # fmt: skip
    return trades.PendingRow(**(values | fields))


def gone(order: int = 11, reason: str = "CANCELLED") -> trades.PendingCancelled:
    return trades.PendingCancelled.of([trades.PendingGoneRow(order, MASTER, "EURUSD", "", reason)])


def filled(w: Any, order: int = 11) -> list[Any]:
    """The master's pending order is filled."""
    row = trades.PendingGoneRow(order, MASTER, "EURUSD", "", "FILLED")
    return [trades.PendingFilled.of([row]), opened(order, price=D("1.09"), sl=D("1.08"), tp=D("1.12"), now=w.now)]


async def test_placed_changed_and_filled_on_both_sides(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, **COPIES), subscription(2, BEN))
        await w.told(trades.PendingPlaced.of([pending()]))
        assert set(await w.links()) == {1}, "who does not copy pending orders is not concerned yet"
        link = (await w.links())[1]
        assert (link.phase, link.follower_order, link.sl) == ("pending", 50_001, D("1.08"))
        await w.told(trades.PendingChanged.of([pending(price=D("1.085"), sl=D("1.07"), version=3)]))
        await w.told(trades.PendingChanged.of([pending(price=D("1.05"), version=2)]))
        resting = w.venue.pending[50_001]
        assert (resting["price"], resting["sl"]) == (D("1.085"), D("1.07"))
        assert len(await w.orders(ReplaceCopies)) == 1
        await w.told(*w.venue.fill_pending(50_001))
        await w.told(*filled(w))
        links = await w.links()
        assert [(links[n].phase, links[n].volume) for n in (1, 2)] == [("open", 100), ("open", 100)]
        assert await w.orders(CancelCopies) == []
        await w.move_stops(11, "1.06", "1.12", 2)  # the pending order was at version 3: a position counts anew
        assert {row.sl for row in (await w.links()).values()} == {D("1.06")}
        await w.reduce(11, 50, 50)
        assert (w.open_volume(ANNA), w.open_volume(BEN)) == (50, 50)


@pytest.mark.parametrize(
    ("kind", "reverse", "copied"),
    [
        ("limit", 0, "limit"),
        ("stop", 0, "stop"),
        ("stop_limit", 0, "stop_limit"),
        ("limit", 1, "stop"),
        ("stop", 1, "limit"),
    ],
)
async def test_kinds_and_their_mirror(tmp_path: Path, kind: Any, reverse: int, copied: str) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, reverse_direction=reverse, **COPIES))
        await w.told(trades.PendingPlaced.of([pending(kind=kind)]))
        (event,) = await w.orders(PlaceCopies)
        row = event.rows[0]
        assert (event.kind, event.expires_ms, row.price) == (copied, NOW + 60_000, D("1.09"))
        assert (row.side, row.sl, row.tp) == (("sell", D("1.12"), D("1.08")) if reverse else ("buy", D("1.08"), D("1.12")))


@pytest.mark.parametrize(("venue_says", "reason"), [("CANCELLED", "MASTER_CANCELLED"), ("EXPIRED", "MASTER_EXPIRED")])
async def test_the_masters_cancel_or_expiry_withdraws_the_copy(tmp_path: Path, venue_says: str, reason: str) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, max_positions=1, **COPIES))
        await w.told(trades.PendingPlaced.of([pending()]))
        await w.told(gone(reason=venue_says))
        link = (await w.links())[1]
        assert (link.state, link.phase, link.reason, w.venue.pending) == (LinkState.CANCELLED, "cancelled", reason, {})
        await w.told(trades.PendingPlaced.of([pending(12)]))
        assert (await w.links(12))[1].phase == "pending", "a withdrawn copy does not count as a position"


async def test_a_followers_own_cancel(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, **COPIES))
        await w.told(trades.PendingPlaced.of([pending()]))
        p = w.venue.pending.pop(50_001)
        await w.told(trades.PendingCancelled.of([trades.PendingGoneRow(50_001, ANNA, "EURUSD", p["client_id"], trades.REASON_CLIENT)]))
        assert (await w.links())[1].reason == "FOLLOWER_CANCELLED"
        await w.told(*filled(w))
        assert await w.orders(OpenCopies) == [], "who gave the order up is not brought in again"


@pytest.mark.parametrize("reason", ["NOT_ENOUGH_MONEY", "TRADING_HALTED", "EXPIRED"])
async def test_the_venue_s_own_cancel_is_told_with_its_reason(tmp_path: Path, reason: str) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, **COPIES))
        await w.told(trades.PendingPlaced.of([pending()]))
        p = w.venue.pending.pop(50_001)
        await w.told(trades.PendingCancelled.of([trades.PendingGoneRow(50_001, ANNA, "EURUSD", p["client_id"], reason)]))
        assert ((await w.links())[1].phase, (await w.links())[1].reason) == ("cancelled", reason)


@pytest.mark.parametrize(
    ("policy", "phase", "resting", "volume"),
    [("market_if_within_slippage", "open", 0, 100), ("leave", "pending", 1, 0), ("cancel", "cancelled", 0, 0)],
)
async def test_only_the_master_is_filled(tmp_path: Path, policy: str, phase: str, resting: int, volume: int) -> None:
    async with world(tmp_path, pending_fill_policy=policy) as w:
        await w.ready(subscription(1, ANNA, **COPIES))
        await w.told(trades.PendingPlaced.of([pending()]))
        await w.told(*filled(w))
        assert ((await w.links())[1].phase, len(w.venue.pending), w.open_volume(ANNA)) == (phase, resting, volume)


async def test_only_the_master_is_filled_and_the_price_has_run_away(tmp_path: Path) -> None:
    """The master got 1.09, the price is 1.10: 1,000 points, 500 are allowed."""
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, max_slippage_points=500, **COPIES))
        await w.told(trades.PendingPlaced.of([pending()]))
        await w.told(*filled(w))
        link = (await w.links())[1]
        assert (link.phase, link.reason, w.open_volume(ANNA)) == ("cancelled", "PRICE_MOVED", 0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (SubscriptionSaved(subscription=subscription(1, ANNA, version=2, status=SubscriptionStatus.PAUSED, **COPIES)), "PAUSED"),
        (SubscriptionSaved(subscription=subscription(1, ANNA, version=2, enabled=0, **COPIES)), "DISABLED"),
        (SubscriptionSaved(subscription=subscription(1, ANNA, version=2, copy_mode=CopyMode.CLOSE_ONLY, **COPIES)), "CLOSE_ONLY"),
        (SubscriptionSaved(subscription=subscription(1, ANNA, version=2, max_positions=1, **COPIES)), ""),
        (MasterSaved(master=Master(id=1, login=MASTER, customer_id=1, enabled=0, version=2)), "MASTER_DISABLED"),
        (FollowerSaved(follower=Follower(id=ANNA, login=ANNA, customer_id=1, enabled=0, version=2)), "FOLLOWER_DISABLED"),
        (HaltSaved(halt=Halt(id=1, scope="follower", key=str(ANNA))), "HALTED"),
        (HaltSaved(halt=Halt(id=1, scope="symbol", key="GBPUSD", mode="reduce_only")), "REDUCE_ONLY"),
        (HaltSaved(halt=Halt(id=1, scope="follower", key=str(BEN))), ""),
    ],
)
async def test_only_the_master_is_filled_and_the_subscription_opens_nothing_now(tmp_path: Path, change: Any, reason: str) -> None:
    """The copies are in GBPUSD. What has come to hold back every opening holds back this one, too; its own count does not."""
    async with world(tmp_path, symbol_map={"*": {"EURUSD": "GBPUSD"}}) as w:
        await w.ready(subscription(1, ANNA, **COPIES))
        await w.told(trades.PendingPlaced.of([pending()]))
        await w.configured(change)
        await w.told(*filled(w))
        link = (await w.links())[1]
        assert (link.phase, link.reason) == (("cancelled", reason) if reason else ("open", ""))
        assert (w.open_volume(ANNA), w.venue.pending) == (0 if reason else 100, {})


async def test_only_the_master_is_filled_and_the_follower_has_lost_too_much(tmp_path: Path) -> None:
    """10 % fallen from 10,000: the guard has stopped the subscription while the order rested."""
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, drawdown_percent=D(10), **COPIES))
        await w.told(trades.AccountsChanged.of([account(ANNA)]))
        await w.told(trades.PendingPlaced.of([pending()]))
        await w.told(trades.AccountsChanged.of([account(ANNA, "9000")]))
        await w.told(*filled(w))
        assert ((await w.links())[1].reason, w.open_volume(ANNA)) == ("STOPPED", 0)


@pytest.mark.parametrize("mode", [CopyMode.FULL_SYNC, CopyMode.OPEN_ONLY])
async def test_the_masters_close_withdraws_a_copy_that_was_left_resting(tmp_path: Path, mode: CopyMode) -> None:
    """Also of a subscription that follows no closes: filled later, it would copy what the master has not."""
    async with world(tmp_path, pending_fill_policy="leave") as w:
        await w.ready(subscription(1, ANNA, copy_mode=mode, **COPIES))
        await w.told(trades.PendingPlaced.of([pending()]))
        await w.told(*filled(w))
        await w.reduce(11, 100, 0)
        link = (await w.links())[1]
        assert (link.phase, link.reason, w.venue.pending) == ("cancelled", "MASTER_CLOSED", {})


async def test_a_copy_that_was_left_resting_has_its_share_when_it_is_filled(tmp_path: Path) -> None:
    """The master closes 60 of 100 while it rests: 40 are left of it."""
    async with world(tmp_path, pending_fill_policy="leave") as w:
        await w.ready(subscription(1, ANNA, **COPIES))
        await w.told(trades.PendingPlaced.of([pending()]))
        await w.told(*filled(w))
        await w.reduce(11, 60, 40)
        assert (await w.links())[1].phase == "pending"
        await w.told(*w.venue.fill_pending(50_001))
        assert (w.open_volume(ANNA), (await w.links())[1].phase) == (40, "open")


async def test_the_master_closes_while_the_withdrawal_is_on_its_way(tmp_path: Path) -> None:
    """Then nothing is opened instead."""
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, **COPIES))
        await w.told(trades.PendingPlaced.of([pending()]))
        w.venue.deaf = True
        await w.told(*filled(w))
        await w.reduce(11, 100, 0)
        w.venue.deaf = False
        await w.tick(5000)
        assert ((await w.links())[1].reason, w.venue.pending, await w.orders(OpenCopies)) == ("MASTER_CLOSED", {}, [])


@pytest.mark.parametrize("asked", ["by the timer", "by a snapshot"])
async def test_a_placing_that_was_lost_is_not_asked_for_again_when_the_order_is_withdrawn(tmp_path: Path, asked: str) -> None:
    """Placed after its withdrawal it would rest for ever."""
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, **COPIES))
        w.venue.deaf = True
        await w.told(trades.PendingPlaced.of([pending()]))
        await w.told(gone())
        w.venue.deaf = False
        if asked == "by the timer":
            await w.tick(5000)
        else:
            async with w.executor.work() as work:
                await snapshots.orders(w.parts_desk, work)
            await w.loop.settle()
        link = (await w.links())[1]
        assert (link.phase, link.reason, w.venue.pending, len(await w.orders(PlaceCopies))) == ("cancelled", "MASTER_CANCELLED", {}, 1)


async def test_only_the_master_is_filled_and_the_placing_was_lost(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, **COPIES))
        w.venue.deaf = True
        await w.told(trades.PendingPlaced.of([pending()]))
        w.venue.deaf = False
        await w.told(*filled(w))
        assert ((await w.links())[1].phase, (await w.links())[1].reason, w.venue.pending) == ("cancelled", "NOT_FILLED", {})


async def test_a_copy_that_is_filled_first_follows_the_stops_of_the_masters_order(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, **COPIES))
        await w.told(trades.PendingPlaced.of([pending()]))
        await w.told(*w.venue.fill_pending(50_001))
        await w.told(trades.PendingChanged.of([pending(sl=D("1.07"), tp=D("1.2"), version=3)]))
        await w.told(trades.PendingChanged.of([pending(sl=D("1.06"), tp=D("1.2"), version=2)]))
        assert (w.venue.positions[50_001]["sl"], w.venue.positions[50_001]["tp"]) == (D("1.07"), D("1.2"))
        await w.told(*filled(w))
        await w.move_stops(11, "1.05", "1.2", 1)
        assert w.venue.positions[50_001]["sl"] == D("1.05")


async def test_a_copy_that_is_filled_after_it_was_given_up_follows_the_masters_close(tmp_path: Path) -> None:
    """The price had run away, so nothing was opened instead; the master has closed when the venue tells that the order was filled."""
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, max_slippage_points=500, **COPIES))
        await w.told(trades.PendingPlaced.of([pending()]))
        resting = dict(w.venue.pending[50_001])
        await w.told(*filled(w))
        assert (await w.links())[1].reason == "PRICE_MOVED"
        await w.reduce(11, 100, 0)
        w.venue.pending[50_001] = resting
        await w.told(*w.venue.fill_pending(50_001))
        assert ((await w.links())[1].phase, (await w.links())[1].reason, w.open_volume(ANNA)) == ("closed", "MASTER_CLOSED", 0)


async def test_the_copy_is_filled_while_its_withdrawal_is_on_its_way(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, **COPIES))
        await w.told(trades.PendingPlaced.of([pending()]))
        w.venue.deaf = True
        await w.told(*filled(w))
        cancel = w.venue.seen[-1]
        w.venue.deaf = False
        await w.told(*w.venue.fill_pending(50_001))
        async with w.gateway.work() as work:
            w.venue.carry_out(cancel, work)
        await w.loop.settle()
        assert ((await w.links())[1].phase, w.open_volume(ANNA)) == ("open", 100)
        assert await w.orders(OpenCopies) == []


@pytest.mark.parametrize(
    ("policy", "left", "phase"), [("market_if_within_slippage", 0, "closed"), ("cancel", 0, "closed"), ("leave", 100, "detached")]
)
async def test_only_the_copy_is_filled(tmp_path: Path, policy: str, left: int, phase: str) -> None:
    async with world(tmp_path, pending_fill_policy=policy) as w:
        await w.ready(subscription(1, ANNA, **COPIES))
        await w.told(trades.PendingPlaced.of([pending()]))
        await w.told(*w.venue.fill_pending(50_001))
        await w.told(gone())
        assert (w.open_volume(ANNA), (await w.links())[1].phase) == (left, phase)


async def test_a_change_before_the_confirmation_follows_it(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, **COPIES))
        w.venue.deaf = True
        await w.told(trades.PendingPlaced.of([pending()]))
        await w.told(trades.PendingChanged.of([pending(price=D("1.07"), version=2)]))
        w.venue.deaf = False
        async with w.gateway.work() as work:
            w.venue.carry_out(w.venue.seen[0], work)
        await w.loop.settle()
        assert w.venue.pending[50_001]["price"] == D("1.07")


async def test_unsubscribing_withdraws_pending_copies(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, **COPIES))
        await w.told(trades.PendingPlaced.of([pending()]))
        await w.configured(SubscriptionDeleted(subscription=subscription(1, ANNA), close_policy="detach"))
        assert (w.venue.pending, (await w.links())[1].reason) == ({}, "UNSUBSCRIBED")


async def test_a_refused_placing_ends_the_link(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, **COPIES))
        w.venue.refuse["place"] = "INVALID_STOPS"
        await w.told(trades.PendingPlaced.of([pending()]))
        assert ((await w.links())[1].state, (await w.links())[1].reason) == (LinkState.FAILED, "INVALID_STOPS")
