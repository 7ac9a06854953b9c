"""Opens, partial closes and closes of market trades, through the real handlers and a small venue. Numbers are worked out by hand."""

import json
from pathlib import Path

import pytest
from shared.contracts import trades
from shared.contracts.config import Follower, FollowerSaved, Master, MasterSaved, SubscriptionDeleted, SubscriptionSaved, VolumeMode
from shared.contracts.links import LinkState
from shared.contracts.orders import CloseCopies, OpenCopies, ProtectCopies
from shared.explain import of_subscription

from tests.flow.executor_world import ANNA, BEN, CARL, MASTER, NOW, D, World, account, opened, subscription, symbol, world

pytestmark = pytest.mark.anyio


async def test_four_volume_modes_copy_one_trade(tmp_path: Path) -> None:
    """Master: 10,000 of equity and 8,000 of balance, 100 units. Anna fixed 7; Ben 100 x 0.5 = 50; Carl 5,000 / 10,000 -> 50;
    a fourth with 6,000 of balance: 100 x 6,000 / 8,000 = 75."""
    dora = 2004
    async with world(tmp_path) as w:
        await w.ready(accounts=(account(CARL, "5000"), account(dora, "6000")))
        await w.configured(FollowerSaved(follower=Follower(id=dora, login=dora, customer_id=1)))
        await w.configured(
            *(
                SubscriptionSaved(subscription=one)
                for one in (
                    subscription(1, ANNA, volume_mode=VolumeMode.FIXED, fixed_volume=7),
                    subscription(2, BEN, risk_multiplier=D("0.5")),
                    subscription(3, CARL, volume_mode=VolumeMode.EQUITY_RATIO),
                    subscription(4, dora, volume_mode=VolumeMode.BALANCE_RATIO),
                )
            )
        )
        await w.open(11, equity=D(10000), balance=D(8000))
        links = await w.links()
        assert [links[n].volume for n in (1, 2, 3, 4)] == [7, 50, 50, 75]
        assert {row.phase for row in links.values()} == {"open"}
        assert [w.open_volume(login) for login in (ANNA, BEN, CARL, dora)] == [7, 50, 50, 75]
        (order,) = await w.orders(OpenCopies)
        assert (order.master_order, order.symbol, order.price, len(order.rows)) == (11, "EURUSD", D("1.1"), 4)


async def test_a_life_of_open_partial_close_and_close(tmp_path: Path) -> None:
    """Anna copies 3 of the master's 100. Left after each 10 of the master: (2*3*m + 99) // 200 for m = 90, 80 .. 0."""
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, volume_mode=VolumeMode.FIXED, fixed_volume=3))
        await w.open(11)
        left = []
        for m in range(90, -1, -10):
            await w.reduce(11, 10, m)
            left.append(w.open_volume(ANNA))
        assert left == [3, 2, 2, 2, 1, 1, 1, 1, 0, 0]
        link = (await w.links())[1]
        assert (link.state, link.phase, link.reason, link.volume, link.volume_now) == (LinkState.CLOSED, "closed", "MASTER_CLOSED", 3, 0)
        assert sum(row.volume for event in await w.orders(CloseCopies) for row in event.rows) == 3


async def test_partial_close_without_copy_partial_close_waits_for_the_whole(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, copy_partial_close=0))
        await w.open(11)
        await w.reduce(11, 60, 40)
        assert w.open_volume(ANNA) == 100
        await w.reduce(11, 40, 0)
        assert w.open_volume(ANNA) == 0


async def test_copies_and_trades_of_links_are_never_copied_on(tmp_path: Path) -> None:
    """Anna is a master herself (Ben follows her): her copied position is not Ben's matter, her own trade is."""
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        await w.configured(MasterSaved(master=Master(id=2, login=ANNA, customer_id=1)))
        await w.configured(SubscriptionSaved(subscription=subscription(2, BEN, master_login=ANNA)))
        await w.open(11)
        assert (w.open_volume(ANNA), w.open_volume(BEN)) == (100, 0)
        await w.told(opened(12, 30, login=ANNA, now=w.now))
        assert w.open_volume(BEN) == 30
        await w.told(opened(13, 30, login=ANNA, now=w.now, reason=trades.REASON_COPY))
        await w.told(opened(14, 30, login=ANNA, now=w.now, client_id="c-9-9-open-0"))
        assert w.open_volume(BEN) == 30


