"""The stats service's handlers on a real store: what a venue tells becomes what the marketplace shows."""

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from shared.contracts import config, stats, trades
from shared.contracts.config import Master, MasterDeleted, MasterSaved
from shared.contracts.stats import PERIOD_DAYS
from shared.contracts.trades import AccountsChanged, AccountsOpened, BalanceRow, BalancesChanged, PositionsClosed
from shared.store import outbox
from stats.settings import StatsSettings
from stats.tell import snapshot
from stats.wiring import parts

from tests.flow.stats_world import DAY, HOUR, MONDAY, World, account, closing, open_world
from tests.loopback import Loopback

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as made:
        yield made


async def test_the_specifications_example(world: World) -> None:
    """Days with 20, 12, nothing and -5: 20, 32, 32, 27 (specification 4; vectors.json pnl_history_seed)."""
    await world.opened(1, "1000")
    await world.master(1)
    for offset, net in enumerate(("20", "12", None, "-5")):
        world.now = MONDAY + offset * DAY + 10 * HOUR
        if net:
            await world.closed(1, net)
    week = await world.stats(1, "7D")
    assert week.pnl_history == tuple(map(Decimal, ("0", "0", "0", "20", "32", "32", "27")))
    assert {row.period: len(row.pnl_history) for row in (await world.events())[-1]} == PERIOD_DAYS
    assert (week.pnl, week.trades, week.currency) == (Decimal(27), 3, "USD")
    assert week.win_rate == Decimal("66.6667")  # 2 of 3
    assert week.avg_pnl_per_trade == Decimal(9)  # 27 / 3
    assert week.roi == week.roi_simple == Decimal("2.7000")  # 1027 / 1000
    assert week.max_drawdown == Decimal("0.4845")  # 1032 -> 1027: 5 / 1032 = 0.484496 %
    assert (week.coverage_days, week.roi_quality) == (4, "exact")


async def test_a_master_without_trades_has_no_rates(world: World) -> None:
    await world.opened(1, "1000")
    await world.master(1)
    row = await world.stats(1)
    assert (row.trades, row.pnl, row.win_rate, row.avg_pnl_per_trade) == (0, Decimal(0), None, None)
    assert (row.roi, row.max_drawdown) == (Decimal(0), Decimal(0))
    assert row.pnl_history == (Decimal(0),) * 30


async def test_slices_are_one_trade(world: World) -> None:
    """+100 and -150 on one position: one losing trade of -50, told on the days that the slices closed."""
    await world.opened(1, "1000")
    await world.master(1)
    await world.closed(1, "100", order=7, left=50)
    half = await world.stats(1, "7D")
    assert (half.trades, half.pnl, half.win_rate) == (0, Decimal(100), None)
    world.now += DAY
    await world.closed(1, "-150", order=7, closed=50)
    row = await world.stats(1, "7D")
    assert (row.trades, row.pnl, row.win_rate, row.avg_pnl_per_trade) == (1, Decimal(-50), Decimal(0), Decimal(-50))
    assert row.pnl_history[-2:] == (Decimal(100), Decimal(-50))


async def test_net_zero_is_no_win_and_costs_count(world: World) -> None:
    """Profit 10, commission -7, swap -3: net 0, no win. Profit 10, commission -7: net 3, a win."""
    await world.opened(1, "1000")
    await world.master(1)
    await world.closed(1, "0", profit=Decimal(10), commission=Decimal(-7), swap=Decimal(-3))
    assert (await world.stats(1)).win_rate == 0
    await world.closed(1, "3", profit=Decimal(10), commission=Decimal(-7))
    row = await world.stats(1)
    assert (row.win_rate, row.pnl, row.avg_pnl_per_trade) == (Decimal(50), Decimal(3), Decimal("1.50"))


async def test_a_deal_told_twice_counts_once(world: World) -> None:
    await world.opened(1, "1000")
    await world.master(1)
    row = await world.closed(1, "20")
    told = len(await world.events())
    await world.trades(PositionsClosed.of([row], time=world.now))
    assert (await world.stats(1)).trades == 1
    assert len(await world.events()) == told  # nothing new, nothing told
    await world.paid(1, "500", 3)
    again = BalanceRow(3, 1, "OP_BALANCE_IN", Decimal(500), "USD", "", "", "", Decimal(1520), Decimal(1520), Decimal(0))
    await world.trades(BalancesChanged.of([again], time=world.now))
    assert (await world.stats(1)).roi == Decimal(2)


