"""What followers really got: links, fills, closings and rewards become a master's copyability."""

from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path

import pytest
from shared.contracts.config import RecordsHeld, SubscriptionDeleted, SubscriptionSaved
from shared.contracts.links import LinkState
from shared.contracts.rewards import AccrualState
from shared.contracts.stats import PriceRow, Prices
from shared.contracts.trades import AccountsChanged, PositionsClosed, PositionsOpened
from sqlalchemy import text
from stats.recompute import recompute

from tests.flow.copying_world import MASTER, ORDER, accrual, copying_world, days, link, links, opened, subscription
from tests.flow.stats_world import DAY, HOUR, World, account, closing

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with copying_world(tmp_path) as made:
        yield made


async def test_followers_and_assets_under_copy(world: World) -> None:
    """1000 whole and 2000 by half: 2000. An own account does not count; a demo follower does, its money not; 100 EUR at 1.2 are 120."""
    await world.opened(13, "5000", customer=1)
    await world.opened(14, "100", customer=5, currency="EUR")
    demo = account(15, "700", customer=6)._replace(mode="DEMO")
    await world.trades(AccountsChanged.of([demo]))
    for number, follower in ((9, 13), (10, 14), (11, 15)):
        await world.config(SubscriptionSaved(subscription=subscription(number, follower)))
    await world.turn()
    details = await world.details(MASTER)
    assert (details["followers"], details["assets_under_copy"], details["assets_not_converted"]) == (4, Decimal(2120), 0)
    await world.flow.on_prices(Prices(rows=(PriceRow("EURUSD", Decimal("1.4"), Decimal("1.6"), world.now),)))
    await world.config(SubscriptionDeleted(subscription=subscription(7, 11)))
    await world.turn()
    details = await world.details(MASTER)
    assert (details["followers"], details["assets_under_copy"]) == (3, Decimal(1150))


async def test_a_trade_that_comes_before_the_timer_leaves_the_audience_to_it(world: World) -> None:
    """A third follower with 500, and a closing in the same second: the closing is told at once, the 2500 of three by the timer. Next day
    follower 11 has 1600, and the master closes a trade before the timer comes: 3100."""
    await world.turn()
    await world.opened(14, "500", customer=5)
    await world.config(SubscriptionSaved(subscription=subscription(10, 14)))
    await world.closed(MASTER, "10")
    assert (await world.details(MASTER))["followers"] == 2
    assert await world.turn() == 1
    details = await world.details(MASTER)
    assert (details["followers"], details["assets_under_copy"]) == (3, Decimal(2500))
    world.now += DAY
    await world.trades(AccountsChanged.of([account(11, "1600", customer=2)]))
    await world.closed(MASTER, "10")
    assert await world.turn() == 1
    assert (await world.details(MASTER))["assets_under_copy"] == Decimal(3100)


async def test_assets_beyond_what_a_column_holds_stop_nothing(world: World) -> None:
    """Three followers with 40 billion each: 120 billion, of which 46 (2**62 of 1e-8) are kept; the master is told."""
    for number in range(3):
        await world.opened(20 + number, "40000000000", customer=20 + number)
        await world.config(SubscriptionSaved(subscription=subscription(20 + number, 20 + number)))
    assert await world.turn() == 1
    details = await world.details(MASTER)
    assert (details["followers"], details["assets_under_copy"]) == (5, Decimal("46116860184.27"))


async def test_a_subscription_that_ended_without_a_word_ends_when_it_is_told_which_there_are(world: World) -> None:
    await world.turn()
    before = (await world.details(MASTER))["followers"]
    await world.config(RecordsHeld(noun="subscription", first=1, last=7, ids=()))
    await world.turn()
    assert (await world.details(MASTER))["followers"] == before - 1


@pytest.mark.parametrize("heard", [True, False])
async def test_a_subscription_that_has_ended_is_not_counted_again_by_what_is_told_late(world: World, heard: bool) -> None:
    await world.turn()
    before = (await world.details(MASTER))["followers"]
    told = subscription(7 if heard else 12, 11)
    await world.config(SubscriptionDeleted(subscription=told))
    await world.config(SubscriptionSaved(subscription=told))
    await world.turn()
    assert (await world.details(MASTER))["followers"] == before - heard


async def test_money_whose_rate_is_not_known_is_left_out_and_counted(world: World) -> None:
    await world.opened(14, "100", customer=5, currency="CHF")
    await world.config(SubscriptionSaved(subscription=subscription(10, 14)))
    await world.turn()
    details = await world.details(MASTER)
    assert (details["assets_under_copy"], details["assets_not_converted"]) == (Decimal(2000), 1)


