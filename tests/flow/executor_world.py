"""An executor between a small venue that does what it is told and a configuration that a test writes; all by the real handlers."""

import json
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from executor.settings import ExecutorSettings
from executor.wiring import WRITES, parts
from shared.contracts import config, links, orders, rewards, trades
from shared.contracts.event import Lost
from shared.contracts.links import LinkRow, LinksChanged
from shared.service import Parts, Read
from shared.store import outbox
from shared.store.engine import create_engine
from shared.store.work import Store

from tests.flow.executor_venue import Venue
from tests.loopback import Loopback
from tests.stores import blank_url, quick

NOW = 1_700_000_000_000
MASTER, ANNA, BEN, CARL = 1000, 2001, 2002, 2003
"""Logins: a master and three followers."""
AMOUNT, RATE = 4, 5
"""Volume modes of the OpenAPI's config."""

D = Decimal


class World:
    """The executor, the venue and the configuration, in one process."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.now = NOW
        self.loop = Loopback(folder, lambda: self.now)
        self.settings = ExecutorSettings(**settings)
        self.venue = Venue(lambda: self.now)
        self.executor: Store
        self.parts: Parts
        self.versions: dict[int, int] = {}

    async def start(self) -> None:
        self.api = await self.log_store("api", (config.TOPIC,))
        self.gateway = await self.log_store("gateway", (trades.TOPIC,))
        self.executor = await self.loop.open_store("executor", WRITES)
        self.parts = parts(self.settings, self.executor)
        self.loop.join(self.api, {})
        self.loop.join(self.gateway, {orders.TOPIC: Read(orders.OrderEvent, self.venue.on_orders)})
        self.loop.join(self.executor, self.parts)

    async def log_store(self, name: str, writes: tuple[str, ...]) -> Store:
        """A store with the log's tables alone."""
        engine = quick(create_engine(blank_url(self.folder, name)))
        async with engine.begin() as connection:
            await connection.run_sync(outbox.LOG.create_all)
        store = Store(engine, name, lambda: self.now, {topic: topic for topic in writes})
        await store.open()
        return store

    # --- what others tell

    async def told(self, *events: Any) -> None:
        """The venue tells something (one entry), and everything that follows from it happens."""
        async with self.gateway.work() as work:
            for event in events:
                self._keep(event)
                work.emit(trades.TOPIC, event)
        await self.loop.settle()

    def _keep(self, event: Any) -> None:
        """The venue holds what it tells of a master."""
        if isinstance(event, trades.PositionsOpened):
            for row in event.rows:
                self.venue.positions.setdefault(
                    row.order,
                    {
                        "login": row.login, "symbol": row.symbol, "side": row.side, "initial": row.volume, "volume": row.volume,
                        "price": row.price, "sl": row.sl, "tp": row.tp, "client_id": row.client_id, "version": 0,
                    },
                )  # fmt: skip
        elif isinstance(event, trades.PositionsReduced | trades.PositionsClosed):
            for closed in event.rows:
                if closed.order in self.venue.positions:
                    self.venue.positions[closed.order]["volume"] = closed.left

    async def configured(self, *events: Any) -> None:
        async with self.api.work() as work:
            for event in events:
                work.emit(config.TOPIC, event)
        await self.loop.settle()

    async def rewarded(self, *events: Any, lost: Lost | None = None) -> None:
        """The rewards service tells something; with `lost`, as a snapshot that stands for these numbers."""
        if "rewards" not in self.loop.members:
            self.loop.join(await self.log_store("rewards", (rewards.TOPIC,)), {})
        async with self.loop.members["rewards"].store.work(lost=(rewards.TOPIC, lost) if lost else None) as work:
            for event in events:
                work.emit(rewards.TOPIC, event)
        await self.loop.settle()

    async def tick(self, ms: int = 0) -> None:
        """Time passes, and the executor's timer rings."""
        self.now += ms
        await self.parts_tick()
        await self.loop.settle()

    async def parts_tick(self) -> None:
        from executor.timers import ring  # noqa: PLC0415

        async with self.executor.work() as work:
            await ring(self.parts_desk, work)

    @property
    def parts_desk(self) -> Any:
        return self.parts.reads[trades.TOPIC].handler.__self__.desk  # type: ignore[attr-defined]

    # --- what they say

    async def links(self, master_order: int | None = None) -> dict[int, LinkRow]:
        """The last told state of each link, by subscription."""
        last: dict[int, LinkRow] = {}
        for event in await self.link_events():
            if master_order is None or event.master_order == master_order:
                last |= {row.subscription: row for row in event.rows}
        return last

    async def link_events(self) -> list[LinksChanged]:
        return [links.LINK_EVENTS.validate_python(event) for event in await self.emitted(links.TOPIC)]

    async def emitted(self, topic: str) -> list[dict[str, Any]]:
        async with self.executor.read() as session:
            entries = await outbox.kept(session, topic, 1, 100_000)
        return [event for entry in entries for event in json.loads(entry.payload)["events"]]

    async def orders(self, kind: type | None = None) -> list[Any]:
        """The orders that the executor sent so far."""
        sent = [orders.ORDER_EVENTS.validate_python(event) for event in await self.emitted(orders.TOPIC)]
        return [event for event in sent if kind is None or isinstance(event, kind)]

    def open_volume(self, login: int) -> int:
        """What a login has open on the venue by copying."""
        return sum(p["volume"] for p in self.venue.positions.values() if p["login"] == login)

    # --- shorthands

    async def ready(self, *subscriptions: config.Subscription, accounts: tuple[trades.AccountRow, ...] = ()) -> None:
        """The usual ground: EURUSD, a master, three followers, 10,000 USD each, and these subscriptions."""
        rows = {row.login: row for row in (account(MASTER), account(ANNA), account(BEN), account(CARL), *accounts)}
        await self.told(trades.SymbolsChanged.of([symbol("EURUSD"), symbol("GBPUSD")]), trades.AccountsOpened.of(list(rows.values())))
        await self.configured(
            config.MasterSaved(master=config.Master(id=1, login=MASTER, customer_id=1)),
            *(
                config.FollowerSaved(follower=config.Follower(id=login, login=login, customer_id=login, max_master_count=5))
                for login in (ANNA, BEN, CARL)
            ),
        )
        await self.configured(*(config.SubscriptionSaved(subscription=one) for one in subscriptions))

    async def open(self, order: int, volume: int = 100, **fields: Any) -> None:
        """The master opens; 100 units of EURUSD at 1.10000 with 10,000 of equity unless told otherwise."""
        await self.told(opened(order, volume, now=self.now, **fields))

    async def reduce(self, order: int, closed: int, left: int, initial: int = 100, reason: str = trades.REASON_CLIENT) -> None:
        """The master closes a part; with nothing left, the whole."""
        self.venue.deals += 1
        row = trades.ClosedRow(
            order, self.venue.deals, MASTER, "EURUSD", "buy", initial, closed, left, D("1.1"), D("1.1"),
            D(0), D(0), D(0), reason, "", "", 0, self.now,
        )  # fmt: skip
        await self.told((trades.PositionsReduced if left else trades.PositionsClosed).of([row]))

    async def move_stops(self, order: int, sl: str, tp: str, version: int) -> None:
        await self.told(trades.PositionsChanged.of([trades.ChangedRow(order, MASTER, "EURUSD", D(sl), D(tp), version, "")]))

    async def close(self) -> None:
        await self.loop.close()


