"""The curve of a master's equity through the real handlers: flows, ruins, gaps and what is no performance."""

import math
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from statistics import mean, stdev

import pytest
from shared.contracts.event import Lost
from shared.contracts.stats import PERIOD_DAYS
from shared.contracts.trades import BalanceRow, BalancesChanged
from sqlalchemy import text
from stats.recompute import recompute

from tests.flow.stats_world import DAY, HOUR, MONDAY, World, open_world

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as made:
        yield made


async def test_twr_vector(world: World) -> None:
    """vectors.json twr: 10 000, +10 %, a deposit of 100 000, -5 %: 105 450; time-weighted 1.1 * 0.95 - 1 = 4.5 %, simple 954.5 %."""
    await world.opened(1, "10000")
    await world.master(1)
    await world.closed(1, "1000")
    await world.paid(1, "100000", 1)
    await world.closed(1, "-5550")
    row = await world.stats(1)
    assert world.equity[1] == 105_450
    assert (row.roi, row.roi_simple, row.pnl) == (Decimal("4.5000"), Decimal("954.5000"), Decimal(-4550))
    assert row.roi_quality == "exact"


async def test_nav_binance_vector(world: World) -> None:
    """vectors.json nav_binance: 500, 400, a deposit of 1000 to 1400, 1550: NAV 1, 0.8, 0.8, 0.885714; return -11.4286 %, fall 20 %."""
    await world.opened(1, "500")
    await world.master(1)
    for step, move in enumerate(("-100", "+1000", "150"), 1):
        world.now = MONDAY + step * DAY
        await (world.paid(1, "1000", 1) if move == "+1000" else world.closed(1, move))
    row = await world.stats(1)
    assert (row.roi, row.max_drawdown) == (Decimal("-11.4286"), Decimal("20.0000"))
    assert row.roi_simple == Decimal("210.0000")


async def test_mdd_withdraw_vector(world: World) -> None:
    """vectors.json mdd_withdraw: half of 10 000 is withdrawn: no drawdown, no loss."""
    await world.opened(1, "10000")
    await world.master(1)
    world.now += DAY
    await world.paid(1, "-5000", 1)
    row = await world.stats(1)
    assert (row.roi, row.max_drawdown, row.roi_simple) == (Decimal(0), Decimal(0), Decimal(-50))


async def test_a_reward_to_the_masters_own_account_is_no_performance(world: World) -> None:
    """10 000, +200 by trading, +1500 of rewards: 2 %, not 17 %."""
    await world.opened(1, "10000")
    await world.master(1)
    await world.closed(1, "200")
    await world.paid(1, "1500", 1, reason="TR_REASON_COPY_REWARD")
    row = await world.stats(1)
    assert (row.roi, row.roi_simple, row.pnl) == (Decimal(2), Decimal(17), Decimal(200))


async def test_the_first_deposit_is_the_base_however_it_is_told(world: World) -> None:
    """An account that begins empty, and one whose opening deposit is told twice (in the account and as an operation)."""
    await world.opened(1, "0")
    await world.opened(2, "1000")
    await world.master(1)
    await world.master(2)
    assert (await world.stats(1)).roi is None
    await world.paid(1, "1000", 1)
    announced = BalanceRow(2, 2, "OP_BALANCE_IN", Decimal(1000), "USD", "", "", "", Decimal(1000), Decimal(1000), Decimal(0))
    await world.trades(BalancesChanged.of([announced], time=world.now))
    for login in (1, 2):
        await world.closed(login, "50")
        row = await world.stats(login)
        assert (row.roi, row.roi_simple) == (Decimal(5), Decimal(5))


async def test_no_laundering_of_a_ruin(world: World) -> None:
    """1000 -> 0, then 5000 paid in and +10 %: the window with the ruin says -100 %, a later one +10 % of the second epoch."""
    await world.opened(1, "1000")
    await world.master(1)
    await world.closed(1, "-1000")
    assert ((await world.stats(1)).roi, (await world.stats(1)).max_drawdown) == (Decimal(-100), Decimal(100))
    world.now += 2 * DAY
    await world.paid(1, "5000", 1)
    await world.closed(1, "500")
    row = await world.stats(1)
    assert (row.roi, row.max_drawdown, (await world.details(1))["epochs"]) == (Decimal(-100), Decimal(100), 2)
    world.now += 6 * DAY  # the 7 days now begin on the third day, with the deposit
    await world.turn()
    row = await world.stats(1, "7D")
    assert (row.roi, row.roi_simple, row.max_drawdown) == (Decimal(10), Decimal(10), Decimal(0))
    assert ((await world.stats(1, "30D")).roi, (await world.details(1, "7D"))["epochs"]) == (Decimal(-100), 2)


