"""Every example of the five documents of the specification, as it is printed there: the request as it is sent, the answer as it comes.

Beyond the printed fields the doors answer more; avatars are empty, since nobody has one here.
"""

from decimal import Decimal
from typing import Any

import pytest
from api import flow
from api.read_models import Symbol
from shared.contracts.links import LinkState
from shared.contracts.rewards import SharingChanged, SharingRow
from shared.contracts.stats import StatsChanged
from shared.contracts.trades import OpenedRow, PositionsClosed, PositionsOpened, SymbolRow, SymbolsChanged

from tests.api.signed import Client, client_of, closing, trade
from tests.api.told import link, links, stats
from tests.api.world import ALICE, BOB, BOB_LOGIN, EVE, PERFORMANCE, World

pytestmark = pytest.mark.anyio

D = Decimal
LEADER = 123456789
MASTER_PAYLOAD = {
    "login": 100001,
    "enabled": 1,
    "strategy_name": "Conservative FX",
    "description": "Low risk major pairs strategy",
    "visibility": "public",
    "allowed_follower_modes": 2,
}
FOLLOWER_PAYLOAD = {"login": 100002, "enabled": 1, "manual_trading_mode": 1, "max_master_count": 1}
SUBSCRIPTION_PAYLOAD = {
    "master_login": 100001,
    "follower_login": 100002,
    "enabled": 1,
    "status": 0,
    "copy_mode": 0,
    "volume_mode": 1,
    "risk_multiplier": 1,
    "fixed_volume": 0,
    "copy_sl": 1,
    "copy_tp": 1,
    "copy_partial_close": 1,
    "copy_pending_orders": 0,
    "copy_existing_positions": 0,
    "reverse_direction": 0,
    "max_volume": 0,
    "min_volume": 0,
    "max_positions": 0,
    "symbols_mode": 0,
    "symbols": "",
}
POLICY = {"reward_type": 1, "billing_period": "monthly", "fee_percent": 20, "hwm_enabled": 1}


def has(answer: dict[str, Any], printed: dict[str, Any]) -> None:
    """The printed fields are there, equal, and in the printed order."""
    assert {name: answer.get(name) for name in printed} == printed
    assert [name for name in answer if name in printed] == list(printed)


async def test_documents_1_and_2_payloads(world: World) -> None:
    """A master is created with its policy, as document 2, the newer, says; document 1's payload alone says how one is changed."""
    refused = await world.call(ALICE, "POST", "/copytrade/master", MASTER_PAYLOAD)
    assert (refused.status_code, refused.json()["error"]) == (400, "REWARD_POLICY_REQUIRED")
    master = await world.good(ALICE, "POST", "/copytrade/master", MASTER_PAYLOAD | {"reward_policy": POLICY})
    has(master, MASTER_PAYLOAD)
    has({name: master["reward_policy"][name] for name in POLICY}, POLICY)
    has(await world.good(ALICE, "PUT", f"/copytrade/master/{master['id']}", MASTER_PAYLOAD), MASTER_PAYLOAD)
    follower = await world.good(ALICE, "POST", "/copytrade/follower", FOLLOWER_PAYLOAD)
    has(follower, FOLLOWER_PAYLOAD)
    has(await world.good(ALICE, "PUT", f"/copytrade/follower/{follower['id']}", FOLLOWER_PAYLOAD), FOLLOWER_PAYLOAD)
    subscription = await world.good(ALICE, "POST", "/copytrade/subscription", SUBSCRIPTION_PAYLOAD)
    has(subscription, SUBSCRIPTION_PAYLOAD)
    has(await world.good(ALICE, "PUT", f"/copytrade/subscription/{subscription['id']}", SUBSCRIPTION_PAYLOAD), SUBSCRIPTION_PAYLOAD)


async def test_document_3_table(world: World) -> None:
    """Any table by its columns: here masters, of which the example prints the first three."""
    await world.open_account(2000001, ALICE)
    await world.good(ALICE, "POST", "/copytrade/master", MASTER_PAYLOAD | {"login": 2000001, "reward_policy": POLICY})
    answer = await world.good("SESSION_MANAGER", "POST", "/manager/MngGetCopyMastersByFilter", {"limit": 10, "offset": 0})
    printed = {"structure": ["id", "login", "enabled"], "rows": [[1, 2000001, 1]], "count": 1}
    shown = {"structure": answer["structure"][:3], "rows": [row[:3] for row in answer["rows"]], "count": answer["count"]}
    assert (shown, list(answer)) == (printed, list(printed))