@pytest.mark.parametrize("reason", [trades.REASON_SL, trades.REASON_TP, trades.REASON_STOP_OUT])
async def test_a_masters_stop_is_a_close(tmp_path: Path, reason: str) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        await w.open(11)
        await w.reduce(11, 100, 0, reason=reason)
        assert w.open_volume(ANNA) == 0


@pytest.mark.parametrize(
    ("reason", "told"),
    [(trades.REASON_CLIENT, "FOLLOWER_CLOSED"), (trades.REASON_SL, "SL"), (trades.REASON_TP, "TP"), (trades.REASON_STOP_OUT, "STOP_OUT")],
)
async def test_a_followers_own_close_ends_the_link_for_good(tmp_path: Path, reason: str, told: str) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        await w.open(11)
        await w.told(w.venue.closing(50_001, 100, reason))
        link = (await w.links())[1]
        assert (link.state, link.reason) == (LinkState.CLOSED, told)
        again = subscription(1, ANNA, version=2)
        await w.configured(SubscriptionSaved(subscription=again, copy_existing=True))
        await w.reduce(11, 100, 0)
        assert len(await w.orders(OpenCopies)) == 1
        assert await w.orders(CloseCopies) == []


async def test_a_followers_own_partial_close_then_the_masters(tmp_path: Path) -> None:
    """Anna closes 70 of her 100 herself. The master goes to 50: her share is 50, she has 30: nothing to do. To 20: 20 are left."""
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        await w.open(11)
        await w.told(w.venue.closing(50_001, 70, trades.REASON_CLIENT))
        assert (await w.links())[1].volume_now == 30
        await w.reduce(11, 50, 50)
        assert w.open_volume(ANNA) == 30
        await w.reduce(11, 30, 20)
        assert w.open_volume(ANNA) == 20


