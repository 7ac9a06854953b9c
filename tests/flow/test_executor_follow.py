"""The OpenAPI's follow config in copied trades, through the real handlers. Numbers are worked out by hand.

A unit of EURUSD is 1,000 EUR: 1,100 USD at the venue's 1.10000. Everybody has 10,000 USD at leverage 100.
"""

from pathlib import Path
from typing import Any

import pytest
from shared.contracts import trades
from shared.contracts.config import Follower, FollowerSaved, Master, MasterSaved, SubscriptionSaved
from shared.contracts.orders import OpenCopies, PlaceCopies

from tests.flow.executor_world import AMOUNT, ANNA, BEN, MASTER, NOW, RATE, D, account, follow, opened, price, subscription, world

pytestmark = pytest.mark.anyio

ISOLATED = {"margin_type": 1}
DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("mode", "config", "trade", "expected"),
    [
        (AMOUNT, {}, {}, 2),
        (AMOUNT, {"single_place_amount": D("164.99")}, {}, 2),
        (AMOUNT, {"single_place_amount": D("54.99")}, {}, "BELOW_MIN"),
        (AMOUNT, {"leverage": D(40)}, {}, 4),
        (AMOUNT, {"leverage": D(0)}, {}, 10),  # the account's: 11,000 / 1,100
        (AMOUNT, {"leverage": D("20.9")}, {}, 2),  # a venue knows whole leverages alone
        (AMOUNT, {}, {"volume": 5}, 2),
        (RATE, {}, {}, 2),  # 100 units bind 1,100 of the master's 10,000: 11 %, 110 of 1,000
        (RATE, {"real_invest_amount": D(2000), "invest_amount": D(2000)}, {}, 4),
        (RATE, {"isolated_reserved_amount": D(500)}, {}, 1),
        (RATE, {}, {"leverage": 50}, 4),  # the master's order binds twice as much of its equity
        (RATE, {}, {"equity": D(0)}, "MASTER_EQUITY_INVALID"),
        (AMOUNT, {"max_invest_rate": D("0.1")}, {}, "MAX_INVEST"),
        (AMOUNT, {"max_invest_rate": D("0.11")}, {}, 2),
        (AMOUNT, {"isolated_reserved_amount": D("890.01")}, {}, "MAX_INVEST"),
        (AMOUNT, {"isolated_reserved_amount": D(890)}, {}, 2),
        (AMOUNT, {"invest_amount": D(109)}, {}, "MAX_INVEST"),
        (AMOUNT, {"real_invest_amount": D(109)}, {}, "MAX_INVEST"),
        (AMOUNT, {"daily_max_invest_amount": D("109.99")}, {}, "DAILY_MAX"),
        (AMOUNT, {"daily_max_invest_amount": D(110)}, {}, 2),
        (AMOUNT, {"follow_margin_type": 1}, {}, 2),
        (AMOUNT, {"follow_margin_type": 1}, ISOLATED, "MARGIN_FILTERED"),
        (AMOUNT, {"follow_margin_type": 2}, {}, "MARGIN_FILTERED"),
        (AMOUNT, {"follow_margin_type": 2}, ISOLATED, 2),
        (AMOUNT, {"zero_slippage": 1}, {}, 2),
        (AMOUNT, {"zero_slippage": 1}, {"price": D("1.10001")}, 2),
        (AMOUNT, {"zero_slippage": 1}, {"price": D("1.09999")}, "PRICE_MOVED"),
        (AMOUNT, {"zero_slippage": 1}, {"price": D("1.10001"), "side": "sell"}, "PRICE_MOVED"),
    ],
)
async def test_a_field_of_the_config_decides(
    tmp_path: Path, mode: int, config: dict[str, Any], trade: dict[str, Any], expected: Any
) -> None:
    async with world(tmp_path) as w:
        await w.ready(follow(1, mode=mode, **config))
        await w.open(11, **trade)
        link = (await w.links())[1]
        assert (link.volume or link.reason) == expected
        assert w.open_volume(ANNA) == (expected if isinstance(expected, int) else 0)