async def test_the_day_turns_by_the_clock(world: World) -> None:
    """A trade of eight days ago has left the 7 days, not the 30; what is told has moved without any trade."""
    await world.opened(1, "1000")
    await world.master(1)
    await world.closed(1, "20")
    assert await world.turn() == 0
    world.now = MONDAY + 6 * DAY + 1
    assert await world.turn() == 1
    assert await world.turn() == 0
    week = await world.stats(1, "7D")
    assert (week.pnl, week.pnl_history[0], week.trades, week.roi, week.coverage_days) == (Decimal(20), Decimal(20), 1, Decimal(2), 7)
    world.now += DAY
    assert await world.turn() == 1
    week = await world.stats(1, "7D")
    assert (week.pnl, week.trades, week.win_rate, week.roi, week.max_drawdown) == (Decimal(0), 0, None, Decimal(0), Decimal(0))
    assert ((await world.stats(1)).pnl, (await world.stats(1)).roi) == (Decimal(20), Decimal(2))


async def test_one_event_for_a_batch(world: World) -> None:
    """Two closings of one master and one of another in one batch: one event, four rows each."""
    for login in (1, 2, 3):
        await world.opened(login, "1000")
    for login in (1, 2):
        await world.master(login)
    before = len(await world.events())
    rows = [
        closing(1, 1, 1, "5", closed_ms=world.now),
        closing(1, 2, 2, "6", closed_ms=world.now),
        closing(2, 3, 3, "7", closed_ms=world.now),
    ]
    await world.trades(PositionsClosed.of([*rows, closing(3, 4, 4, "9", closed_ms=world.now)], time=world.now))
    events = await world.events()
    assert len(events) == before + 1
    assert [(row.login, row.period) for row in events[-1]] == [(login, period) for login in (1, 2) for period in PERIOD_DAYS]
    assert ((await world.stats(1)).pnl, (await world.stats(2)).pnl) == (Decimal(11), Decimal(7))


async def test_an_account_that_becomes_a_master_later_keeps_its_past(world: World) -> None:
    await world.opened(1, "1000")
    await world.closed(1, "30")
    assert await world.events() == []
    world.now += 3 * DAY
    await world.master(1)
    row = await world.stats(1)
    assert (row.pnl, row.roi, row.coverage_days) == (Decimal(30), Decimal(3), 4)


async def test_a_master_known_before_its_account_is_told_when_it_comes(world: World) -> None:
    await world.master(1)
    assert await world.events() == []
    assert await world.turn() == 0
    await world.opened(1, "1000")
    assert (await world.stats(1)).roi == 0


async def test_snapshot_and_deletion(world: World) -> None:
    await world.opened(1, "1000")
    await world.opened(2, "1000")
    await world.master(1)
    await world.master(2)
    await world.closed(1, "30")
    last = {row: None for rows in await world.events() for row in rows if row.login == 2 or row.trades}
    await world.config(MasterDeleted(master=Master(id=2, login=2, customer_id=1)))
    async with world.store.work() as work:
        await snapshot(work)
    told = (await world.events())[-1]
    assert set(told) == {row for row in last if row.login == 1}
    assert len(told) == 4


async def test_money_is_rounded_once_to_the_currencys_digits(world: World) -> None:
    """Three trades of 1/3 yen each of 0.333: 0.999 -> 1 yen, the average 0.333 -> 0; USDT keeps six places."""
    await world.opened(1, "100000", currency="JPY")
    await world.opened(2, "1000", currency="USDT")
    for login in (1, 2):
        await world.master(login)
        rows = [closing(login, login * 10 + n, login * 10 + n, "0.333", closed_ms=world.now) for n in range(3)]
        await world.trades(PositionsClosed.of(rows, time=world.now))
    yen, tether = await world.stats(1), await world.stats(2)
    assert (yen.pnl, yen.avg_pnl_per_trade, yen.pnl_history[-1]) == (Decimal(1), Decimal(0), Decimal(1))
    assert (str(tether.pnl), str(tether.avg_pnl_per_trade)) == ("0.999000", "0.333000")


async def test_days_are_the_brokers(tmp_path: Path) -> None:
    """22:30 UTC is the next day in Nicosia (UTC+3 in summer): the trade is today's there, yesterday's in UTC."""
    async with open_world(tmp_path, broker_timezone="Asia/Nicosia") as world:
        await world.opened(1, "1000")
        await world.master(1)
        world.now = MONDAY + 22 * HOUR + HOUR // 2
        await world.closed(1, "20")
        world.now = MONDAY + 25 * HOUR
        await world.closed(1, "1")
        assert (await world.stats(1, "7D")).pnl_history[-2:] == (Decimal(0), Decimal(21))