async def test_a_close_while_the_opening_is_in_flight_is_neither_lost_nor_doubled(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        w.venue.deaf = True
        await w.open(11)
        await w.reduce(11, 100, 0)
        assert (await w.links())[1].phase == "closing"
        (close,) = await w.orders(CloseCopies)
        assert [(row.order, row.volume, row.step) for row in close.rows] == [(0, 100, 1)]
        w.venue.deaf = False
        async with w.gateway.work() as work:
            for event in w.venue.seen:
                w.venue.carry_out(event, work)
        await w.loop.settle()
        assert (await w.links())[1].phase == "closed"
        assert len(await w.orders(CloseCopies)) == 1


async def test_a_close_that_the_venue_took_before_the_opening_is_sent_again_after_the_fill(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        w.venue.deaf = True
        await w.open(11)
        await w.reduce(11, 100, 0)
        w.venue.deaf = False
        open_order, close_order = w.venue.seen
        for event in (close_order, open_order):
            async with w.gateway.work() as work:
                w.venue.carry_out(event, work)
        await w.loop.settle()
        assert w.open_volume(ANNA) == 0
        assert [row.step for event in await w.orders(CloseCopies) for row in event.rows] == [1, 2]
        assert (await w.links())[1].phase == "closed"


async def test_a_partial_close_while_the_opening_is_in_flight_waits_for_the_fill(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        w.venue.deaf = True
        await w.open(11)
        await w.reduce(11, 70, 30)
        assert await w.orders(CloseCopies) == []
        w.venue.deaf = False
        async with w.gateway.work() as work:
            w.venue.carry_out(w.venue.seen[0], work)
        await w.loop.settle()
        assert w.open_volume(ANNA) == 30


async def test_one_close_at_a_time_by_absolute_targets(tmp_path: Path) -> None:
    """Two slices while the venue is silent: one close goes out at once, the rest after its answer; 100 -> 75 -> 25."""
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        await w.open(11)
        w.venue.deaf = True
        await w.reduce(11, 25, 75)
        await w.reduce(11, 50, 25)
        assert [row.volume for event in await w.orders(CloseCopies) for row in event.rows] == [25]
        w.venue.deaf = False
        async with w.gateway.work() as work:
            w.venue.carry_out(w.venue.seen[-1], work)
        await w.loop.settle()
        assert [row.volume for event in await w.orders(CloseCopies) for row in event.rows] == [25, 50]
        assert w.open_volume(ANNA) == 25


async def test_stops_are_copied_in_order_and_swapped_when_reversed(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA), subscription(2, BEN, reverse_direction=1), subscription(3, CARL, copy_sl=0, copy_tp=0))
        await w.open(11, sl=D("1.09"), tp=D("1.12"))
        links = await w.links()
        assert [(links[n].side, links[n].sl, links[n].tp) for n in (1, 2, 3)] == [
            ("buy", D("1.09"), D("1.12")),
            ("sell", D("1.12"), D("1.09")),
            ("buy", D(0), D(0)),
        ]
        await w.move_stops(11, "1.095", "1.13", 2)
        await w.move_stops(11, "1.08", "1.2", 1)
        links = await w.links()
        assert [(links[n].sl, links[n].tp) for n in (1, 2, 3)] == [(D("1.095"), D("1.13")), (D("1.13"), D("1.095")), (D(0), D(0))]
        assert len(await w.orders(ProtectCopies)) == 1


async def test_stops_that_move_while_the_opening_is_in_flight_follow_the_fill(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        w.venue.deaf = True
        await w.open(11, sl=D("1.09"))
        await w.move_stops(11, "1.095", "0", 2)
        w.venue.deaf = False
        async with w.gateway.work() as work:
            w.venue.carry_out(w.venue.seen[0], work)
        await w.loop.settle()
        assert (await w.links())[1].sl == D("1.095")


async def test_a_subscription_that_arrives_after_a_trade_of_its_time_copies_it(tmp_path: Path) -> None:
    """The trade at +10 s is the subscription's (+5 s); the one at 0 s is older and is only copied when it is asked for."""
    async with world(tmp_path) as w:
        await w.ready()
        await w.open(11, opened_ms=NOW)
        await w.open(12, opened_ms=NOW + 10_000)
        late = subscription(1, ANNA, created_ms=NOW + 5_000)
        await w.configured(SubscriptionSaved(subscription=late))
        assert [event.master_order for event in await w.orders(OpenCopies)] == [12]
        await w.configured(SubscriptionSaved(subscription=late))
        await w.configured(SubscriptionSaved(subscription=late.model_copy(update={"version": 2}), copy_existing=True))
        assert [event.master_order for event in await w.orders(OpenCopies)] == [12, 11]


async def test_a_trade_that_is_over_before_its_subscription_is_read_leaves_a_skip(tmp_path: Path) -> None:
    """12 is the subscription's, and closed when that is read: a skip with its reason. 11 was before it. 13 is open and copied."""
    async with world(tmp_path) as w:
        await w.ready()
        await w.open(11, opened_ms=NOW)
        for order in (12, 13):
            await w.open(order, opened_ms=NOW + 10_000)
        for order in (11, 12):
            await w.reduce(order, 100, 0)
        late = subscription(1, ANNA, created_ms=NOW + 5_000)
        await w.configured(SubscriptionSaved(subscription=late))
        await w.configured(SubscriptionSaved(subscription=late.model_copy(update={"version": 2})))
        assert await w.links(11) == {}
        skip = (await w.links(12))[1]
        assert (skip.phase, skip.reason, skip.volume, skip.master_volume_now) == ("skipped", "MASTER_CLOSED", 0, 0)
        assert (await w.links(13))[1].phase == "open"
        assert [event.master_order for event in await w.orders(OpenCopies)] == [13]
        assert len([row for event in await w.link_events() for row in event.rows if event.master_order == 12]) == 1


@pytest.mark.parametrize(("policy", "phase", "sent"), [("copy", "closed", 1), ("skip", "skipped", 0)])
async def test_a_trade_that_was_opened_and_closed_while_nobody_read(tmp_path: Path, policy: str, phase: str, sent: int) -> None:
    """Both are read at once after a pause. Copied late, or left out with the reason, as it is set; 12, which is open still, is copied."""
    async with world(tmp_path, closed_meanwhile=policy) as w:
        await w.ready(subscription(1, ANNA))
        closing = trades.ClosedRow(
            11, 1, MASTER, "EURUSD", "buy", 100, 100, 0, D("1.1"), D("1.1"), D(0), D(0), D(0), trades.REASON_CLIENT, "", "", 0, w.now
        )  # fmt: skip
        for event in (opened(11), opened(12), trades.PositionsClosed.of([closing])):
            async with w.gateway.work() as work:
                work.emit(trades.TOPIC, event)
        await w.loop.settle()
        link = (await w.links(11))[1]
        assert (link.phase, link.reason) == (phase, "MASTER_CLOSED")
        assert len([event for event in await w.orders(OpenCopies) if event.master_order == 11]) == sent
        assert ((await w.links(12))[1].phase, w.open_volume(ANNA)) == ("open", 100)


@pytest.mark.parametrize("policy", ["detach", "close"])
async def test_who_comes_back_does_not_get_the_same_position_again(tmp_path: Path, policy: str) -> None:
    """Anna left with her copy of 11 (or had it closed) and subscribes anew, existing positions included: 11 is a skip, 12, which she never
    had, is copied; Ben, who is new, gets both."""
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, symbols_mode=2, symbols="GBPUSD"))
        await w.open(11)
        await w.open(12, symbol="GBPUSD")
        await w.configured(SubscriptionDeleted(subscription=subscription(1, ANNA), close_policy=policy))
        again, new = subscription(2, ANNA, created_ms=w.now + 1), subscription(3, BEN, created_ms=w.now + 1)
        await w.configured(*(SubscriptionSaved(subscription=one, copy_existing=True) for one in (again, new)))
        assert [(await w.links(11))[n].reason for n in (2, 3)] == ["ALREADY_COPIED", ""]
        assert {(await w.links(12))[n].phase for n in (2, 3)} == {"open"}
        assert (w.open_volume(ANNA), w.open_volume(BEN)) == (200 if policy == "detach" else 100, 200)
        await w.configured(SubscriptionSaved(subscription=again.model_copy(update={"version": 2}), copy_existing=True))
        assert (await w.links(11))[2].reason == "ALREADY_COPIED"


async def test_copy_existing_takes_what_was_skipped_but_nothing_twice(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, symbols_mode=1, symbols="GBPUSD"))
        await w.open(11)
        first = (await w.links())[1]
        assert (first.state, first.phase, first.reason) == (LinkState.CANCELLED, "skipped", "SYMBOL_FILTERED")
        await w.configured(SubscriptionSaved(subscription=subscription(1, ANNA, version=2), copy_existing=True))
        await w.configured(SubscriptionSaved(subscription=subscription(1, ANNA, version=3), copy_existing=True))
        link = (await w.links())[1]
        assert (link.link, link.phase, link.volume) == (first.link, "open", 100)
        assert w.open_volume(ANNA) == 100