@pytest.mark.parametrize("before", [False, True])
async def test_a_deposit_on_the_day_of_a_ruin_launders_no_daily_return(world: World, before: bool) -> None:
    """1000, 24 days of +1 % of it (simple), and on the 13th all is lost and 1000 paid in: that day is -100 %, and Sharpe is the textbook's.

    With `before` the epoch had ended the day before, and another begins and ends on the 13th: the same return, and a day that is none.
    """
    await world.opened(1, "1000")
    await world.master(1)
    equity, returns = 1000.0, []
    for day in range(24):
        world.now = MONDAY + day * DAY + HOUR
        if before and day == 11:
            await world.closed(1, str(-world.equity[1]))
            returns.append(-1.0)
            continue
        if day == 12:
            if before:
                await world.paid(1, "500", 1)
            await world.closed(1, str(-world.equity[1]))
            await world.paid(1, "1000", 2)
            returns.append(-1.0)
            equity = 1000.0
            continue
        await world.closed(1, "10")
        returns.append(10 / equity)
        equity += 10
    await world.turn()
    details = await world.details(1)
    downside = math.sqrt(sum(min(one, 0) ** 2 for one in returns) / len(returns))
    assert details["sharpe_ratio"] == Decimal(str(round(mean(returns) / stdev(returns) * math.sqrt(365), 4)))
    assert details["sortino_ratio"] == Decimal(str(round(mean(returns) / downside * math.sqrt(365), 4)))
    assert (await world.stats(1)).roi == Decimal(-100)


async def test_all_withdrawn_is_no_loss(world: World) -> None:
    """1000, +10 %, all 1100 withdrawn, 200 paid in, +10 %: 1.1 * 1.1 - 1 = 21 %."""
    await world.opened(1, "1000")
    await world.master(1)
    await world.closed(1, "100")
    await world.paid(1, "-1100", 1)
    world.now += DAY
    await world.paid(1, "200", 2)
    await world.closed(1, "20")
    row = await world.stats(1)
    assert (row.roi, row.max_drawdown) == (Decimal(21), Decimal(0))
    assert (await world.details(1))["epochs"] == 1


async def test_days_without_news_are_gaps_only_with_open_positions(world: World) -> None:
    """Nothing open for 3 days: flat days. A position open and nothing told for 4 days: gaps, and the NAV is carried."""
    await world.opened(1, "1000")
    await world.master(1)
    world.now += 3 * DAY
    await world.turn()
    assert (await world.details(1))["gap_days"] == 0
    await world.seen(1, "1050", held=1)
    world.now += 5 * DAY
    await world.turn()
    row = await world.stats(1)
    assert (row.roi, (await world.details(1))["gap_days"]) == (Decimal(5), 5)  # four days without news, and today so far
    await world.seen(1, "1100")
    await world.paid(1, "1", 1)
    assert ((await world.stats(1)).roi, (await world.details(1))["gap_days"]) == (Decimal(10), 4)


async def test_an_equity_that_lost_events_explain_is_no_performance(world: World) -> None:
    """The venue lost what it had told; its snapshot shows 1500 where 1000 was: a hidden flow, the figure is broken, not 50 %."""
    await world.opened(1, "1000")
    await world.opened(2, "1000")
    await world.master(1)
    await world.master(2)
    await world.trades(lost=Lost(5, 9))
    await world.seen(1, "1500")
    await world.seen(2, "1000")
    for login in (1, 2):
        await world.closed(login, "15")
    row = await world.stats(1)
    assert (row.roi, row.roi_quality) == (Decimal(1), "broken")
    assert ((await world.stats(2)).roi, (await world.stats(2)).roi_quality) == (Decimal("1.5"), "exact")


async def test_corrections_are_flows_and_flagged_unless_configured(tmp_path: Path) -> None:
    """1000 + a correction of 100: no return, one flag; as performance 10 %, no flag."""
    for number, (mode, roi, flags) in enumerate((("external", 0, 1), ("performance", 10, 0))):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with open_world(folder, stats_corrections=mode) as world:
            await world.opened(1, "1000")
            await world.master(1)
            await world.paid(1, "100", 1, reason="TR_REASON_CORRECTION")
            assert ((await world.stats(1)).roi, (await world.details(1))["corrections"]) == (Decimal(roi), flags)


async def test_credit_is_not_equity(world: World) -> None:
    """500 of credit on 1000: equity with credit 1500, no return; then +10 % of the 1000."""
    await world.opened(1, "1000")
    await world.master(1)
    row = BalanceRow(1, 1, "OP_CREDIT_IN", Decimal(500), "USD", "", "", "", Decimal(1000), Decimal(1500), Decimal(500))
    await world.trades(BalancesChanged.of([row], time=world.now))
    assert (await world.stats(1)).roi == 0
    await world.closed(1, "100")
    assert (await world.stats(1)).roi == 10


