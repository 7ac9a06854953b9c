"""The lists of the client REST door: specification 4, trade links and rewards, and how amounts are answered."""

import json
import re
from decimal import Decimal
from typing import Any

import pytest
from api import flow
from shared.contracts.links import LinkState
from shared.contracts.rewards import AccrualRow, AccrualsChanged, AccrualState
from shared.contracts.stats import StatsChanged
from shared.contracts.trades import ClosedRow, PositionsClosed

from tests.api.told import link, links, refused, stats
from tests.api.world import ALICE, BOB, BOB_LOGIN, EVE, FOLLOWER_LOGIN, MASTER, MASTER_LOGIN, NOW_MS, SUBSCRIPTION, World

pytestmark = pytest.mark.anyio


async def test_spec_4_masters(world: World) -> None:
    await world.pair()
    new = (await world.good(EVE, "GET", "/copytrade/masters"))["rows"][0]
    assert new["stats"]["pnl_history"] == [0] * 30
    assert {
        key: new["stats"][key] for key in ("period", "period_days", "roi", "pnl", "win_rate", "max_drawdown", "avg_pnl_per_trade", "trades")
    } == {
        "period": "30D",
        "period_days": 30,
        "roi": None,
        "pnl": 0,
        "win_rate": None,
        "max_drawdown": None,
        "avg_pnl_per_trade": None,
        "trades": 0,
    }
    await world.told(flow.on_stats, StatsChanged.of([stats("90D", 90), stats("7D", 7, roi=Decimal(1))]))
    example = {
        "stats_period": "90D",
        "where": [["stats.roi", ">=", 5], ["stats.win_rate", ">=", 55], ["stats.trades", ">=", 10], ["stats.max_drawdown", "<=", 20]],
        "orderBy": [["stats.pnl", "desc"]],
        "limit": 50,
        "offset": 0,
    }
    by_body = await world.good(EVE, "GET", "/copytrade/masters", example)
    assert by_body["count"] == 1
    row = by_body["rows"][0]
    assert list(row)[:12] == [
        *("id", "login", "enabled", "strategy_name", "description", "visibility", "allowed_follower_modes"),
        *("show_trade_history", "show_followers", "created_time", "updated_time", "version"),
    ]
    assert (row["stats"]["roi"], row["stats"]["pnl"], row["stats"]["trades"], row["stats"]["pnl_history"][-1]) == (8.42, 1240.5, 26, 120.5)
    assert "customer_id" not in row
    assert await world.good(EVE, "POST", "/copytrade/masters/search", example) == by_body
    query = {"period": "90D", "where": '[["roi", ">=", 5]]', "orderBy": '["pnl", "DESC"]', "limit": "50"}
    assert (await world.good(EVE, "GET", "/copytrade/masters", params=query))["rows"] == by_body["rows"]
    assert (await world.good(EVE, "GET", '/copytrade/masters?stats_period=7D&where=[["roi",">=",5]]'))["rows"] == []


async def test_masters_are_filtered_and_sorted_by_what_followers_got(world: World) -> None:
    """Copy success 92.5 %, 40 ms, 12 points of slippage; a figure that is not defined matches nothing; a huge one is still a number."""
    await world.pair()
    details = (
        '{"copy_success":92.5,"copy_latency_p95":40,"slippage_points":12.0000,"tracking_error":null,"profit_factor":123456789012345.5}'
    )
    await world.told(flow.on_stats, StatsChanged.of([stats("30D", 30, details=details)]))
    for where, found in (
        ([["stats.copy_success", ">=", 90], ["stats.copy_latency_p95", "<=", 50]], 1),
        ([["copy_success", ">=", 93]], 0),
        ([["stats.slippage_points", "=", 12], ["roi_simple", ">", 8]], 1),
        ([["stats.tracking_error", "<=", 100]], 0),
        ([["stats.profit_factor", ">", 1000]], 1),
    ):
        query = {"where": where, "orderBy": [["stats.copy_success", "desc"], ["stats.slippage_bps", "asc"]]}
        assert (await world.good(EVE, "POST", "/copytrade/masters/search", query))["count"] == found, where
    [row] = (await world.good(EVE, "GET", "/copytrade/masters"))["rows"]
    assert (row["stats"]["copy_success"], row["stats"]["copy_latency_p95"], row["stats"]["tracking_error"]) == (92.5, 40, None)