@pytest.mark.parametrize(("policy", "left", "phase"), [("close", 0, "closed"), ("detach", 100, "detached")])
async def test_unsubscribing_closes_or_detaches(tmp_path: Path, policy: str, left: int, phase: str) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        await w.open(11)
        await w.configured(SubscriptionDeleted(subscription=subscription(1, ANNA), close_policy=policy))
        link = (await w.links())[1]
        assert (w.open_volume(ANNA), link.phase, link.reason) == (left, phase, "UNSUBSCRIBED")
        await w.reduce(11, 100, 0)
        await w.open(12)
        assert w.open_volume(ANNA) == left


async def test_every_decision_is_told_with_its_inputs(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, status=1), subscription(2, BEN))
        await w.open(11)
        event = (await w.link_events())[0]
        recorded = json.loads(event.inputs)
        assert recorded["signal"]["equity"] == 10000 * 10**8
        paused, copied = (of_subscription(recorded, row.subscription) for row in event.rows)
        assert (paused["result"]["reason"], paused["rules"]["status"]) == ("PAUSED", 1)
        assert (copied["result"]["volume"], copied["standing"]["equity"]) == (100, 10000 * 10**8)


async def test_a_refused_opening_ends_the_link(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        w.venue.refuse["open"] = "NOT_ENOUGH_MONEY"
        await w.open(11)
        link = (await w.links())[1]
        assert (link.state, link.phase, link.reason) == (LinkState.FAILED, "rejected", "NOT_ENOUGH_MONEY")
        await w.reduce(11, 100, 0)
        assert await w.orders(CloseCopies) == []


async def test_reward_credits_are_not_sized_on(tmp_path: Path) -> None:
    """1,500 of rewards lie on the master's account: 11,500 - 1,500 = 10,000 of equity, so a follower with 5,000 copies half."""
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, volume_mode=VolumeMode.EQUITY_RATIO), accounts=(account(ANNA, "5000"),))
        row = trades.BalanceRow(
            1, MASTER, trades.OP_BALANCE_IN, D(1500), "USD", trades.REASON_COPY_REWARD, "", "", D(11500), D(11500), D(0)
        )  # fmt: skip
        await w.told(trades.BalancesChanged.of([row]))
        await w.open(11, equity=D(11500), balance=D(11500))
        assert (await w.links())[1].volume == 50