async def test_copy_success_counts_each_copy_once(world: World) -> None:
    """Due: one opened, one refused by the venue, one too small: 1 of 3. A pause and a filter were wanted: not due. In flight: not yet."""
    at = world.now
    refused = link(8, LinkState.FAILED, "rejected", "NOT_ENOUGH_MONEY", created_ms=at)
    await links(world, link(7, LinkState.ACTIVE, "opening", created_ms=at), link(8, LinkState.ACTIVE, "opening", created_ms=at))
    await links(
        world,
        link(7, LinkState.ACTIVE, "open", order=5, created_ms=at),
        refused,
    )
    await links(world, link(7, LinkState.CLOSED, "closed", "MASTER_CLOSED", order=5, created_ms=at))
    await links(world, refused)
    await links(world, link(7, LinkState.CANCELLED, "skipped", "BELOW_MIN", created_ms=at), order=1002)
    await links(world, link(7, LinkState.CANCELLED, "skipped", "PAUSED", created_ms=at), order=1003)
    await links(world, link(7, LinkState.CANCELLED, "skipped", "SYMBOL_FILTERED", created_ms=at), order=1004)
    await links(world, link(7, LinkState.ACTIVE, "opening", created_ms=at), order=1005)
    await world.turn()
    details = await world.details(MASTER, "7D")
    assert (details["copies"], details["copy_success"]) == (3, Decimal("33.3333"))


async def test_a_pending_copy_that_was_withdrawn_was_never_opened(world: World) -> None:
    """Three copies rest at the venue, each with its order: one is withdrawn with the master's (not due), one did not fill with the master's
    (missed), one is filled just before its withdrawal (copied): 1 of 2."""
    at = world.now
    for order, reason in ((1001, "MASTER_CANCELLED"), (1002, "NOT_FILLED"), (1003, "NOT_FILLED")):
        await links(world, link(7, LinkState.ACTIVE, "pending", order=order + 5000, created_ms=at), order=order)
        await links(world, link(7, LinkState.CANCELLED, "cancelled", reason, order=order + 5000, created_ms=at), order=order)
    await links(world, link(7, LinkState.ACTIVE, "open", order=6003, created_ms=at), order=1003)
    await world.turn()
    details = await world.details(MASTER, "7D")
    assert (details["copies"], details["copy_success"]) == (2, 50)


async def test_latency_and_slippage_of_fills(world: World) -> None:
    """Master buys at 1.20000; copies 40 ms later at 1.20012 (12 points, 1 bp worse) and 1234 ms later at 1.19988 (12 better).

    The latencies are told to two digits above 100: 1200. Mean slippage 0; the median of two is the lower by nearest rank, p95 the higher.
    """
    at = world.now
    await world.trades(PositionsOpened.of([opened(ORDER, MASTER, "1.2", at)]))
    first = opened(51, 11, "1.20012", at + 40, "c-7-1001-open-0")
    second = opened(52, 12, "1.19988", at + 1234, "c-8-1001-open-0")
    await world.trades(PositionsOpened.of([first]))
    await world.turn()
    details = await world.details(MASTER, "7D")
    assert (details["slippage_points"], details["slippage_bps"]) == (12, 1)
    await world.trades(PositionsOpened.of([first, second]))  # the venue was asked again: the first is told twice
    await world.turn()
    details = await world.details(MASTER, "7D")
    assert (details["copy_latency_median"], details["copy_latency_p95"]) == (40, 1200)
    assert (details["slippage_points"], details["slippage_bps"]) == (0, 0)


async def test_a_sell_below_the_masters_price_is_worse(world: World) -> None:
    at = world.now
    await world.trades(PositionsOpened.of([opened(ORDER, MASTER, "1.2", at, side="sell")]))
    await world.trades(PositionsOpened.of([opened(51, 11, "1.19988", at, "c-7-1001-open-0", side="sell")]))
    await world.turn()
    assert (await world.details(MASTER, "7D"))["slippage_points"] == 12


async def test_positions_copied_long_after_their_opening_have_no_latency(world: World) -> None:
    at = world.now
    await world.trades(PositionsOpened.of([opened(ORDER, MASTER, "1.2", at)]))
    await world.config(SubscriptionSaved(subscription=subscription(9, 11, created_ms=at + HOUR)))
    await world.trades(PositionsOpened.of([opened(51, 11, "1.3", at + HOUR, "c-9-1001-open-0")]))
    await world.turn()
    details = await world.details(MASTER, "7D")
    assert (details["copy_latency_median"], details["slippage_points"]) == (None, None)


@pytest.mark.parametrize("link_first", [True, False])
@pytest.mark.parametrize("reason", ["PAUSED", "MARGIN"])
async def test_a_skipped_position_copied_when_it_is_asked_for_has_no_latency(world: World, link_first: bool, reason: str) -> None:
    """Skipped at first (a pause was not due, a lack of margin missed), copied an hour later when existing positions are asked for, at 1.3
    for the master's 1.2: copied, 1 of 1, and neither an hour of latency nor 10,000 points, whichever of link and fill comes first."""
    at = world.now
    await world.trades(PositionsOpened.of([opened(ORDER, MASTER, "1.2", at)]))
    await links(world, link(7, LinkState.CANCELLED, "skipped", reason, created_ms=at))
    world.now += HOUR
    fill = PositionsOpened.of([opened(51, 11, "1.3", world.now, "c-7-1001-open-0")])
    if not link_first:
        await world.trades(fill)
    await links(world, link(7, LinkState.ACTIVE, "opening", created_ms=at), link(7, LinkState.ACTIVE, "open", order=51, created_ms=at))
    await world.trades(fill)
    await world.turn()
    details = await world.details(MASTER, "7D")
    assert (details["copies"], details["copy_success"]) == (1, 100)
    assert (details["copy_latency_median"], details["slippage_points"]) == (None, None)