async def test_masters_seen_are_public_and_enabled_or_own(world: World) -> None:
    await world.pair()
    await world.good(ALICE, "POST", "/copytrade/master", MASTER | {"login": FOLLOWER_LOGIN, "visibility": "private"})
    await world.good(BOB, "POST", "/copytrade/master", MASTER | {"login": BOB_LOGIN, "enabled": 0})
    seen = {who: [row["login"] for row in (await world.good(who, "GET", "/copytrade/masters"))["rows"]] for who in (ALICE, BOB, EVE)}
    assert seen == {ALICE: [MASTER_LOGIN, FOLLOWER_LOGIN], BOB: [MASTER_LOGIN, BOB_LOGIN], EVE: [MASTER_LOGIN]}
    page = await world.good(ALICE, "GET", "/copytrade/masters?limit=1&offset=1")
    assert (len(page["rows"]), page["count"]) == (1, 2)
    beyond = await world.good(ALICE, "GET", "/copytrade/masters?limit=1&offset=5")
    assert (beyond["rows"], beyond["count"]) == ([], 2)


@pytest.mark.parametrize(
    "query",
    [
        *(
            "limit=0",
            "limit=501",
            "limit=abc",
            "offset=-1",
            "offset=1e3",
            "stats_period=1Y",
            "nonsense=1",
            "limit=1&limit=2",
            "customer_id=7",
        ),
        *('where=[["customer_id","=",7]]', 'where=[["id","~",7]]', 'where=[["id"]]', "where=7", 'where=[["id","=","x"]]', "where=nonsense"),
        *('where=[["id","=","--5"]]', 'where=[["id","=","-"]]', 'where=[["id","=","5_0"]]', "id=5.0"),
        *('where=[["roi","=",NaN]]', 'where=[["strategy_name","=",5]]', 'where=[["id","like","1"]]', 'orderBy=[["password","asc"]]'),
        *('orderBy=[["id","up"]]', 'whereIn=[["id",7]]', 'whereBetween=[["id",[1]]]', 'where=[["id","=",1e400]]'),
    ],
)
async def test_bad_filters(world: World, query: str) -> None:
    await refused(world, 400, "INVALID_DATA", ALICE, "GET", f"/copytrade/masters?{query}")


async def test_trade_links_show_copies_and_skips_to_both_sides(world: World) -> None:
    await world.pair()
    await world.told(
        flow.on_links, links(link(1, inputs='{"equity":"10000"}'), link(2, LinkState.CANCELLED, "skipped", "BELOW_MIN", follower_order=0))
    )
    await world.told(flow.on_links, links(link(1, LinkState.CLOSED, "closed", "MASTER_CLOSED", volume_now=0)))
    table = await world.good(BOB, "GET", "/copytrade/trade-links")
    assert table["structure"][:9] == [
        *(
            "id",
            "subscription_id",
            "master_login",
            "follower_login",
            "master_order",
            "follower_order",
            "state",
            "created_time",
            "updated_time",
        )
    ]
    assert table["rows"][0][:9] == [1, 1, MASTER_LOGIN, BOB_LOGIN, 1001, 5001, 1, 1778160000, 1778160000]
    found = await world.good(ALICE, "GET", "/copytrade/trade-links?format=objects&state=3")
    assert (found["count"], found["rows"][0]["reason"], found["rows"][0]["price"]) == (1, "BELOW_MIN", 1.58013)
    assert await world.good(EVE, "GET", "/copytrade/trade-links") == {"structure": table["structure"], "rows": [], "count": 0}
    managers = await world.good(
        "SESSION_MANAGER", "POST", "/manager/MngGetCopyTradeLinksByFilter", {"limit": 10, "offset": 0, "where": [["id", "=", 1]]}
    )
    assert (managers["structure"], managers["rows"]) == (table["structure"], [table["rows"][0]])