async def test_currencies_of_master_and_follower_differ(tmp_path: Path) -> None:
    """Anna has 4,000 EUR at 1.25 = 5,000 USD, the master 10,000 USD: half of 100."""
    async with world(tmp_path) as w:
        await w.ready(
            subscription(1, ANNA, volume_mode=VolumeMode.EQUITY_RATIO),
            accounts=(account(ANNA, "4000", currency="EUR", group="real-eur"),),
        )
        await w.told(trades.SymbolsChanged.of([symbol("EURUSD", bid=D("1.24"), ask=D("1.26"))]))
        await w.open(11)
        assert (await w.links())[1].volume == 50


async def given_up(w: World) -> None:
    """A transaction that fails."""
    async with w.executor.work() as work:
        await w.parts_desk.begin(work)
        raise RuntimeError


async def test_the_desk_forgets_and_loads_again(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, max_positions=2))
        await w.open(11)
        with pytest.raises(RuntimeError):
            await given_up(w)
        await w.open(12)
        await w.open(13)
        links = [row for event in await w.link_events() for row in event.rows if event.master_order == 13]
        assert links[-1].reason == "MAX_POSITIONS"
        await w.reduce(11, 100, 0)
        await w.open(14)
        assert w.open_volume(ANNA) == 200


async def test_snapshots_tell_orders_in_flight_and_links_again(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA), subscription(2, BEN))
        await w.open(11)
        w.venue.deaf = True
        await w.open(12)
        before = await w.links()
        sent = len(await w.orders())
        async with w.executor.work() as work:
            for snapshot in w.parts.writes.values():
                await snapshot(work)
        again = (await w.orders())[sent:]
        assert [(event.master_order, [row.subscription for row in event.rows]) for event in again] == [(12, [1, 2])]
        assert again[0].rows == (await w.orders())[sent - 1].rows
        assert {row.link for event in (await w.link_events())[-2:] for row in event.rows} >= {row.link for row in before.values()}