async def test_details_of_own_trading(world: World) -> None:
    """Worked by hand: results 30, 10, -20; held 1 h, 1 h, 4 h; EURUSD 20, GBPUSD 0; profit factor 40 / 20."""
    await world.opened(1, "1000")
    await world.master(1)
    await world.closed(1, "30")
    await world.closed(1, "10", symbol="GBPUSD")
    await world.closed(1, "-20", opened_ms=world.now - 4 * HOUR)
    await world.closed(1, "-10", symbol="GBPUSD", left=50)
    details = await world.details(1, "7D")
    assert details["profit_factor"] == 2
    assert details["avg_holding_time"] == 2 * 3600
    assert details["weekly_trades"] == 21  # 3 on the one day that is covered
    assert details["profit_per_symbol"] == {"EURUSD": 10, "GBPUSD": 0}
    assert details["win_rate_lower_bound"] == Decimal("0.2077")  # Wilson, 2 of 3
    assert (details["sharpe_ratio"], details["sortino_ratio"]) == (None, None)


async def test_a_bad_timezone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        StatsSettings(_env_file=None, broker_timezone="Mars/Olympus")


async def test_a_venue_whose_clock_is_ahead_of_ours(world: World) -> None:
    """23:30 here, 00:30 of tomorrow there: the equity and the return are shown today; the trade's day comes."""
    await world.opened(1, "1000")
    await world.master(1)
    here = MONDAY + 23 * HOUR + HOUR // 2
    world.now = here + HOUR
    row = closing(1, 1, 1, "50", closed_ms=world.now)
    ahead = (PositionsClosed.of([row], time=world.now), AccountsChanged.of([account(1, "1050")], time=world.now))
    world.now = here
    await world.trades(*ahead)
    shown = await world.stats(1, "7D")
    assert (shown.roi, shown.trades, shown.coverage_days) == (Decimal(5), 0, 1)
    world.now = here + HOUR
    await world.turn()
    shown = await world.stats(1, "7D")
    assert (shown.roi, shown.trades, shown.coverage_days, shown.max_drawdown) == (Decimal(5), 1, 2, Decimal(0))


async def test_an_account_that_a_price_spike_takes_beyond_what_is_kept_keeps_nobody_s_rows_out(world: World) -> None:
    """Account 2 has 93 billion, more than 64 bits of 1e-8, by a profit of 93 billion; what account 1 made in the same entry is told."""
    await world.opened(1, "1000")
    await world.opened(2, "1000", customer=2)
    await world.master(1)
    await world.master(2)
    huge, paid = "93000000000", Decimal(46) * 10**9
    rows = [closing(1, 1, 1, "50", closed_ms=world.now), closing(2, 2, 2, huge, closed_ms=world.now)]
    operation = BalanceRow(9, 2, "OP_BALANCE_IN", paid, "USD", "", "", "", paid, paid, Decimal(0))
    unknown = operation._replace(login=3, operation="OP_BALANCE_OUT", equity=Decimal(huge), balance=Decimal(huge))
    await world.trades(
        PositionsClosed.of(rows, time=world.now),
        AccountsChanged.of([account(1, "1050"), account(2, huge, customer=2)], time=world.now),
        BalancesChanged.of([operation, operation._replace(operation_id=10), unknown], time=world.now),
    )
    row = await world.stats(1)
    assert (row.pnl, row.roi) == (Decimal(50), Decimal(5))
    assert (await world.stats(2)).pnl == Decimal("46116860184.27")  # 2**62 of 1e-8


async def test_the_services_parts_on_the_numbered_log(tmp_path: Path) -> None:
    """What venue and api wrote as JSON is read, decided and told by the service as it runs; a snapshot of both changes nothing."""
    net = Loopback(tmp_path, lambda: MONDAY + HOUR)
    venue = await net.open_store("gateway", (trades.TOPIC,))
    configuration = await net.open_store("api", (config.TOPIC,))
    service = await net.open_store("stats", (stats.TOPIC,))
    for store in (venue, configuration):
        net.join(store, {})
    net.join(service, parts(service, StatsSettings(_env_file=None)))
    for _ in range(2):
        async with venue.work() as work:
            work.emit(trades.TOPIC, AccountsOpened.of([account(1, "1000")]))
        async with configuration.work() as work:
            work.emit(config.TOPIC, MasterSaved(master=Master(id=1, login=1, customer_id=1)))
        await net.settle()
    async with venue.work() as work:
        work.emit(trades.TOPIC, PositionsClosed.of([closing(1, 1, 1, "12.34", closed_ms=work.now)]))
        work.emit(trades.TOPIC, AccountsChanged.of([account(1, "1012.34")]))
    await net.settle()
    async with service.read() as session:
        entries = [json.loads(entry.payload) for entry in await outbox.kept(session, stats.TOPIC, 1, 10)]
    rows = {
        row[1]: dict(zip(event["structure"], row, strict=True)) for entry in entries for event in entry["events"] for row in event["rows"]
    }
    assert len(entries) == 2  # the new master, and its trade
    month = rows["30D"]
    assert (month["roi"], month["pnl"], month["win_rate"], month["pnl_history"][-1]) == ("1.2340", "12.34", "100.0000", "12.34")
    assert entries[-1]["after"][trades.TOPIC] == 3
    await net.close()
