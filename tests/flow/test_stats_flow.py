"""The stats service's handlers on a real store: what a venue tells becomes what the marketplace shows."""

import json
import shutil
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from shared.bus.reader import Received
from shared.contracts import config, trades
from shared.contracts.config import Master, MasterDeleted, MasterSaved
from shared.contracts.event import Lost
from shared.contracts.stats import PERIOD_DAYS, STATS_EVENTS, TOPIC, StatsRow
from shared.contracts.trades import (
    AccountRow,
    AccountsChanged,
    AccountsOpened,
    BalanceRow,
    BalancesChanged,
    ClosedRow,
    PositionsClosed,
    PositionsReduced,
)
from shared.store import migrate, outbox
from shared.store.engine import create_engine
from shared.store.work import Store
from stats.flow import Flow
from stats.settings import StatsSettings
from stats.tell import snapshot

HOUR = 3_600_000
DAY = 24 * HOUR
MONDAY = 20_661 * DAY
"""2026-07-27 00:00 UTC, a Monday."""

pytestmark = pytest.mark.anyio


class World:
    """A stats service without Redis; the clock stands where it is put."""

    def __init__(self, store: Store, settings: StatsSettings) -> None:
        self.store = store
        self.flow = Flow(settings)
        self.now = MONDAY
        self.deal = 0
        self.equity: dict[int, Decimal] = {}

    async def trades(self, *events: object, lost: Lost | None = None) -> None:
        async with self.store.work() as work:
            stamped = tuple(event.model_copy(update={"time": event.time or self.now}) for event in events)  # type: ignore[attr-defined]
            await self.flow.on_trades(Received(trades.TOPIC, 1, "gateway", self.now, stamped, lost), work)

    async def config(self, *events: object) -> None:
        async with self.store.work() as work:
            await self.flow.on_config(Received(config.TOPIC, 1, "api", self.now, events), work)

    async def opened(self, login: int, equity: str, currency: str = "USD", customer: int = 1) -> None:
        self.equity[login] = Decimal(equity)
        await self.trades(AccountsOpened.of([account(login, equity, currency=currency, customer=customer)], time=self.now))

    async def master(self, login: int, customer: int = 1) -> None:
        await self.config(MasterSaved(master=Master(id=login, login=login, customer_id=customer)))

    async def closed(self, login: int, net: str, *, order: int = 0, left: int = 0, **fields: object) -> ClosedRow:
        """A closing deal and the account's state after it, as the venue tells them."""
        self.deal += 1
        row = closing(login, self.deal, order or self.deal, net, left=left, closed_ms=self.now, **fields)
        self.equity[login] += Decimal(net)
        event = PositionsReduced.of([row]) if left else PositionsClosed.of([row])
        await self.trades(
            event.model_copy(update={"time": self.now}), AccountsChanged.of([account(login, self.equity[login])], time=self.now)
        )
        return row

    async def seen(self, login: int, equity: str, held: int = 0) -> None:
        self.equity[login] = Decimal(equity)
        await self.trades(AccountsChanged.of([account(login, equity, held=held)], time=self.now))

    async def paid(self, login: int, amount: str, operation_id: int, reason: str = "TR_REASON_DEPOSIT", credit: str = "0") -> None:
        self.equity[login] += Decimal(amount)
        row = BalanceRow(
            operation_id,
            login,
            "OP_BALANCE_OUT" if amount.startswith("-") else "OP_BALANCE_IN",
            abs(Decimal(amount)),
            "USD",
            reason,
            "",
            "",
            self.equity[login],
            self.equity[login] + Decimal(credit),
            Decimal(credit),
        )
        await self.trades(BalancesChanged.of([row], time=self.now), AccountsChanged.of([account(login, self.equity[login])], time=self.now))

    async def turn(self) -> int:
        told = 0
        while some := await self.flow.tell_due(self.store):
            told += some
        return told

    async def events(self) -> list[list[StatsRow]]:
        """All that was told so far, event by event."""
        async with self.store.read() as session:
            entries = await outbox.kept(session, TOPIC, 1, 100_000)
        return [list(STATS_EVENTS.validate_python(event).rows) for entry in entries for event in json.loads(entry.payload)["events"]]

    async def stats(self, login: int, period: str = "30D") -> StatsRow:
        """What was told last."""
        return next(row for rows in reversed(await self.events()) for row in rows if (row.login, row.period) == (login, period))


def account(login: int, equity: str | Decimal, *, held: int = 0, currency: str = "USD", customer: int = 1) -> AccountRow:
    value = Decimal(equity)
    return AccountRow(login, customer, "real-usd", "REAL", currency, 100, value, Decimal(0), value, Decimal(0), value, held)


def closing(login: int, deal: int, order: int, net: str, *, left: int = 0, closed_ms: int = 0, **fields: object) -> ClosedRow:
    row = ClosedRow(
        order=order,
        deal=deal,
        login=login,
        symbol="EURUSD",
        side="buy",
        initial=100,
        closed=100 - left,
        left=left,
        open_price=Decimal("1.1"),
        price=Decimal("1.2"),
        profit=Decimal(net),
        commission=Decimal(0),
        swap=Decimal(0),
        reason="TR_REASON_CLIENT",
        client_id="",
        position_client_id="",
        opened_ms=closed_ms - HOUR,
        closed_ms=closed_ms,
    )
    return row._replace(**fields)


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated store, to be copied: migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("stats") / "empty.db"
    migrate.upgrade("stats", f"sqlite:///{path}")
    return path


@pytest.fixture
async def world(tmp_path: Path, empty_store: Path) -> AsyncIterator[World]:
    shutil.copy(empty_store, tmp_path / "stats.db")
    engine = create_engine(f"sqlite:///{tmp_path}/stats.db")
    store = Store(engine, "stats", lambda: made.now, {TOPIC: TOPIC})
    made = World(store, StatsSettings(_env_file=None))
    await store.open()
    yield made
    await engine.dispose()


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


async def test_days_are_the_brokers(world: World) -> None:
    """22:30 UTC is the next day in Nicosia (UTC+3 in summer): the trade is today's there, yesterday's in UTC."""
    world.flow = Flow(StatsSettings(_env_file=None, broker_timezone="Asia/Nicosia"))
    await world.opened(1, "1000")
    await world.master(1)
    world.now = MONDAY + 22 * HOUR + HOUR // 2
    await world.closed(1, "20")
    world.now = MONDAY + 25 * HOUR
    await world.closed(1, "1")
    assert (await world.stats(1, "7D")).pnl_history[-2:] == (Decimal(0), Decimal(21))