async def test_document_4_masters(world: World) -> None:
    """The history is printed shortened: it has one value a day."""
    await world.good(ALICE, "POST", "/copytrade/master", MASTER_PAYLOAD | {"reward_policy": POLICY})
    history = (*[D(0)] * 25, D(0), D("120.5"), D("85.5"), D("85.5"), D("165.75"))
    await world.told(flow.on_stats, StatsChanged.of([stats("30D", 30, pnl_history=history), stats("90D", 90)]))
    answer = await world.good(EVE, "GET", "/copytrade/masters")
    [row] = answer["rows"]
    printed = {
        "id": 1,
        **MASTER_PAYLOAD,
        "show_trade_history": 1,
        "show_followers": 1,
        "created_time": 1778160000,
        "updated_time": 1778160000,
    }
    has(row, printed)
    figures = {"period": "30D", "period_days": 30, "roi": 8.42, "pnl": 1240.5, "win_rate": 61.54, "max_drawdown": 7.8}
    has(row["stats"], figures | {"avg_pnl_per_trade": 47.71, "trades": 26})
    assert (len(row["stats"]["pnl_history"]), row["stats"]["pnl_history"][-5:]) == (30, [0, 120.5, 85.5, 85.5, 165.75])
    assert (answer["count"], list(answer)) == (1, ["rows", "count"])
    example = {
        "stats_period": "90D",
        "where": [["stats.roi", ">=", 5], ["stats.win_rate", ">=", 55], ["stats.trades", ">=", 10], ["stats.max_drawdown", "<=", 20]],
        "orderBy": [["stats.pnl", "desc"]],
        "limit": 50,
        "offset": 0,
    }
    [found] = (await world.good(EVE, "GET", "/copytrade/masters", example))["rows"]
    assert (found["id"], found["stats"]["period"]) == (1, "90D")


async def following(world: World, opened: str, bid: str) -> Client:
    """Bob follows S5, the leader 123456789, and holds 0.01 BTC long from `opened`, isolated at leverage 20; the bid is `bid`."""
    await world.open_account(LEADER, ALICE, currency="USDT")
    lead = {"login": LEADER, "strategy_name": "S5", "visibility": "public", "reward_policy": PERFORMANCE}
    await world.good(ALICE, "POST", "/copytrade/master", lead)
    await world.good(BOB, "POST", "/copytrade/follower", {"login": BOB_LOGIN})
    await world.good(BOB, "POST", "/copytrade/subscription", {"master_login": LEADER, "follower_login": BOB_LOGIN})
    await trade(world)  # what is traded, and a position that is another leader's matter
    async with world.store.read() as session:
        btc = await session.get_one(Symbol, "BTC-SWAP-USDT")
    values = {name: getattr(btc, name, 0) for name in SymbolRow._fields} | {"bid": D(bid), "ask": D(bid)}
    both = [SymbolRow(**values), SymbolRow(**values | {"symbol": "ETH-SWAP-USDT", "base_currency": "ETH"})]
    zero = D(0)
    held = OpenedRow(
        *(6001, BOB_LOGIN, "BTC-SWAP-USDT", "buy", 1, D(opened), zero, zero, "c-1-2001-open-0", "TR_REASON_COPY"),
        *(zero, zero, zero, zero, world.now),
    )
    await world.told(flow.on_trades, SymbolsChanged.of(both), PositionsOpened.of([held._replace(leverage=20, margin_type=1)]))
    await world.told(flow.on_trades, PositionsClosed.of([closing(world, 902, 30, 0, "0", "0")]))
    ours = links(link(2, follower_order=6001, volume=1, volume_now=1, symbol="BTC-SWAP-USDT"), link(1, LinkState.CLOSED, "closed"))
    await world.told(flow.on_links, ours.model_copy(update={"master_login": LEADER, "master_order": 2001}))
    return await client_of(world)


DONE = {"code": 200, "msg": "success", "data": None}


async def test_document_5_current_follow_orders(world: World) -> None:
    """Printed with figures that do not belong together: 0.01 BTC at 6805 and leverage 20 bind 3.4025, not 3.3854. The current
    price is the mark's, and an isolated position is liquidated where its margin is used up."""
    client = await following(world, "6805", "7121.97")
    printed = {
        "leaderUserId": "123456789",
        "leaderNickname": "S5",
        "leaderAvatar": "",
        "symbolId": "BTC-SWAP-USDT",
        "isLong": 1,
        "positionType": 1,
        "leverage": "20",
        "openAvgPrice": "6805",
        "markPrice": "7121.97",
        "currentPrice": "7121.97",
        "quantity": "0.01",
        "margin": "3.4025",
        "liquidationPrice": "6464.75",
        "unrealizedProfit": "3.1697",
        "unrealizedProfitRate": "0.9316",
        "stopProfitRate": "",
        "stopLossRate": "",
    }
    answer = (await client.send("GET", "/orders/current")).json()
    assert answer == {"code": 200, "msg": "success", "data": [printed]}
    assert list(answer["data"][0]) == list(printed)