async def test_the_least_capital_that_can_copy_every_trade(world: World) -> None:
    """The master opened 25 units with 10 000: a copy of 1 unit in proportion takes 400; 100 units would take 100."""
    for order, volume in ((ORDER, 25), (ORDER + 1, 100)):
        await world.trades(PositionsOpened.of([opened(order, MASTER, "1.2", world.now)]))
        await world.closed(MASTER, "1", order=order, initial=volume, closed=volume)
    assert (await world.details(MASTER, "7D"))["minimum_capital"] == 400


async def test_a_fan_out_is_told_once_by_the_timer(world: World) -> None:
    await world.turn()
    before = len(await world.events())
    for n in range(3):
        await links(world, link(7, LinkState.ACTIVE, "open", order=5, created_ms=world.now), order=n)
    assert len(await world.events()) == before
    assert await world.turn() == 1
    assert len(await world.events()) == before + 1


@pytest.mark.postgres
async def test_the_same_on_postgres(postgres: Callable[[str], str], tmp_path: Path) -> None:
    for case in (test_followers_and_assets_under_copy, test_assets_beyond_what_a_column_holds_stop_nothing):
        async with copying_world(tmp_path, postgres("stats")) as world:
            await case(world)
    async with copying_world(tmp_path, postgres("stats")) as world:
        await test_latency_and_slippage_of_fills(world)
        await test_the_least_capital_that_can_copy_every_trade(world)
        await test_copy_success_counts_each_copy_once(world)


async def test_recompute_of_copying_changes_nothing(new_store_url: Callable[[str], str], tmp_path: Path) -> None:
    """Copies made, missed and not due, fills, closings, a charge and its refund, own copies, over days: the same rows."""
    async with copying_world(tmp_path, new_store_url("stats")) as world:
        await world.opened(13, "5000", customer=1)
        await world.config(SubscriptionSaved(subscription=subscription(9, 13)))  # the master's own: never counts
        await world.turn()
        for order, (name, price) in enumerate((("7", "1.20012"), ("8", "1.19988"), ("9", "1.3"), ("7", "1.20003")), ORDER):
            at = world.now
            await world.trades(PositionsOpened.of([opened(order, MASTER, "1.2", at)]))
            follower = {"7": 11, "8": 12, "9": 13}[name]
            await world.trades(PositionsOpened.of([opened(order + 5000, follower, price, at + 33 * order, f"c-{name}-{order}-open-0")]))
            await links(world, link(int(name), LinkState.ACTIVE, "open", order=order + 5000, created_ms=at), order=order)
            world.now += 10 * HOUR
            row = closing(follower, order, order + 5000, "7.77", closed_ms=world.now, position_client_id=f"c-{name}-{order}-open-0")
            await world.trades(PositionsClosed.of([row]), AccountsChanged.of([account(follower, "1234.56", customer=follower - 9)]))
            await accrual(world, order, "1.11", AccrualState.CHARGED)
        await accrual(world, 77, "0.5", AccrualState.CHARGED, ref=ORDER)
        await links(world, link(8, LinkState.CANCELLED, "skipped", "MARGIN", created_ms=world.now), order=2001)
        await links(world, link(8, LinkState.CANCELLED, "skipped", "PAUSED", created_ms=world.now), order=2002)
        await world.turn()
        before = [(await world.stats(MASTER, period))._replace(updated_ms=0) for period in ("7D", "30D", "90D", "365D")]
        details, kept = await world.details(MASTER, "7D"), await days(world)
        assert (details["copies"], details["copy_success"], details["slippage_points"]) == (4, 75, 1)  # (12 - 12 + 3) / 3
        assert details["followers_roi_gross"] > details["followers_roi"] > 0
        async with world.store.work() as work:  # what nobody could have counted, to see that it is counted anew
            await work.session.execute(
                text("UPDATE copy_day SET copied = 5, missed = 9, fills = 7, points = 1, bps = 2, made = 3, paid = 4, participants = 8")
            )
            await work.session.execute(text("UPDATE participant SET subscription = subscription + 50"))
            await work.session.execute(text("UPDATE copy_latency SET fills = 99"))
            await work.session.execute(text("UPDATE subscription SET profit = -5"))
            await recompute(work, None, world.flow.calendar, world.flow.rules)
        assert await days(world) == kept
        world.now += 1
        assert await world.turn() == 1
        assert [(await world.stats(MASTER, period))._replace(updated_ms=0) for period in ("7D", "30D", "90D", "365D")] == before
