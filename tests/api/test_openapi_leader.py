"""The leader's endpoints of the signed OpenAPI: its trading, its followers and its earnings."""

import json
from decimal import Decimal
from typing import Any

import pytest
from api import flow
from shared.contracts.links import LinkState
from shared.contracts.rewards import AccrualRow, AccrualsChanged, AccrualState, SharingChanged, SharingRow
from shared.contracts.stats import StatsChanged
from shared.contracts.trades import ClosedRow, PositionsClosed, SymbolRow, SymbolsChanged

from tests.api.signed import LEAD_CONFIG as CONFIG
from tests.api.signed import LEADER, client_of, leading, opens
from tests.api.told import link, links, stats
from tests.api.world import ALICE, BOB_LOGIN, MASTER_LOGIN, SUBSCRIPTION, World

pytestmark = pytest.mark.anyio

D = Decimal
DAY_MS = 86_400_000


async def closes(world: World, order: int, deal: int, profit: str, commission: str = "-2", **more: Any) -> None:
    row = ClosedRow(
        *(order, deal, MASTER_LOGIN, "BTC-SWAP-USDT", "buy", 50, 50, 0, D(6800), D(7000), D(profit), D(commission), D(0)),
        *("TR_REASON_CLIENT", "", "", world.now, world.now + 5, 20, 1),
    )
    await world.told(flow.on_trades, PositionsClosed.of([row._replace(**more)]))


async def test_current_lead_orders(world: World) -> None:
    """0.5 BTC at 6800 and leverage 20 bind 170; profit 150: 0.8824. Bob's copy, 0.3 BTC at his account's 100, binds 20.4."""
    alice, _ = await leading(world)
    await opens(world, leverage=20, margin_type=1)
    assert await alice.data("GET", "/orders/current") == [
        {
            "symbolId": "BTC-SWAP-USDT",
            "symbolName": "BTC-SWAP-USDT",
            "isLong": 1,
            "positionType": 1,
            "leverage": "20",
            "openTime": str(world.now),
            "quantity": "0.5",
            "newPrice": "7100",
            "openPrice": "6800",
            "totalFollowerCount": "1",
            "totalFollowerMargin": "20.4",
            "profitRate": "0.8824",
            "markPrice": "7100",
        }
    ]


async def test_history_of_lead_orders(world: World) -> None:
    alice, _ = await leading(world)
    await closes(world, 1001, 77, "100")
    assert await alice.data("GET", "/orders/history") == {
        "pages": "1",
        "total": "1",
        "list": [
            {
                "symbolId": "BTC-SWAP-USDT",
                "isLong": 1,
                "positionType": 1,
                "leverage": "20",
                "openPrice": "6800",
                "closePrice": "7000",
                "openTime": str(world.now),
                "closeTime": str(world.now + 5),
                "profit": "98",
                "status": 2,
                "openQty": "0.5",
                "closeQty": "0.5",
                "positionProfit": "100",
                "openFee": "1",
                "closeFee": "1",
            }
        ],
    }
    assert (await alice.data("GET", "/orders/history", page=2))["list"] == []
    assert await alice.code("GET", "/orders/history", size=101) == -1130


async def test_trade_data(world: World) -> None:
    """Three positions: +98, +48, -52. Made 94 of 10,000 - 94: 0.0095; won 2 of 3, on average 73 to 52: 1.40:1; 3 / 7 a day on one day."""
    alice, _ = await leading(world)
    for order, deal, profit in ((1001, 77, "100"), (1002, 78, "50"), (1003, 79, "-50")):
        await closes(world, order, deal, profit)
    await closes(world, 900, 70, "1000", closed_ms=world.now - 40 * DAY_MS)
    await world.told(flow.on_stats, StatsChanged.of([stats("30D", 30, details=json.dumps({"sharpe_ratio": 1.2345}))]))
    [week] = await alice.data("GET", "/trade-data")
    assert week == {
        "profitRate": "0.0095",
        "accumulatedProfit": "94",
        "orderCount": 3,
        "winRate": "0.6667",
        "currentFollowerCount": "1",
        "followerTotalProfit": "19",
        "sharpeRatio": "",
        "totalFollowerCount": "1",
        "assetManagementScale": "10000",
        "profitLossRatio": "1.40:1",
        "tradingFrequency": "0.4286",
        "tradingDays": 1,
    }
    [month] = await alice.data("GET", "/trade-data", type=30)
    assert (month["profitRate"], month["sharpeRatio"], month["orderCount"]) == ("0.0842", "1.2345", 3)
    [half] = await alice.data("GET", "/trade-data", type=180)
    assert (half["orderCount"], half["accumulatedProfit"], half["tradingDays"]) == (4, "1092", 2)
    for bad in (8, "x", 366):
        assert await alice.code("GET", "/trade-data", type=bad) == -1130


