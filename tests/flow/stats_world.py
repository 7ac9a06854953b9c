"""A stats service on a real store, without Redis: the tests tell it what a venue tells, and read what it tells the marketplace."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from shared.bus.reader import Received
from shared.contracts import config, trades
from shared.contracts.config import Master, MasterSaved
from shared.contracts.event import Lost
from shared.contracts.stats import STATS_EVENTS, TOPIC, StatsRow
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

from tests.stores import quick, store_url

HOUR = 3_600_000
DAY = 24 * HOUR
MONDAY = 20_661 * DAY
"""2026-07-27 00:00 UTC, a Monday."""


class World:
    """A stats service without Redis; the clock stands where it is put."""

    def __init__(self, store: Store, settings: StatsSettings) -> None:
        self.store = store
        self.flow = Flow(settings)
        self.now = MONDAY
        self.deal = 0
        self.equity: dict[int, Decimal] = {}
        self.customers: dict[int, int] = {}

    async def trades(self, *events: Any, lost: Lost | None = None) -> None:
        async with self.store.work() as work:
            stamped = tuple(event.model_copy(update={"time": event.time or self.now}) for event in events)
            await self.flow.on_trades(Received(trades.TOPIC, 1, "gateway", self.now, stamped, lost), work)

    async def config(self, *events: Any) -> None:
        async with self.store.work() as work:
            await self.flow.on_config(Received(config.TOPIC, 1, "api", self.now, events), work)

    async def opened(self, login: int, equity: str, currency: str = "USD", customer: int = 1) -> None:
        self.equity[login], self.customers[login] = Decimal(equity), customer
        await self.trades(AccountsOpened.of([account(login, equity, currency=currency, customer=customer)], time=self.now))

    async def master(self, login: int, customer: int = 1) -> None:
        await self.config(MasterSaved(master=Master(id=login, login=login, customer_id=customer)))

    async def closed(self, login: int, net: str, *, order: int = 0, left: int = 0, **fields: Any) -> ClosedRow:
        """A closing deal and the account's state after it, as the venue tells them."""
        self.deal += 1
        row = closing(login, self.deal, order or self.deal, net, left=left, closed_ms=self.now, **fields)
        self.equity[login] += Decimal(net)
        event = PositionsReduced.of([row]) if left else PositionsClosed.of([row])
        await self.trades(
            event.model_copy(update={"time": self.now}),
            AccountsChanged.of([account(login, self.equity[login], customer=self.customers[login])], time=self.now),
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
        await self.trades(
            BalancesChanged.of([row], time=self.now),
            AccountsChanged.of([account(login, self.equity[login], customer=self.customers[login])], time=self.now),
        )

    async def details(self, login: int, period: str = "30D") -> dict[str, Any]:
        """The details that were told last, amounts and ratios as Decimal."""
        return dict(json.loads((await self.stats(login, period)).details, parse_float=Decimal))

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


def closing(login: int, deal: int, order: int, net: str, *, left: int = 0, closed_ms: int = 0, **fields: Any) -> ClosedRow:
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


@asynccontextmanager
async def open_world(folder: Path, url: str = "", **settings: Any) -> AsyncIterator[World]:
    """A world on a store of its own in the folder, or at a URL."""
    if url:
        migrate.upgrade("stats", url)
    engine = quick(create_engine(url or store_url("stats", folder)))
    store = Store(engine, "stats", lambda: made.now, {TOPIC: TOPIC})
    made = World(store, StatsSettings(_env_file=None, **settings))
    await store.open()
    yield made
    await engine.dispose()