async def test_many_followers_by_columns(tmp_path: Path) -> None:
    """Twenty subscriptions of one follower's kind, decided by columns: each takes 2 units at its leverage, and its money is bound."""
    logins = range(3001, 3021)
    async with world(tmp_path) as w:
        await w.ready(accounts=tuple(account(login) for login in logins))
        await w.configured(*(FollowerSaved(follower=Follower(id=login, login=login, customer_id=login)) for login in logins))
        await w.configured(*(SubscriptionSaved(subscription=follow(login, login, max_invest_rate=D("0.22"))) for login in logins))
        for order, volume in ((11, 2), (12, 2), (13, 0)):
            await w.open(order, **ISOLATED)
            assert {row.volume for row in (await w.links(order)).values()} == {volume}
        assert {row.reason for row in (await w.links(13)).values()} == {"MAX_INVEST"}
        assert {(row.leverage, row.margin_type) for event in await w.orders(OpenCopies) for row in event.rows} == {(20, 1)}


async def test_what_copies_bind_is_freed_when_they_close(tmp_path: Path) -> None:
    """A cap of 250 takes two copies of 110. Half of one closed frees 55: 165 + 110 are 275, too much; the whole frees 110."""
    async with world(tmp_path) as w:
        await w.ready(follow(1, max_invest_rate=D("0.25")))
        await w.open(11)
        await w.open(12)
        await w.open(13)
        assert (await w.links(13))[1].reason == "MAX_INVEST"
        await w.reduce(12, 50, 50)
        assert w.open_volume(ANNA) == 3
        await w.open(14)
        assert (await w.links(14))[1].reason == "MAX_INVEST"
        w.parts_desk.forget()
        await w.reduce(11, 100, 0)
        await w.open(15)
        assert (await w.links(15))[1].volume == 2
        w.venue.refuse["open"] = "MARKET_CLOSED"
        await w.reduce(12, 50, 0)
        await w.open(16)
        assert (await w.links(16))[1].reason == "MARKET_CLOSED"
        w.venue.refuse.clear()
        w.parts_desk.forget()
        await w.open(17)  # what was refused binds nothing
        assert (await w.links(17))[1].volume == 2


async def test_the_daily_maximum_counts_what_was_opened_today(tmp_path: Path) -> None:
    """250 a day: two copies of 110, also after they are closed and after a restart; the next day two more."""
    async with world(tmp_path) as w:
        await w.ready(follow(1, daily_max_invest_amount=D(250)))
        await w.open(11)
        await w.reduce(11, 100, 0)
        await w.open(12)
        w.parts_desk.forget()
        await w.open(13)
        assert (await w.links(13))[1].reason == "DAILY_MAX"
        w.now += DAY_MS - NOW % DAY_MS - 1
        await w.open(14)
        assert (await w.links(14))[1].reason == "DAILY_MAX"
        w.now += 1
        await w.open(15)
        assert (await w.links(15))[1].volume == 2