def opened(order: int, volume: int = 100, *, now: int = NOW, **fields: Any) -> trades.PositionsOpened:
    values: dict[str, Any] = {
        "order": order, "login": MASTER, "symbol": "EURUSD", "side": "buy", "volume": volume, "price": D("1.10000"), "sl": D(0),
        "tp": D(0), "client_id": "", "reason": trades.REASON_CLIENT, "commission": D(0), "equity": D(10000), "balance": D(10000),
        "credit": D(0), "opened_ms": now,
    }  # fmt: skip
    return trades.PositionsOpened.of([trades.OpenedRow(**(values | fields))])


def account(login: int, balance: str = "10000", **fields: Any) -> trades.AccountRow:
    values: dict[str, Any] = {
        "login": login, "customer_id": login, "group": "real-usd", "mode": "REAL", "currency": "USD", "leverage": 100,
        "balance": D(balance), "credit": D(0), "equity": D(balance), "margin": D(0), "free_margin": D(balance), "positions": 0,
    }  # fmt: skip
    return trades.AccountRow(**(values | fields))


def symbol(name: str, **fields: Any) -> trades.SymbolRow:
    values: dict[str, Any] = {
        "symbol": name, "digits": 5, "contract_size": D(100000), "base_currency": name[:3], "quote_currency": name[3:],
        "volume_per_lot": 100, "volume_min": 1, "volume_step": 1, "volume_max": 100_000, "stops_level": 0, "commission": D(0),
        "swap_long": D(0), "swap_short": D(0), "bid": D("1.1"), "ask": D("1.1"),
    }  # fmt: skip
    return trades.SymbolRow(**(values | fields))


def subscription(number: int, follower: int = ANNA, **fields: Any) -> config.Subscription:
    """A subscription of the master, older than any trade of the tests; it copies one to one unless told otherwise."""
    values: dict[str, Any] = {"id": number, "master_login": MASTER, "follower_login": follower, "created_ms": NOW - 1000}
    return config.Subscription(**(values | fields))


def follow(number: int, follower: int = ANNA, mode: int = AMOUNT, version: int = 1, **changed: Any) -> config.Subscription:
    """1,000 invested, 110 an order at leverage 20: 2,200 USD, 2 units, unless told otherwise."""
    values: dict[str, Any] = {
        "invest_amount": D(1000), "real_invest_amount": D(1000), "single_place_amount": D(110), "leverage": D(20), "max_invest_rate": D(1),
        "set_ms": NOW,
    }  # fmt: skip
    return subscription(number, follower, volume_mode=mode, version=version, follow=config.FollowConfig(**(values | changed)))


@asynccontextmanager
async def world(folder: Path, **settings: Any) -> Any:
    """A started world."""
    made = World(folder, **settings)
    await made.start()
    try:
        yield made
    finally:
        await made.close()


async def price(w: World, bid: str, ask: str = "") -> None:
    await w.told(trades.SymbolsChanged.of([symbol("EURUSD", bid=D(bid), ask=D(ask or bid))]))
    await w.tick(1000)


async def reconciled(w: Any, login: int = ANNA) -> None:
    """The venue tells what an account holds."""
    await w.told(w.venue.held(login, ""))
