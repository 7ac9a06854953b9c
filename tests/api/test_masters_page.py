"""What a master's page shows, and to whom."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from api import flow
from shared.contracts.stats import StatsChanged
from shared.contracts.trades import ClosedRow, PositionsClosed

from tests.api.routes import MNG
from tests.api.told import stats
from tests.api.world import ALICE, BOB, BOB_LOGIN, EVE, FOLLOWER_LOGIN, MASTER_LOGIN, SUBSCRIPTION, World, open_world

pytestmark = pytest.mark.anyio


async def test_a_masters_page(world: World) -> None:

    await world.pair()
    await world.good(MNG, "POST", "/manager/MngCreateCustomer", {"id": BOB, "email": "bob@example.com", "password": "correct horse"})
    await world.good(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION)
    details = '{"sharpe_ratio":1.25,"weekly_trades":6.1,"followers":3,"profit_per_symbol":{"GBPUSD":12.5}}'
    await world.told(flow.on_stats, StatsChanged.of([stats("7D", 7, details=details)]))
    closed = ClosedRow(
        *(
            501,
            901,
            MASTER_LOGIN,
            "GBPUSD",
            "buy",
            100,
            100,
            0,
            Decimal("1.58"),
            Decimal("1.59"),
            Decimal("1000"),
            Decimal("-7"),
            Decimal("-1.5"),
        ),
        *("TR_REASON_CLIENT", "a", "b", world.now - 60_000, world.now),
    )
    await world.told(flow.on_trades, PositionsClosed.of([closed]))
    seen = await world.good(EVE, "GET", f"/copytrade/master/stats?login={MASTER_LOGIN}&period=7D")
    assert (seen["followers"], seen["sharp_ratio"], seen["weekly_trades"], seen["profit_per_symbol"]) == (3, 1.25, 6.1, {"GBPUSD": 12.5})
    # NOW is 2026-05-07 13:20 UTC: the curve's last day begins at 1778112000, the first six days before.
    assert (seen["pnl_history"][0]["time"], seen["pnl_history"][-1]) == (1778112000 - 6 * 86400, {"time": 1778112000, "pnl": 120.5})
    trades = await world.good(EVE, "GET", f"/copytrade/master/trades?login={MASTER_LOGIN}&format=objects&symbol=GBPUSD")
    assert trades["rows"] == [
        {
            "order": 501,
            "deal": 901,
            "symbol": "GBPUSD",
            "side": "buy",
            "volume": 100,
            "volume_initial": 100,
            "volume_left": 0,
            "open_price": 1.58,
            "close_price": 1.59,
            "open_time": world.now // 1000 - 60,
            "close_time": world.now // 1000,
            "profit": 1000,
            "commission": -7,
            "storage": -1.5,
            "reason": "TR_REASON_CLIENT",
        }
    ]
    followers = await world.good(EVE, "GET", f"/copytrade/master/followers?login={MASTER_LOGIN}")
    assert followers["rows"] == [{"follower_login": BOB_LOGIN, "email": "b***@example.com", "status": 0, "created_time": 1778160000}]
    await world.good(ALICE, "PUT", "/copytrade/master/1", {"show_trade_history": 0, "show_followers": 0})
    for page in ("trades", "followers"):
        answer = await world.call(EVE, "GET", f"/copytrade/master/{page}?login={MASTER_LOGIN}")
        assert (answer.status_code, answer.json()["error"]) == (403, "PERMISSION_DENIED")
        await world.good(ALICE, "GET", f"/copytrade/master/{page}?login={MASTER_LOGIN}")
    assert (await world.call(EVE, "GET", "/copytrade/master/stats?login=5")).json()["error"] == "MASTER_NOT_FOUND"


async def test_a_masters_followers_come_in_pages(world: World) -> None:
    """`count` is how many there are on all pages; what the list does not know is refused, as on the other lists."""
    await world.pair()
    await world.good(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION)
    await world.good(ALICE, "POST", "/copytrade/follower", {"login": FOLLOWER_LOGIN})
    await world.good(ALICE, "POST", "/copytrade/subscription", SUBSCRIPTION | {"follower_login": FOLLOWER_LOGIN})
    path = f"/copytrade/master/followers?login={MASTER_LOGIN}"
    pages = [await world.good(EVE, "GET", f"{path}&limit=1&offset={offset}") for offset in range(3)]
    found = [([row["follower_login"] for row in page["rows"]], page["count"]) for page in pages]
    assert found == [([BOB_LOGIN], 2), ([FOLLOWER_LOGIN], 2), ([], 2)]
    assert (await world.call(EVE, "GET", f"{path}&nonsense=1")).status_code == 400


async def test_the_curve_s_days_are_the_broker_s(tmp_path: Path) -> None:
    """NOW is 13:20 UTC on the 7th of May, in Auckland (UTC+12, until the 5th of April UTC+13) 01:20 on the 8th: the last day began at 12:00
    UTC on the 7th, the first of 90 at 11:00 UTC on the 7th of February, as its 8th began there."""
    async with open_world(tmp_path, broker_timezone="Pacific/Auckland") as world:
        await world.pair()
        await world.told(flow.on_stats, StatsChanged.of([stats("90D", 90)]))
        seen = await world.good(EVE, "GET", f"/copytrade/master/stats?login={MASTER_LOGIN}&period=90D")
    times = [point["time"] for point in seen["pnl_history"]]
    told = [datetime.fromtimestamp(time, UTC).isoformat()[:16] for time in (times[0], times[-1])]
    assert (len(times), told) == (90, ["2026-02-07T11:00", "2026-05-07T12:00"])