async def test_rewards(world: World) -> None:
    accrual = AccrualRow(
        *(
            31,
            1,
            MASTER_LOGIN,
            BOB_LOGIN,
            3,
            NOW_MS - 60_000,
            NOW_MS,
            Decimal("25.123456789123"),
            Decimal("5.02"),
            "USD",
            AccrualState.FAILED,
        ),
        *(NOW_MS, NOW_MS, MASTER_LOGIN, Decimal("5.02"), "USD", 1, 1, 5001, 0, 0, "NOT_ENOUGH_MONEY", "profit_share_per_trade", "{}"),
    )
    await world.told(flow.on_rewards, AccrualsChanged.of([accrual]))
    await world.told(flow.on_rewards, AccrualsChanged.of([accrual._replace(state=AccrualState.PAID, reason="", payout_order=78)]))
    for who in (ALICE, BOB):
        found = await world.good(who, "GET", "/copytrade/rewards?format=objects")
        assert found["count"] == 1
        row = found["rows"][0]
        assert (row["period_from"], row["base_amount"], row["fee_amount"], row["state"]) == (1778159940, 25.12345679, 5.02, 2)
        assert (row["payout_order"], row["failure_reason"]) == (78, "")
    assert (await world.good(EVE, "GET", "/copytrade/rewards"))["count"] == 0


LISTED = (
    *("masters", "my", "subscriptions", "trade-links", "trade-links?format=objects", "rewards", "rewards?format=objects"),
    *("subscription/1/history", "master/stats?login=100001", "master/trades?login=100001", "master/followers?login=100001", "halts"),
)


def texts(value: Any) -> list[str]:
    """Every text in an answer."""
    if isinstance(value, dict):
        return [text for part in value.values() for text in texts(part)]
    return [text for part in value for text in texts(part)] if isinstance(value, list) else [value] * isinstance(value, str)


async def test_amounts_are_json_numbers_without_their_scale(world: World) -> None:
    """11100 is answered as 11100 and 0.5 as 0.5, wherever it comes from: not as "11100.00000000", not as 11100.0."""
    await world.pair()
    await world.good(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION | {"risk_multiplier": 0.5})
    await world.good(BOB, "PUT", "/copytrade/subscription/1", {"daily_loss_percent": 12.5})
    charged = (Decimal("11100.00000000"), Decimal("2220.00"), "USD", AccrualState.PAID, NOW_MS, NOW_MS, MASTER_LOGIN, Decimal("2220.00"))
    row = AccrualRow(31, 1, MASTER_LOGIN, BOB_LOGIN, 3, 0, NOW_MS, *charged, "USD", 1, 1, 1, 1, 1, "", "profit_share/1", "{}")
    await world.told(flow.on_rewards, AccrualsChanged.of([row]))
    await world.told(flow.on_links, links(link(1, price=Decimal("11100.00000000"), sl=Decimal("11000.50000000"))))
    await world.told(flow.on_stats, StatsChanged.of([stats("30D", 30, pnl=Decimal("11100.00000000"))]))
    amounts = (Decimal("1.50000"), Decimal("1.60000"), Decimal("100.50"), Decimal("-1.00"), Decimal(0))
    told = ("TR_REASON_CLIENT", "", "", 1000, 2000)
    deal = ClosedRow(1, 2, MASTER_LOGIN, "GBPUSD", "buy", 40, 40, 0, *amounts, *told)
    await world.told(flow.on_trades, PositionsClosed.of([deal]))
    answers = {path: (await world.call(BOB, "GET", f"/copytrade/{path}")).text for path in LISTED}
    for path, answer in answers.items():
        assert [text for text in texts(json.loads(answer)) if re.fullmatch(r"-?\d+\.\d+", text)] == [], path
        assert not re.search(r"\d\.0+[,}\]]", answer), path
    for path in ("trade-links", "rewards", "masters"):
        assert re.search(r"[:,]11100[,}\]]", answers[path]), path
    assert ",11000.5," in answers["trade-links"]
    assert ",100.5," in answers["master/trades?login=100001"]
    assert [row["settings"]["risk_multiplier"] for row in json.loads(answers["subscription/1/history"])["rows"]] == [0.5, 0.5]
    assert json.loads(answers["subscription/1/history"])["rows"][1]["settings"]["daily_loss_percent"] == 12.5
