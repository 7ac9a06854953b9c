"""The leader's endpoints of the signed OpenAPI: its trading, its followers, its earnings, and every rule of its settings."""

import json
from decimal import Decimal
from typing import Any

import pytest
from api import flow
from api.read_models import Symbol
from shared.contracts.links import LinkState
from shared.contracts.rewards import AccrualRow, AccrualsChanged, AccrualState
from shared.contracts.stats import StatsChanged
from shared.contracts.trades import ClosedRow, OpenedRow, PositionsClosed, PositionsOpened, SymbolRow, SymbolsChanged

from tests.api.signed import LEADER, Client, client_of, following, trade
from tests.api.told import link, links, stats
from tests.api.world import ALICE, BOB, BOB_LOGIN, EVE, MASTER, MASTER_LOGIN, World, open_world

pytestmark = pytest.mark.anyio

D = Decimal
DAY_MS = 86_400_000
SHARE = {"reward_type": 3, "fee_percent": 10, "netting": "weekly"}
CONFIG: dict[str, Any] = {
    "unLeadType": 0,
    "leadPositionType": -1,
    "tradeProtect": 0,
    "profitPeriod": 7,
    "profitRate": "0.1",
    "followAssetLowerLimit": "100",
    "fixedAmountFollowMin": "10",
    "fixedRateFollowMin": "10",
    "isNeedInvite": 0,
    "inviteScope": 2,
    "symbolIds": ["BTC-SWAP-USDT", "ETH-SWAP-USDT"],
}


async def leading(world: World) -> tuple[Client, Client]:
    """Alice leads, for a tenth of profits, what Bob copies; BTC and ETH are traded. Her client and Bob's."""
    bob = await following(world)
    await world.good(ALICE, "PUT", "/copytrade/master/1", {"reward_policy": SHARE})
    await trade(world)
    async with world.store.read() as session:
        btc = await session.get_one(Symbol, "BTC-SWAP-USDT")
    values = {name: getattr(btc, name, 0) for name in SymbolRow._fields} | {"symbol": "ETH-SWAP-USDT", "base_currency": "ETH"}
    await world.told(flow.on_trades, SymbolsChanged.of([SymbolRow(**values)]))
    alice = await client_of(world, ALICE, MASTER_LOGIN)
    alice.base = LEADER
    return alice, bob


async def opens(world: World, order: int = 1001, **more: Any) -> None:
    """Alice opens 50 units (0.5 BTC) long at 6800; the bid is 7100."""
    row = OpenedRow(
        *(order, MASTER_LOGIN, "BTC-SWAP-USDT", "buy", 50, D(6800), D(0), D(0), "", "TR_REASON_CLIENT", D(0), D(0), D(0), D(0), world.now),
    )
    await world.told(flow.on_trades, PositionsOpened.of([row._replace(**more)]))


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