async def test_trade_data_of_180_days(world: World) -> None:
    """NOW is 2026-05-07 13:20 UTC, so the 180 days begin on 2025-11-08 13:20. Alice's positions by their order, and what is made in all:

    801 +400, closed a moment before the span: nothing of it counts
    802 +100, on the span's first moment
    803 -60: its first part, of +90, before the span; -150 ends it on day 10. A trade of -60, of which -150 was made in the span
    804 -30, on day 1
    805 +50, on day 30, a part alone: no trade yet, but made
    806 +200 in two parts, +120 and +80, on days 90 and 91
    807 0, on day 179: neither won nor lost
    808 +999, copied from another master: not the leader's own trading

    Made: 100 - 150 - 30 + 50 + 200 + 0 = 170, of 10,000 - 170 = 9,830: 0.0173. Trades: 802, 803, 804, 806, 807; won 2 of 5. A win is 150
    on average, a loss 45: 3.33:1. 5 / 180 = 0.0278 a day, on the 7 days 0, 1, 10, 30, 90, 91 and 179.
    """
    alice, _ = await leading(world)
    start = world.now - 180 * DAY_MS
    zero = {"commission": D(0)}
    for order, deal, profit, at, more in (
        (801, 1, "400", start - 1, {}),
        (802, 2, "100", start, {}),
        (803, 3, "90", start - DAY_MS, {"closed": 30, "left": 20}),
        (803, 4, "-150", start + 10 * DAY_MS, {"closed": 20}),
        (804, 5, "-30", start + DAY_MS, {}),
        (805, 6, "50", start + 30 * DAY_MS, {"closed": 10, "left": 40}),
        (806, 7, "120", start + 90 * DAY_MS, {"closed": 25, "left": 25}),
        (806, 8, "80", start + 91 * DAY_MS, {"closed": 25}),
        (807, 9, "0", start + 179 * DAY_MS, {}),
        (808, 10, "999", start + 5 * DAY_MS, {"position_client_id": "c-9-808-open-0"}),
    ):
        await closes(world, order, deal, profit, closed_ms=at, **zero | more)
    [half] = await alice.data("GET", "/trade-data", type=180)
    assert half == {
        "profitRate": "0.0173",
        "accumulatedProfit": "170",
        "orderCount": 5,
        "winRate": "0.4",
        "currentFollowerCount": "1",
        "followerTotalProfit": "19",
        "sharpeRatio": "",
        "totalFollowerCount": "1",
        "assetManagementScale": "10000",
        "profitLossRatio": "3.33:1",
        "tradingFrequency": "0.0278",
        "tradingDays": 7,
    }
    # A day later the first moment is out of the span; a year has all that the leader ever made: 170 + 400 + 90 = 660.
    world.now += DAY_MS
    [half] = await alice.data("GET", "/trade-data", type=180)
    assert (half["orderCount"], half["accumulatedProfit"], half["tradingDays"]) == (4, "70", 6)
    [year] = await alice.data("GET", "/trade-data", type=365)
    assert (year["orderCount"], year["accumulatedProfit"], year["tradingDays"]) == (6, "660", 8)


async def test_profit_sharings(world: World) -> None:
    """Two shares paid on one day, one the day before; what is not paid does not count. NOW is 2026-05-07, a Thursday of week 19."""
    alice, _ = await leading(world)

    def paid(number: int, amount: str, ms: int, state: AccrualState = AccrualState.PAID) -> AccrualRow:
        return AccrualRow(
            *(number, 1, MASTER_LOGIN, BOB_LOGIN, 3, 0, 0, D(100), D(amount), "USD", state, ms, ms, MASTER_LOGIN, D(amount), "USD"),
            *(1, 1, 0, 0, 0, "", "", ""),
        )

    rows = [
        paid(1, "2.5", world.now),
        paid(2, "1.5", world.now),
        paid(3, "3", world.now - DAY_MS),
        paid(4, "9", world.now, AccrualState.FAILED),
    ]
    await world.told(flow.on_rewards, AccrualsChanged.of(rows))
    assert await alice.data("GET", "/profit-sharings/history") == [
        {
            "totalProfitSharing": total,
            "weekOfYear": 19,
            "year": 2026,
            "sharingDate": day,
            "recommendUserShare": "0",
            "realProfitShare": total,
        }
        for total, day in (("4", "2026-05-07"), ("3", "2026-05-06"))
    ]


