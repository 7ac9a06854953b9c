"""Pending orders: placed, changed, cancelled, expired, filled; and one side filled without the other."""

from pathlib import Path
from typing import Any

import pytest
from shared.contracts import trades
from shared.contracts.config import SubscriptionDeleted
from shared.contracts.links import LinkState
from shared.contracts.orders import CancelCopies, OpenCopies, PlaceCopies, ReplaceCopies

from tests.flow.executor_world import ANNA, BEN, MASTER, NOW, D, opened, subscription, world

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
        await w.told(trades.PendingCancelled.of([trades.PendingGoneRow(50_001, ANNA, "EURUSD", p["client_id"], "CANCELLED")]))
        assert (await w.links())[1].reason == "FOLLOWER_CANCELLED"
        await w.told(*filled(w))
        assert await w.orders(OpenCopies) == [], "who gave the order up is not brought in again"


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