async def test_the_leaders_settings(world: World) -> None:
    alice, bob = await leading(world)
    shown = await alice.data("GET", "/config")
    assert shown == {
        "unLeadType": 0,
        "unLeadStartTime": "0",
        "unLeadEndTime": "0",
        "leadPositionType": -1,
        "tradeProtect": 0,
        "profitPeriod": 7,
        "profitRate": "0.1",
        "followAssetLowerLimit": "10",
        "fixedAmountFollowMin": "5",
        "fixedRateFollowMin": "10",
        "isNeedInvite": 0,
        "inviteScope": 0,
        "symbolIds": ["BTC-SWAP-USDT", "ETH-SWAP-USDT"],
        "recommendShare": 0,
        "recommendShareRate": "0",
        "inviteCode": "",
    }
    example = CONFIG | {
        "unLeadType": 1,
        "unLeadStartTime": 1717200000000,
        "unLeadEndTime": 1717286400000,
        "leadPositionType": 0,
        "tradeProtect": 1,
        "profitRate": "0.2",
        "profitPeriod": 1,
        "isNeedInvite": 1,
        "recommendShare": 1,
        "recommendShareRate": "0.2",
        "inviteCode": "LEADER2026",
        "symbolIds": ["BTC-SWAP-USDT"],
    }
    assert (await alice.put("/config", example)).json() == {"code": 200, "msg": "success", "data": None}
    told = [event for event in await world.config_events() if event["type"] in {"master.saved", "policy.saved"}][-2:]
    master, policy = told[0]["master"], told[1]["policy"]
    kept = ("visibility", "show_trade_history", "lead_symbols", "lead_margin_type", "unlead_from_ms", "unlead_to_ms")
    assert [master[name] for name in kept] == ["private", 0, "BTC-SWAP-USDT", 0, 1717200000000, 1717286400000]
    assert (D(policy["fee_percent"]), policy["netting"], policy["reward_type"]) == (20, "daily", 3)
    times = {"unLeadStartTime": "1717200000000", "unLeadEndTime": "1717286400000"}
    assert await alice.data("GET", "/config") == example | times
    assert [one["isLead"] for one in await alice.data("GET", "/symbols")] == [1, 0]
    # The code admits to a private master; without it nobody is. Bob's config has to come up to the new minimums.
    await world.open_account(300001, EVE)
    await world.good(EVE, "POST", "/copytrade/follower", {"login": 300001})
    wanted = {"master_login": MASTER_LOGIN, "follower_login": 300001}
    for code, status in (("", 403), ("LEADER2025", 403), ("LEADER2026", 200)):
        assert (await world.call(EVE, "POST", "/copytrade/subscription", wanted | {"invite_code": code})).status_code == status
    assert (await bob.refused("/config", FOLLOW | {"investAmount": "99"}))[0] == -1130
    assert (await bob.put("/config", FOLLOW)).json()["code"] == 200


FOLLOW = {
    "leaderUserId": MASTER_LOGIN,
    "investAmount": "100",
    "singlePlaceAmount": "10",
    "dailyMaxInvestAmount": "0",
    "leverage": "0",
    "maxInvestRate": "1",
    "stopProfitRate": "0",
    "stopLossRate": "0",
    "realInvestAmount": "100",
    "followAmountMode": 0,
    "stopLossDelay": 0,
    "isolatedReservedAmount": "0",
    "followMarginType": 0,
    "followSymbolIds": "all",
    "zeroSlippageSwitch": False,
}
MANDATORY = tuple(CONFIG)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        *(({name: None}, -1102) for name in MANDATORY),
        ({"unLeadType": 2}, -1130),
        ({"profitPeriod": 2}, -1130),
        ({"leadPositionType": 2}, -1130),
        ({"symbolIds": []}, -1130),
        ({"symbolIds": ["XRP-SWAP-USDT"]}, -1130),
        ({"symbolIds": [1]}, -1102),
        ({"recommendShare": 1}, -1130),
        ({"recommendShare": 1, "recommendShareRate": "1.1"}, -1130),
        ({"unLeadType": 1}, -120078),
        ({"unLeadType": 1, "unLeadStartTime": 9, "unLeadEndTime": 8}, -120078),
        ({"profitRate": "0.31"}, -120072),
        ({"profitRate": "0"}, -120072),
        ({"profitRate": "1.1"}, -1130),
        ({"profitRate": "0.51", "isNeedInvite": 1}, -120072),
        ({"followAssetLowerLimit": "9.99"}, -120072),
        ({"fixedAmountFollowMin": "4.99"}, -120072),
        ({"fixedRateFollowMin": "9.99"}, -120072),
        ({"isNeedInvite": 1, "inviteCode": "short"}, -120512),
        ({"isNeedInvite": 1, "inviteCode": "ADMIN123"}, -120511),
        ({"isNeedInvite": 1, "inviteCode": "TAKEN123"}, -120510),
        ({"isNeedInvite": 0, "inviteCode": "short"}, 200),
        ({"symbolIds": "BTC-SWAP-USDT,ETH-SWAP-USDT"}, 200),
    ],
)
async def test_every_rule_of_the_leaders_settings(rules_world: Client, changed: dict[str, Any], code: int) -> None:
    assert (await rules_world.put("/config", CONFIG | changed)).json()["code"] == code


