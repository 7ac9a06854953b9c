"""The preview of a subscription, and the symbols: figures worked out by hand."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from api import flow
from shared.contracts.trades import ClosedRow, PositionsClosed, PositionsReduced, SymbolRow, SymbolsChanged

from tests.api.world import ALICE, BOB, BOB_LOGIN, EVE, MASTER, MASTER_LOGIN, NOW_MS, World, open_world

pytestmark = pytest.mark.anyio

ZERO = Decimal(0)
DAY_MS = 86_400_000
GBPUSD = SymbolRow("GBPUSD", 5, Decimal(100_000), "GBP", "USD", 100, 1, 1, 10_000, 0, ZERO, ZERO, ZERO, Decimal("1.58"), Decimal("1.5802"))
SETTINGS: dict[str, Any] = {"master_login": MASTER_LOGIN, "follower_login": BOB_LOGIN}


def closing(deal: int, profit: str, commission: str = "-7", volume: int = 100, symbol: str = "GBPUSD") -> ClosedRow:
    """A position of the master's, opened a day before and closed whole."""
    amounts = (Decimal("1.57"), Decimal("1.58"), Decimal(profit), Decimal(commission), ZERO)
    told = ("TR_REASON_CLIENT", "", "", NOW_MS - DAY_MS, NOW_MS)
    return ClosedRow(deal, deal, MASTER_LOGIN, symbol, "buy", volume, volume, 0, *amounts, *told)


async def staged(world: World, **policy: Any) -> None:
    """A master with three closings: +1000 and -400 on a lot of GBPUSD, +50 on ten units of it."""
    wanted = MASTER | ({"reward_policy": policy} if policy else {})
    await world.good(ALICE, "POST", "/copytrade/master", wanted)
    await world.told(flow.on_trades, SymbolsChanged.of([GBPUSD]))
    rows = [closing(1, "1000"), closing(2, "-400"), closing(3, "50", "-0.7", volume=10)]
    await world.told(flow.on_trades, PositionsClosed.of(rows))


async def preview(world: World, **settings: Any) -> Any:
    return await world.good(BOB, "POST", "/copytrade/subscription/preview", SETTINGS | settings)


async def test_a_profit_share_is_taken_of_each_profit_alone(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await staged(world, reward_type=3, fee_percent=20)
        found = await preview(world, risk_multiplier=0.5)
    # Half of each: 496.50, -203.50 and, of ten units, five: 24.65; a fifth of the two profits is 99.30 and 4.93.
    assert [row["volume"] for row in found["rows"]] == [5, 50, 50]
    assert [row["fee"] for row in found["rows"]] == [4.93, 0, 99.3]
    assert [row["net"] for row in found["rows"]] == [19.72, -203.5, 397.2]
    assert (found["profit"], found["costs"], found["fee"], found["net"]) == (325, -7.35, 104.23, 213.42)
    assert (found["currency"], found["trades"], found["copied"], found["skipped"]) == ("USD", 3, 3, 0)


async def test_a_profit_share_is_taken_of_a_position_s_closings_together(tmp_path: Path) -> None:
    """A fifth of +100 and -150 on one position, closed in halves, is nothing; of +300 and -100 on another it is 40, with the newer."""
    async with open_world(tmp_path) as world:
        await staged(world, reward_type=3, fee_percent=20)
        slices = [(11, 5, "100"), (12, 5, "-150"), (13, 6, "300"), (14, 6, "-100")]
        rows = [closing(deal, profit, "0")._replace(order=order, closed=50) for deal, order, profit in slices]
        await world.told(flow.on_trades, PositionsReduced.of(rows))
        found = await preview(world, risk_multiplier=1)
    assert [(row["deal"], row["fee"]) for row in found["rows"]] == [(14, 40), (13, 0), (12, 0), (11, 0), (3, 9.86), (2, 0), (1, 198.6)]
    assert found["fee"] == 248.46


async def test_what_would_be_skipped_says_why_and_costs_nothing(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await staged(world, reward_type=3, fee_percent=20)
        small = await preview(world, risk_multiplier=0.05)
        filtered = await preview(world, symbols_mode=2, symbols="GBPUSD")
    assert [(row["volume"], row["reason"]) for row in small["rows"]] == [(0, "BELOW_MIN"), (5, ""), (5, "")]
    assert (small["copied"], small["skipped"]) == (2, 1)
    assert {row["reason"] for row in filtered["rows"]} == {"SYMBOL_FILTERED"}
    assert (filtered["profit"], filtered["fee"], filtered["net"]) == (0, 0, 0)


async def test_a_performance_fee_is_taken_of_all_together(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await staged(world, reward_type=1, billing_period="monthly", fee_percent=20, hwm_enabled=1)
        found = await preview(world)
    # 650 profit less 14.70 commission is 635.30; a fifth of it.
    assert (found["profit"], found["costs"], found["fee"], found["net"]) == (650, -14.7, 127.06, 508.24)
    assert {row["fee"] for row in found["rows"]} == {0}


async def test_a_rebate_counts_both_sides_and_a_subscription_its_periods(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await staged(world, reward_type=2, billing_period="daily", fee_amount=3)
        # 2.1 lots, opened and closed: 4.2 x 3
        assert (await preview(world))["fee"] == 12.6
        master = (await world.good(ALICE, "GET", "/copytrade/my"))["masters"][0]
        monthly = {"reward_type": 0, "billing_period": "monthly", "fee_amount": 25}
        await world.good(ALICE, "PUT", f"/copytrade/master/{master['id']}", {"reward_policy": monthly})
        assert (await preview(world))["fee"] == 25, "a day is one begun month"
        yearly = {"reward_type": 4, "billing_period": "monthly", "fee_percent": 3.65}
        await world.good(ALICE, "PUT", f"/copytrade/master/{master['id']}", {"reward_policy": yearly})
        assert (await preview(world))["fee"] == 1, "10,000 x 3.65 % x 1/365"


async def test_by_equity_the_volume_follows_the_two_accounts(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await staged(world)
        # Both have 10,000: half of the account, in reverse.
        found = await preview(world, volume_mode=2, allocation_percent=50, reverse_direction=1)
    assert [row["volume"] for row in found["rows"]] == [5, 50, 50]
    assert [row["profit"] for row in found["rows"]] == [-25, 200, -500]


async def test_hidden_trades_stay_hidden_and_strangers_accounts_strange(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await staged(world)
        master = (await world.good(ALICE, "GET", "/copytrade/my"))["masters"][0]
        await world.good(ALICE, "PUT", f"/copytrade/master/{master['id']}", {"show_trade_history": 0})
        found = await preview(world)
        assert (found["rows"], found["trades"], found["profit"]) == ([], 3, 650)
        assert (await world.call(EVE, "POST", "/copytrade/subscription/preview", SETTINGS)).json()["error"] == "INVALID_ACCOUNT"
        nobody = SETTINGS | {"master_login": BOB_LOGIN}
        assert (await world.call(BOB, "POST", "/copytrade/subscription/preview", nobody)).json()["error"] == "MASTER_NOT_FOUND"
        assert (await world.good(BOB, "GET", "/copytrade/subscriptions"))["count"] == 0, "nothing was written"


async def test_symbols_say_how_prices_and_volumes_are_written(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await world.told(flow.on_trades, SymbolsChanged.of([GBPUSD]))
        [row] = (await world.good(BOB, "GET", "/copytrade/symbols"))["rows"]
    assert (row["symbol"], row["digits"], row["volume_per_lot"], row["bid"]) == ("GBPUSD", 5, 100, 1.58)