async def test_an_own_client_id_is_no_copy_s(world: World) -> None:
    """A copy's begins with `c-`; a trader's own may begin with `C-`, and is the leader's trade on SQLite as on Postgres."""
    alice, _ = await leading(world)
    await opens(world, client_id="C-1")
    assert len(await alice.data("GET", "/orders/current")) == 1
    await closes(world, 1001, 77, "100", position_client_id="C-1")
    assert (await alice.data("GET", "/orders/history"))["total"] == "1"
    assert (await alice.data("GET", "/trade-data"))[0]["orderCount"] == 1


async def test_amounts_of_two_currencies_never_add(world: World) -> None:
    """A EUR is 1.10 USD, the currency of the leader: paid 4 USD and 2 EUR, 6.2; followers made 19 USD and 10 EUR, 30, with 10,000 of each.
    Nobody knows what a CHF is worth."""
    alice, _ = await leading(world)
    euro = SymbolRow("EURUSD", 5, D(100_000), "EUR", "USD", 100, 1, 1, 100_000, 0, D(0), D(0), D(0), D("1.09"), D("1.11"))
    await world.told(flow.on_trades, SymbolsChanged.of([euro]))

    def paid(number: int, amount: str, currency: str) -> AccrualRow:
        return AccrualRow(
            *(number, 1, MASTER_LOGIN, BOB_LOGIN, 3, 0, 0, D(100), D(amount), "USD", AccrualState.PAID, world.now, world.now),
            *(MASTER_LOGIN, D(amount), currency, 1, 1, 0, 0, 0, "", "", ""),
        )

    await world.told(flow.on_rewards, AccrualsChanged.of([paid(1, "4", "USD"), paid(2, "2", "EUR"), paid(3, "7", "CHF")]))
    assert [day["totalProfitSharing"] for day in await alice.data("GET", "/profit-sharings/history")] == ["6.2"]
    for number, currency in enumerate(("EUR", "CHF"), 2):
        login = 300_000 + number
        await world.open_account(login, 20 + number, currency=currency)
        await world.good(20 + number, "POST", "/copytrade/follower", {"login": login})
        await world.good(20 + number, "POST", "/copytrade/subscription", SUBSCRIPTION | {"follower_login": login})
        await world.told(flow.on_rewards, SharingChanged.of([SharingRow(number, login, MASTER_LOGIN, currency, D(10), D(0), D(0))]))
    [week] = await alice.data("GET", "/trade-data")
    assert (week["currentFollowerCount"], week["followerTotalProfit"], week["assetManagementScale"]) == ("3", "30", "21000")


async def test_followers(world: World) -> None:
    alice, bob = await leading(world)
    world.now += 1000
    assert await alice.data("GET", "/followers") == {
        "pages": "1",
        "total": "1",
        "list": [
            {
                "followerUserId": str(BOB_LOGIN),
                "followerNickname": "****001",
                "followAmountLimit": "10000",
                "totalFollowMargin": "10000",
                "totalProfit": "19",
                "followRunningMills": "1000",
            }
        ],
    }
    for bad in ("0", "x"):
        world.now += 1
        assert await alice.code("DELETE", f"/followers/{bad}") == -1130
    world.now += 1
    assert await alice.code("DELETE", "/followers/77") == -32045
    world.now += 1
    assert await alice.code("DELETE", f"/followers/{BOB_LOGIN}") == -120055  # he holds a copy
    await world.told(flow.on_links, links(link(1, LinkState.CLOSED, "closed")))
    world.now += 1
    bob.base = LEADER
    assert await bob.code("DELETE", f"/followers/{BOB_LOGIN}") == -120047  # he leads nobody
    read_only = await client_of(world, ALICE, MASTER_LOGIN, read_only=1)
    read_only.base = LEADER
    assert await read_only.code("DELETE", f"/followers/{BOB_LOGIN}") == -1020
    world.now += 1
    assert await alice.data("DELETE", f"/followers/{BOB_LOGIN}", as_form=True) is None
    assert (await world.config_events())[-1]["type"] == "subscription.deleted"
    assert (await alice.data("GET", "/followers"))["list"] == []


async def test_only_a_leader_has_a_leaders_door(world: World) -> None:
    alice, bob = await leading(world)
    bob.base = LEADER
    paths = ("/orders/current", "/orders/history", "/trade-data", "/profit-sharings/history", "/symbols", "/config", "/followers")
    for path in paths:
        assert await bob.code("GET", path) == -120041
        assert await alice.code("GET", path) == 200
    assert await bob.refused("/config", CONFIG) == (-120047, "Leader does not exist.")
    await world.good(ALICE, "PUT", "/copytrade/master/1", {"enabled": 0})
    for path in paths:
        assert await alice.code("GET", path) == -120041
    assert await alice.refused("/config", CONFIG) == (-120041, "Copy trading leader is not available.")