async def test_returns_on_next_to_nothing_do_not_count(tmp_path: Path) -> None:
    """With 5 of equity, below the least base of 10, +100 % is nothing; the day is excluded. With a least base of 1 it is 100 %."""
    for least, roi, excluded in ((10, 0, 1), (1, 100, 0)):
        folder = tmp_path / str(least)
        folder.mkdir()
        async with open_world(folder, stats_min_base=least) as world:
            await world.opened(1, "5")
            await world.master(1)
            await world.closed(1, "5")
            assert ((await world.stats(1)).roi, (await world.details(1))["excluded_days"]) == (Decimal(roi), excluded)


@pytest.mark.parametrize("first", ["seen", "paid"])
async def test_only_days_that_begin_with_next_to_nothing_do_not_count(world: World, first: str) -> None:
    """5 -> 50 on the first day, excluded. The next begins with 50: +20 % counts, whether its first news is equity or a deposit of 40 at 50.
    So does its ruin the day after. A recompute changes nothing."""
    await world.opened(1, "5")
    await world.master(1)
    await world.closed(1, "45")
    assert ((await world.stats(1)).roi, (await world.details(1))["excluded_days"]) == (Decimal(0), 1)
    world.now += DAY
    if first == "paid":
        await world.paid(1, "40", 1)
        await world.closed(1, "18")  # 20 % of 90
    else:
        await world.closed(1, "10")
    await recomputed(world)
    row = await world.stats(1)
    assert (row.roi, (await world.details(1))["excluded_days"]) == (Decimal(20), 1)
    world.now += DAY
    await world.closed(1, str(-world.equity[1]))
    await recomputed(world)
    row = await world.stats(1)
    assert (row.roi, row.max_drawdown, (await world.details(1))["epochs"]) == (Decimal(-100), Decimal(100), 1)


async def recomputed(world: World) -> None:
    """Computes all anew, and tells it if anything has changed."""
    before = await chains(world)
    async with world.store.work() as work:
        await recompute(work, None, world.flow.calendar, world.flow.rules)
    assert await chains(world) == before
    await world.turn()


async def chains(world: World) -> list[tuple[object, ...]]:
    """Where the chains stand, and the snapshots."""
    account = "SELECT login, chain_nav, chain_equity, epoch, alive FROM account ORDER BY login"
    days = "SELECT login, day, nav, epoch, alive FROM day WHERE equity IS NOT NULL ORDER BY login, day"
    async with world.store.read() as session:
        return [tuple(row) for statement in (account, days) for row in await session.execute(text(statement))]


async def test_the_base_is_the_last_snapshot_however_old(world: World) -> None:
    """1000 until a day 400 days ago, then 1500 by trading; +10 % today: 10 % in each window, and the year does not begin at 1000."""
    await world.opened(1, "1000")
    await world.master(1)
    world.now += DAY
    await world.closed(1, "500")
    world.now += 400 * DAY
    await world.closed(1, "150")
    for period in PERIOD_DAYS:
        row = await world.stats(1, period)
        assert (row.roi, row.roi_simple, row.coverage_days, row.trades) == (Decimal(10), Decimal(10), row.period_days, 1)


async def test_sharpe_and_sortino_by_the_days_of_a_year(tmp_path: Path) -> None:
    """28 days from a Monday, +10 on each Wednesday, -4 on each Saturday, of 1000: the textbook by 365 days, and by 252 without weekends."""
    for year in (365, 252):
        folder = tmp_path / str(year)
        folder.mkdir()
        equity, returns = 1000.0, []
        async with open_world(folder, stats_year_days=year) as world:
            await world.opened(1, "1000")
            await world.master(1)
            for day in range(28):
                world.now = MONDAY + day * DAY + HOUR
                net = {2: 10, 5: -4}.get(day % 7, 0)
                if net:
                    await world.closed(1, str(net))
                if year == 365 or day % 7 < 5:
                    returns.append(net / equity)
                equity += net
            await world.turn()
            details = await world.details(1)
        factor = math.sqrt(year)
        assert details["sharpe_ratio"] == Decimal(str(round(mean(returns) / stdev(returns) * factor, 4)))
        if year == 365:
            downside = math.sqrt(sum(min(one, 0) ** 2 for one in returns) / len(returns))
            assert details["sortino_ratio"] == Decimal(str(round(mean(returns) / downside * factor, 4)))
        else:
            assert details["sortino_ratio"] is None  # the losses were at weekends
