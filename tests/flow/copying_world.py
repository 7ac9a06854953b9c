"""A master with two followers, and what the executor and rewards tell of their copies."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from shared.bus.reader import Received
from shared.contracts.config import Subscription, SubscriptionSaved
from shared.contracts.links import LinkRow, LinksChanged, LinkState
from shared.contracts.rewards import AccrualRow, AccrualsChanged, AccrualState
from shared.contracts.trades import OpenedRow, SymbolRow, SymbolsChanged
from sqlalchemy import text

from tests.flow.stats_world import World, open_world

MASTER = 1
ORDER = 1001


@asynccontextmanager
async def copying_world(folder: Path, url: str = "") -> AsyncIterator[World]:
    """A master of customer 1 with 10 000; follower 11 with 1000 and 12 with 2000, half of it allocated, of other customers."""
    async with open_world(folder, url) as made:
        await _prepare(made)
        yield made


async def _prepare(made: World) -> None:
    await made.opened(MASTER, "10000", customer=1)
    await made.opened(11, "1000", customer=2)
    await made.opened(12, "2000", customer=3)
    await made.master(MASTER, customer=1)
    await made.config(
        SubscriptionSaved(subscription=subscription(7, 11)),
        SubscriptionSaved(subscription=subscription(8, 12, allocation_percent=Decimal(50))),
    )
    none = Decimal(0)
    symbol = SymbolRow("EURUSD", 5, Decimal(100_000), "EUR", "USD", 100, 1, 1, 10_000, 0, none, none, none, Decimal("1.1"), Decimal("1.3"))
    await made.trades(SymbolsChanged.of([symbol]))


def subscription(number: int, follower: int, **fields: Any) -> Subscription:
    return Subscription(id=number, master_login=MASTER, follower_login=follower, **fields)


def opened(order: int, login: int, price: str, at_ms: int, client_id: str = "", side: Any = "buy", equity: str = "10000") -> OpenedRow:
    state = Decimal(equity)
    zero = Decimal(0)
    return OpenedRow(
        order, login, "EURUSD", side, 100, Decimal(price), zero, zero, client_id, "TR_REASON_CLIENT", zero, state, state, zero, at_ms
    )


def link(number: int, state: LinkState, phase: str, reason: str = "", order: int = 0, created_ms: int = 0) -> LinkRow:
    zero = Decimal(0)
    return LinkRow(number, number, 0, order, state, phase, reason, "EURUSD", "buy", 1, 1, 1, 1, zero, zero, zero, created_ms, created_ms)


async def links(world: World, *rows: LinkRow, order: int = ORDER) -> None:
    event = LinksChanged.of(rows, master_login=MASTER, master_order=order, master_symbol="EURUSD", time=world.now)
    async with world.store.work() as work:
        await world.flow.copying.on_links(Received("copy.link", 1, "executor", world.now, (event,)), work)


async def accrual(world: World, number: int, fee: str, state: AccrualState, ref: int = 0, subscription_id: int = 7) -> None:
    zero = Decimal(0)
    now = world.now
    period = (0, 0, zero, Decimal(fee), "USD", state, now, now)
    row = AccrualRow(number, subscription_id, MASTER, 11, 3, *period, MASTER, zero, "USD", 0, 0, 0, 0, 0, "", "", "", ref)
    async with world.store.work() as work:
        event = AccrualsChanged.of([row], time=world.now)
        await world.flow.copying.on_accruals(Received("reward.accrual", 1, "rewards", world.now, (event,)), work)


async def days(world: World) -> list[tuple[object, ...]]:
    """The master's days of being copied, and who took part in them."""
    async with world.store.read() as session:
        tables = ("copy_day ORDER BY login, day", "participant ORDER BY login, day, subscription")
        return [tuple(row) for table in tables for row in await session.execute(text(f"SELECT * FROM {table}"))]