async def test_document_5_history_follow_orders(world: World) -> None:
    client = await following(world, "6805", "7100")
    times = {"opened_ms": 1717200000000, "closed_ms": 1717203600000, "order": 7001, "leverage": 20, "margin_type": 1}
    closed = closing(world, 903, 2, 0, "5.9", "0", price=7100)._replace(initial=2, open_price=D(6805), **times)
    await world.told(flow.on_trades, PositionsClosed.of([closed]))
    past = links(link(3, LinkState.CLOSED, "closed", follower_order=7001))
    await world.told(flow.on_links, past.model_copy(update={"master_login": LEADER, "master_order": 3001}))
    answer = (await client.send("GET", "/orders/history", page=1, size=10)).json()
    listed = answer["data"]["list"]
    printed = {
        "symbolId": "BTC-SWAP-USDT",
        "positionType": 1,
        "leverage": "20",
        "isLong": 1,
        "leaderNickname": "S5",
        "leaderAvatar": "",
        "openTimeMs": "1717200000000",
        "lastCloseTimeMs": "1717203600000",
        "openAvgPrice": "6805",
        "closeAvgPrice": "7100",
        "maxPositionQuantity": "0.02",
        "closedQuantity": "0.02",
        "realizedProfit": "5.9",
        "closeStatus": 2,
    }
    assert (answer["code"], answer["msg"], list(answer["data"])) == (200, "success", ["pages", "total", "list"])
    assert (answer["data"]["pages"], listed[-1], list(listed[-1])) == ("1", printed, list(printed))


async def test_document_5_stops_and_config(world: World) -> None:
    client = await following(world, "6805", "7121.97")
    stops = {
        "leaderUserId": 123456789,
        "symbolId": "BTC-SWAP-USDT",
        "isLong": 1,
        "stopProfitRate": "0.1",
        "stopLossRate": "0.2",
        "stopLossDelay": 30,
    }
    assert (await client.put("/positions/stop-profit-loss", stops)).json() == DONE
    config = {
        "leaderUserId": 123456789,
        "investAmount": "100",
        "singlePlaceAmount": "10",
        "dailyMaxInvestAmount": "50",
        "leverage": "20",
        "maxInvestRate": "0.5",
        "stopProfitRate": "0.1",
        "stopLossRate": "0.2",
        "realInvestAmount": "100",
        "followAmountMode": 1,
        "stopLossDelay": 30,
        "isolatedReservedAmount": "5",
        "followMarginType": 2,
        "followSymbolIds": "BTC-SWAP-USDT,ETH-SWAP-USDT",
        "zeroSlippageSwitch": True,
    }
    assert (await client.put("/config", config)).json()["msg"] == "Data sent for paramter 'leverage' is not valid.", "a copy is open"
    await _closed(world)
    assert (await client.put("/config", config)).json() == DONE
    answer = (await client.send("GET", "/config", leaderUserId=123456789)).json()
    shown = {name: value for name, value in config.items() if name != "realInvestAmount"} | {"leaderUserId": "123456789"}
    assert answer == {"code": 200, "msg": "success", "data": shown}
    assert list(answer["data"]) == list(shown)


async def test_document_5_leaders_and_cancel(world: World) -> None:
    """522.25 invested, less 0.58 that was shared and 0.03 that the open copy has lost: 521.64, of which the copy binds 0.01 * 6780 / 20 =
    3.39."""
    client = await following(world, "6780", "6777")
    await _closed(world)
    config = {"leaderUserId": LEADER, "investAmount": "522.25", "realInvestAmount": "522.25", "singlePlaceAmount": "10", "leverage": "20"}
    more = {"dailyMaxInvestAmount": "0", "maxInvestRate": "1", "stopProfitRate": "0", "stopLossRate": "0", "followAmountMode": 0}
    rest = {"stopLossDelay": 0, "isolatedReservedAmount": "0", "followMarginType": 0, "followSymbolIds": "all", "zeroSlippageSwitch": False}
    assert (await client.put("/config", config | more | rest)).json() == DONE
    ours = links(link(2, follower_order=6001, volume=1, volume_now=1, symbol="BTC-SWAP-USDT"))
    await world.told(flow.on_links, ours.model_copy(update={"master_login": LEADER, "master_order": 2001}))
    shared = SharingRow(1, BOB_LOGIN, LEADER, "USD", D(0), D(0), D("0.58"))
    await world.told(flow.on_rewards, SharingChanged.of([shared]))
    printed = {
        "leaderUserId": "123456789",
        "leaderNickname": "S5",
        "leaderAvatar": "",
        "marginBalance": "521.64",
        "availableMargin": "518.25",
        "unrealisedPnl": "-0.03",
        "realisedProfit": "0",
        "holdingProfitSharing": "0",
        "settledProfitSharing": "0.58",
        "netProfit": "-0.58",
    }
    answer = (await client.send("GET", "/leaders")).json()
    assert answer == {"code": 200, "msg": "success", "data": [printed]}
    assert list(answer["data"][0]) == list(printed)
    await _closed(world)
    world.now += 1
    assert (await client.send("DELETE", "/leaders/123456789")).json() == DONE


async def _closed(world: World) -> None:
    """The copy is closed, as far as links tell."""
    over = links(link(2, LinkState.CLOSED, "closed", follower_order=6001, symbol="BTC-SWAP-USDT"))
    await world.told(flow.on_links, over.model_copy(update={"master_login": LEADER, "master_order": 2001}))