async def test_the_leverage_goes_with_the_order_also_when_it_is_asked_again(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(follow(1), subscription(2, BEN))
        w.venue.deaf = True
        await w.open(11, **ISOLATED)
        w.parts_desk.forget()
        w.venue.deaf = False
        await w.tick(5000)
        rows = [(row.login, row.leverage, row.margin_type) for event in await w.orders(OpenCopies) for row in event.rows]
        assert rows == [(ANNA, 20, 1), (BEN, 0, 1)] * 2
        assert w.open_volume(ANNA) == 2


async def test_a_pending_copy_is_sized_and_filtered_alike(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        pending = follow(1, follow_margin_type=2).model_copy(update={"copy_pending_orders": 1})
        await w.ready(pending)
        for order, margin_type in ((11, 0), (12, 1)):
            row = trades.PendingRow(
                *(order, MASTER, "EURUSD", "buy", "limit", 100, D("1.09"), D(0), D(0), D(0), 0, 1, "", trades.REASON_CLIENT),
                *(D(10000), D(10000), D(0), 50, margin_type),
            )
            await w.told(trades.PendingPlaced.of([row]))
        assert (await w.links(11))[1].reason == "MARGIN_FILTERED"
        [placed] = [row for event in await w.orders(PlaceCopies) for row in event.rows]
        assert (placed.volume, placed.leverage, placed.margin_type) == (2, 20, 1)


async def test_copies_that_are_older_than_the_config_bind_too(tmp_path: Path) -> None:
    """50 units at leverage 100 bind 550 of 1,000: four copies of 110 fit, also after a restart. Half of the old one closed frees 275."""
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        await w.open(11, 50)
        await w.configured(SubscriptionSaved(subscription=follow(1, version=2)))
        for order in (12, 13, 14, 15):
            await w.open(order)
            assert (await w.links(order))[1].volume == 2
            w.parts_desk.forget()
        await w.open(16)
        assert (await w.links(16))[1].reason == "MAX_INVEST"
        await w.reduce(11, 25, 25, initial=50)
        for order, volume in ((17, 2), (18, 2), (19, 0)):
            await w.open(order)
            assert (await w.links(order))[1].volume == volume


async def test_the_config_s_stop_counts_copies_that_are_older(tmp_path: Path) -> None:
    """20 % of 1,000: 50 units that were open before lose 200 at 1.096. They are closed, with what was opened since."""
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        await w.open(11, 50)
        await w.configured(SubscriptionSaved(subscription=follow(1, version=2, stop_loss_rate=D("0.2"))))
        w.parts_desk.forget()
        await price(w, "1.09601")
        assert w.open_volume(ANNA) == 50
        await price(w, "1.096")
        assert ((await w.links(11))[1].reason, w.open_volume(ANNA)) == ("COPY_STOP_LOSS", 0)


@pytest.mark.parametrize("found", ["skipped", "refused", "closed"])
async def test_a_copy_that_is_taken_up_binds_and_counts(tmp_path: Path, found: str) -> None:
    """2 units that the venue has although their link was a skip, or refused: they bind 110 of 150, and have lost 200 at 0.9. So does one
    of them, which binds 55, when its owner has closed the other.
    """
    async with world(tmp_path) as w:
        one = follow(1, max_invest_rate=D("0.15"), stop_loss_rate=D("0.2"))
        await w.ready(one.model_copy(update={"max_signal_age_ms": 500}) if found == "skipped" else one)
        w.venue.refuse["open"] = "UNKNOWN"
        await w.open(11, opened_ms=w.now - 501)
        w.venue.refuse.clear()
        assert (await w.links(11))[1].phase == ("skipped" if found == "skipped" else "rejected")
        own = {"login": ANNA, "symbol": "EURUSD", "side": "buy", "initial": 2, "volume": 2, "price": D("1.1"), "sl": D(0), "tp": D(0)}
        w.venue.positions[900] = own | {"client_id": "c-1-11-open-0", "version": 1}
        if found == "closed":
            await w.told(w.venue.closing(900, 1, trades.REASON_CLIENT))
        else:
            await w.told(trades.PositionsOpened.of([w.venue.opened_row(900)]))
        await w.open(12)
        assert (await w.links(12))[1].reason == "MAX_INVEST"
        w.parts_desk.forget()
        await price(w, "0.9")
        assert ((await w.links(11))[1].reason, w.open_volume(ANNA)) == ("COPY_STOP_LOSS", 0)


async def test_a_copy_that_rests_binds_what_it_will(tmp_path: Path) -> None:
    """Two of 110 fit into 250, whether they rest or are filled."""
    async with world(tmp_path) as w:
        await w.ready(follow(1, max_invest_rate=D("0.25")).model_copy(update={"copy_pending_orders": 1}))
        for order, volume in ((11, 2), (12, 2), (13, 0)):
            row = trades.PendingRow(
                *(order, MASTER, "EURUSD", "buy", "limit", 100, D("1.09"), D(0), D(0), D(0), 0, 1, "", trades.REASON_CLIENT),
                *(D(10000), D(10000), D(0), 50, 0),
            )
            await w.told(trades.PendingPlaced.of([row]))
            assert (await w.links(order))[1].volume == volume
        await w.told(*w.venue.fill_pending(50_001))
        await w.open(14)
        assert (await w.links(14))[1].reason == "MAX_INVEST"


@pytest.mark.parametrize(
    ("leads", "trade", "reason"),
    [
        ({"lead_symbols": "GBPUSD,EURUSD"}, {}, ""),
        ({"lead_symbols": "GBPUSD"}, {}, "NOT_LED"),
        ({"lead_margin_type": 0}, {}, ""),
        ({"lead_margin_type": 1}, {}, "NOT_LED"),
        ({"lead_margin_type": 1}, ISOLATED, ""),
        ({"unlead_from_ms": NOW, "unlead_to_ms": NOW + 5}, {}, "NOT_LED"),
        ({"unlead_from_ms": NOW + 1, "unlead_to_ms": NOW + 5}, {}, ""),
        ({"unlead_from_ms": NOW - 5, "unlead_to_ms": NOW - 1}, {}, ""),
    ],
)
async def test_what_a_master_leads(tmp_path: Path, leads: dict[str, Any], trade: dict[str, Any], reason: str) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        await w.configured(MasterSaved(master=Master(id=1, login=MASTER, customer_id=1, version=2, **leads)))
        for order in (11, 12):
            await w.told(opened(order, now=NOW, **trade))
            assert (await w.links(order))[1].reason == reason
            w.parts_desk.forget()
