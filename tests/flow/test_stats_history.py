"""An account's past from two files: whole or not at all, the same however often, and picked up by the running service."""

from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path

import pytest
from shared.settings import UnsafeSettingsError
from sqlalchemy import text
from stats.days import parse
from stats.decide import Rules
from stats.history import Report, load
from stats.recompute import recompute
from stats.settings import StatsSettings
from stats.wiring import keep_settings

from tests.flow.stats_world import DAY, MONDAY, World, open_world

pytestmark = pytest.mark.anyio

TRADES = """order,symbol,side,volume,open_time,open_price,close_time,close_price,profit,commission,swap
501,EURUSD,buy,100,2026-07-20T08:00:00Z,1.1,2026-07-20T10:00:00Z,1.101,100,-7,-1
502,GBPUSD,sell,50,1784620800,1.3,1784628000,1.31,-500,0,0
"""
"""Monday the 20th: 92 net. 1784620800 is Tuesday the 21st, 08:00 UTC: -500."""

EQUITY = """date,equity,flow
2026-07-19,10000,
2026-07-20,10100,0
2026-07-21,9595,
2026-07-22,11600,2000
"""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A master whose account begins on Monday the 27th of July with 11 600."""
    async with open_world(tmp_path) as made:
        await made.opened(1, "11600")
        await made.master(1)
        yield made


async def imported(world: World, folder: Path, trades: str = TRADES, equity: str = EQUITY, login: int = 1) -> Report:
    (folder / "trades.csv").write_text(trades)
    (folder / "equity.csv").write_text(equity)
    told: list[tuple[int, int]] = []
    settings = StatsSettings(_env_file=None)
    report = await load(world.store, login, folder / "trades.csv", folder / "equity.csv", lambda *step: told.append(step), settings)
    assert report.errors or told[-1][0] == told[-1][1]
    return report


async def test_the_past_is_told_with_the_present(world: World, tmp_path: Path) -> None:
    """Equity 10 000, 10 100 (+1 %), 9595 (-5 %), 11 600 with 2000 paid in: (11600-9595-2000) / (9595+1000) = 5 / 10595.

    NAV 1.01 * 0.95 * (1 + 5/10595) = 0.9595 * 1.00047192 = 0.95995281; then the account's own +1 % (116 of 11 600): 0.96955234.
    Drawdown: from 1.01 to 0.9595, 5 %. Trades 92, -500 and 116: three, two wins; -292.
    """
    report = await imported(world, tmp_path)
    assert (report.trades, report.days, report.errors) == (2, 4, [])
    assert await world.turn() == 1  # the running service has noticed
    await world.closed(1, "116")
    row = await world.stats(1)
    assert row.roi == Decimal("-3.0448")
    assert (row.max_drawdown, row.roi_quality, row.coverage_days) == (Decimal("5.0000"), "dietz", 8)
    assert (row.trades, row.pnl, row.win_rate) == (3, Decimal("-292"), Decimal("66.6667"))
    assert list(map(int, row.pnl_history[-8:])) == [92, -408, -408, -408, -408, -408, -408, -292]
    details = await world.details(1)
    assert details["profit_per_symbol"] == {"EURUSD": 208, "GBPUSD": -500}
    assert details["gap_days"] == 4  # the 23rd to the 26th are in no file


async def test_again_changes_nothing_and_a_correction_replaces(world: World, tmp_path: Path) -> None:
    await imported(world, tmp_path)
    await world.turn()
    before = await world.stats(1)
    await imported(world, tmp_path)
    await world.turn()
    assert await world.stats(1) == before
    await imported(world, tmp_path, trades=TRADES.replace("-500", "-400"))
    await world.turn()
    row = await world.stats(1)
    assert (row.pnl, row.trades, row.roi) == (Decimal(-308), 2, before.roi)


async def test_what_the_venue_told_is_not_replaced(world: World, tmp_path: Path) -> None:
    await world.closed(1, "10", order=501)
    report = await imported(world, tmp_path)
    assert (report.trades, report.trades_known) == (1, 1)
    late = EQUITY + "2026-07-27,1,0\n"
    report = await imported(world, tmp_path, equity=late)
    assert [str(error) for error in report.errors] == ["equity.csv:6: the venue's own snapshots have begun by then"]


BAD_TRADES = [
    ("0,EURUSD,buy,1,1,1,2,1,0,0,0", "order: '0' is no whole number above 0"),
    ("1,,buy,1,1,1,2,1,0,0,0", "symbol: 1 to 64 characters"),
    ("1,EURUSD,long,1,1,1,2,1,0,0,0", "side: 'long' is neither buy nor sell"),
    ("1,EURUSD,buy,1.5,1,1,2,1,0,0,0", "volume: '1.5' is no whole number above 0"),
    ("1,EURUSD,buy,1,yesterday,1,2,1,0,0,0", "open_time: 'yesterday' is no time like 2026-01-31T09:30:00Z"),
    ("1,EURUSD,buy,1,3,1,2,1,0,0,0", "close_time is before open_time"),
    ("1,EURUSD,buy,1,3,1,9999999999,1,0,0,0", "close_time is in the future"),
    ("1,EURUSD,buy,1,1,-1,2,1,0,0,0", "open_price: '-1' is not above 0"),
    ("1,EURUSD,buy,1,1,1,2,1,NaN,0,0", "profit: 'NaN' is out of range"),
    ("1,EURUSD,buy,1,1,1,2,1,ten,0,0", "profit: 'ten' is no number"),
    ("1,EURUSD,buy,1,1,1,2,1,0,1e30,0", "commission: '1e30' is out of range"),
    ("1,EURUSD,buy,1,1,1,2,1,0,0,0.000000001", "swap: '0.000000001' has more than 8 decimal places"),
    ("1,EURUSD,buy,1,1,1,2,1,0,0", "10 values instead of 11"),
    ("501,EURUSD,buy,1,1,1,2,1,0,0,0", "order 501 is on line 2, too"),
]


async def test_each_bad_row_is_reported_and_nothing_is_loaded(world: World, tmp_path: Path) -> None:
    before = await world.stats(1)
    equity = EQUITY + "2026-07-20,1,0\n2026-02-30,1,0\n2026-07-23,,0\n"
    report = await imported(world, tmp_path, trades=TRADES + "\n".join(row for row, _ in BAD_TRADES), equity=equity)
    expected = [f"trades.csv:{line}: {reason}" for line, (_, reason) in enumerate(BAD_TRADES, 4)]
    expected += [
        "equity.csv:6: date 2026-07-20 is on line 3, too",
        "equity.csv:7: date: '2026-02-30' is no date like 2026-01-31",
        "equity.csv:8: equity: '' is no number",
    ]
    assert [str(error) for error in report.errors] == expected
    assert await world.turn() == 0
    await world.closed(1, "116")
    row = await world.stats(1)
    assert (row.trades, row.roi, row.coverage_days) == (1, Decimal(1), before.coverage_days)


@pytest.mark.parametrize(
    ("trades", "reason"),
    [
        (
            "order;symbol\n",
            "trades.csv:1: the columns must be order,symbol,side,volume,open_time,open_price,close_time,close_price,profit,",
        ),
        ("", "trades.csv:1: the columns must be"),
        (TRADES + '"', "trades.csv:0: cannot be read"),
    ],
)
async def test_a_file_of_another_kind_is_refused(world: World, tmp_path: Path, trades: str, reason: str) -> None:
    report = await imported(world, tmp_path, trades=trades)
    assert [str(error)[: len(reason)] for error in report.errors] == [reason]


async def test_an_import_counts_as_the_running_service_does(world: World, tmp_path: Path) -> None:
    """The service: Nicosia (UTC+3), least base 20 000. Closed on the 20th at 23:00 UTC: there the 21st, wherever the import is run from.

    Of 10 000, less than the least base, no return is told: the imported curve is flat.
    """
    await keep_settings(world.store, StatsSettings(_env_file=None, broker_timezone="Asia/Nicosia", stats_min_base=20_000))
    late = TRADES.splitlines()[0] + "\n501,EURUSD,buy,100,2026-07-20T08:00:00Z,1.1,2026-07-20T23:00:00Z,1.101,100,-7,-1\n"
    await imported(world, tmp_path, trades=late)
    async with world.store.read() as session:
        rows = await session.execute(text("SELECT day, pnl FROM day WHERE pnl <> 0"))
        assert [tuple(row) for row in rows] == [(parse("2026-07-21"), 92 * 10**8)]
        rows = await session.execute(text("SELECT DISTINCT nav FROM day WHERE imported = 1"))
        assert [Decimal(row[0]) for row in rows] == [1]
    with pytest.raises(UnsafeSettingsError, match="end at midnight in Asia/Nicosia, LOCKSTEP_BROKER_TIMEZONE says UTC"):
        await keep_settings(world.store, StatsSettings(_env_file=None))


async def test_an_unknown_account_is_refused(world: World, tmp_path: Path) -> None:
    report = await imported(world, tmp_path, login=99)
    assert [error.reason for error in report.errors] == ["account 99 is not known: the venue has to tell of it first"]


async def test_a_flow_too_large_for_the_formula_breaks_the_figure(world: World, tmp_path: Path) -> None:
    """11 times the equity paid in on one day, and the equity just before it not known."""
    equity = "date,equity,flow\n2026-07-25,1000,\n2026-07-26,11900,11000\n"
    await imported(world, tmp_path, equity=equity)
    await world.turn()
    row = await world.stats(1)
    assert (row.roi, row.roi_quality) == (Decimal(0), "broken")


async def test_an_imported_ruin_is_an_epoch_of_its_own(world: World, tmp_path: Path) -> None:
    """1000, 0; the account itself then begins with 11 600 in the next epoch: a window with the ruin says -100 %."""
    equity = "date,equity,flow\n2026-07-15,1000,\n2026-07-16,0,\n"
    await imported(world, tmp_path, equity=equity)
    await world.closed(1, "116")
    assert ((await world.stats(1, "30D")).roi, (await world.stats(1, "7D")).roi) == (Decimal(-100), Decimal(1))


async def test_recompute_of_everything_changes_nothing(new_store_url: Callable[[str], str], tmp_path: Path) -> None:
    """Slices, flows, a ruin and a new epoch, an import: all of it computed again, the same rows."""
    async with open_world(tmp_path, new_store_url("stats")) as world:
        await world.opened(1, "11600")
        await world.master(1)
        await check_recompute(world, tmp_path)


async def check_recompute(world: World, tmp_path: Path) -> None:
    await imported(world, tmp_path)
    await world.closed(1, "33", order=900, left=40)
    world.now = MONDAY + DAY
    await world.closed(1, "-44", order=900)
    await world.paid(1, "2500", 1)
    world.now += DAY
    await world.seen(1, "0", held=1)
    await world.seen(1, "20", held=1)
    await world.paid(1, "777", 2)
    world.now += DAY
    await world.closed(1, "0.1")
    before = [(await world.stats(1, period))._replace(updated_ms=0) for period in ("7D", "30D", "365D")]
    async with world.store.work() as work:  # figures that nobody could have made of the trades, to see that they are made anew
        await work.session.execute(text("UPDATE day SET pnl = 7, trades = 9, wins = 9, gain = 1, loss = 1, holding_ms = 1"))
        await work.session.execute(text("UPDATE day SET nav = '5', epoch = 9 WHERE imported = 0 AND nav IS NOT NULL"))
        await work.session.execute(text("UPDATE symbol_day SET pnl = 7"))
        await work.session.execute(text("UPDATE account SET chain_nav = '3', chain_equity = 1, epoch = 4"))
        await recompute(work, None, world.flow.calendar, Rules(10 * 10**8, 365))
    world.now += 1
    assert await world.turn() == 1
    assert [(await world.stats(1, period))._replace(updated_ms=0) for period in ("7D", "30D", "365D")] == before