@pytest.fixture(scope="module")
async def rules_world(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    async with open_world(tmp_path_factory.mktemp("leads")) as opened:
        alice, bob = await leading(opened)
        await opened.good(BOB, "POST", "/copytrade/master", MASTER | {"login": BOB_LOGIN, "reward_policy": SHARE})
        bob.base = LEADER
        assert (await bob.put("/config", CONFIG | {"isNeedInvite": 1, "inviteCode": "TAKEN123"})).json()["code"] == 200
        yield alice


async def test_what_is_held_has_to_be_led(world: World) -> None:
    alice, _ = await leading(world)
    await opens(world, margin_type=1)
    assert await alice.refused("/config", CONFIG | {"symbolIds": ["ETH-SWAP-USDT"]}) == (-32090, "Trading pair change is not allowed.")
    position_type = (-32093, "Copy trading position type cannot be changed.")
    assert await alice.refused("/config", CONFIG | {"leadPositionType": 0}) == position_type
    assert (await alice.put("/config", CONFIG | {"leadPositionType": 1, "symbolIds": ["BTC-SWAP-USDT"]})).json()["code"] == 200


async def test_a_share_that_only_private_leaders_may_ask_for(world: World) -> None:
    alice, _ = await leading(world)
    assert (await alice.put("/config", CONFIG | {"isNeedInvite": 1, "profitRate": "0.4"})).json()["code"] == 200
    assert await alice.refused("/config", CONFIG | {"profitRate": "0.4"}) == (-120073, "Unable to switch invite setting.")


async def test_another_kind_of_reward_is_not_changed_here(world: World) -> None:
    """Alice's first policy is a performance fee of 20 %: it is shown, and stays."""
    await following(world)
    await trade(world)
    alice = await client_of(world, ALICE, MASTER_LOGIN)
    alice.base = LEADER
    only = CONFIG | {"symbolIds": ["BTC-SWAP-USDT"]}
    assert (await alice.data("GET", "/config"))["profitRate"] == "0.2"
    assert (await alice.refused("/config", only))[0] == -120072
    assert (await alice.put("/config", only | {"profitRate": "0.2"})).json()["code"] == 200


async def test_settings_of_the_shares_and_words(tmp_path_factory: pytest.TempPathFactory) -> None:
    told = {"openapi_profit_rate_max": "0.05", "openapi_private_profit_rate_max": "0.2", "openapi_words_refused": ["leader"]}
    async with open_world(tmp_path_factory.mktemp("shares"), **told) as world:
        alice, _ = await leading(world)
        assert (await alice.refused("/config", CONFIG))[0] == -120072
        private = CONFIG | {"isNeedInvite": 1}
        assert (await alice.refused("/config", private | {"inviteCode": "MYLEADER1"}))[0] == -120511
        assert (await alice.put("/config", private | {"inviteCode": "ADMIN123"})).json()["code"] == 200


async def test_writes_have_a_limit_of_their_own_and_may_need_a_list_of_addresses(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with open_world(tmp_path_factory.mktemp("writes"), openapi_write_rate_limit="2/minute", openapi_require_ip_list=True) as world:
        bob = await following(world)
        answers = [await bob.put("/config", FOLLOW) for _ in range(3)]
        assert [answer.json()["code"] for answer in answers] == [-1023, -1023, -1015]
        assert (answers[2].status_code, int(answers[2].headers["Retry-After"]) > 0) == (429, True)
        assert await bob.code("GET", "/leaders") == 200
        listed = await client_of(world, ips="127.0.0.1")
        await trade(world)
        await world.told(flow.on_links, links(link(1, LinkState.CLOSED, "closed")))
        assert (await listed.put("/config", FOLLOW)).json()["code"] == 200
        odd = Client(world, "-" * 64, bob.secret)
        assert (await odd.send("GET", "/leaders")).json()["code"] == -2014
