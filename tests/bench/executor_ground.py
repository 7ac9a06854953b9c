"""What the executor's benchmarks stand on: a store full of subscriptions, an embedded server, and the ways that it is compared with."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from executor import store as tables
from executor.amounts import UNIT
from executor.config_side import stored
from executor.settings import ExecutorSettings
from executor.wiring import WRITES, parts
from redis.asyncio import Redis
from shared.bus.broker import RedisWire
from shared.bus.reader import Reader
from shared.bus.relay import Relay
from shared.contracts import trades
from shared.contracts.config import Subscription
from shared.service import Parts
from shared.store import migrate
from shared.store.engine import create_engine
from shared.store.outbox import Entry
from shared.store.work import Store
from sqlalchemy import BigInteger, String, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NOW = 1_700_000_000_000
MASTER = 1000
FIRST_FOLLOWER = 1_000_000


@dataclass
class Ground:
    """A started executor: its store, its reader of trades, its relays."""

    store: Store
    parts: Parts
    reader: Reader
    relays: list[Relay]
    number: int = 0

    async def trade(self, *entries: Entry) -> None:
        """Handles entries of `trade.push` and sends what follows, up to the server's acknowledgement."""
        await self.reader.take(list(entries))
        await self.carry_on()

    async def carry_on(self) -> None:
        """What the relays do after each commit, all at once as in the service."""
        await asyncio.gather(*(relay.append() for relay in self.relays))

    def entry(self, order: int, login: int = MASTER) -> Entry:
        """The next entry of `trade.push`: a master opens 100 units of EURUSD."""
        self.number += 1
        return Entry(self.number, opened(order, login))


def opened(order: int, login: int) -> str:
    row = [order, login, "EURUSD", "buy", 100, "1.1", "1.09", "0", "", trades.REASON_CLIENT, "0", "10000", "10000", "0", NOW]
    event = {"type": "position.opened", "id": f"trade.push:{order}:0", "time": NOW, "rows": [row], "structure": trades.OpenedRow._fields}
    return json.dumps({"source": "gateway", "sent": NOW, "after": {}, "events": [event]}, separators=(",", ":"))


async def fill(store: Store, masters: int, followers: int) -> None:
    """`masters` masters with `followers` followers each, an account and a subscription for each follower."""
    async with store.work() as work:
        session = work.session
        symbol = ("EURUSD", 5, 100_000 * UNIT, "EUR", "USD", 100, 1, 1, 10**6, 110_000_000, 110_000_000, 0, 0)
        await tables.write_rows(session, tables.Symbol, [symbol])
        await tables.write_rows(session, tables.Master, [(MASTER + n, n, 1, 1, 2, 0, "", -1, 0, 0) for n in range(masters)])
        await tables.write_rows(session, tables.Account, [account(MASTER + n) for n in range(masters)])
    one = stored(Subscription(id=1, master_login=1, follower_login=1, created_ms=1, volume_mode=2), deleted=0, rank=0)
    for n in range(masters):
        ids = range(n * followers + 1, (n + 1) * followers + 1)
        async with store.work() as work:
            session = work.session
            await tables.write_rows(session, tables.Account, [account(FIRST_FOLLOWER + i) for i in ids])
            await tables.write_rows(session, tables.Follower, [(FIRST_FOLLOWER + i, i, 1, 1, 2, 1, 0) for i in ids])
            rows = [(i, 1, MASTER + n, FIRST_FOLLOWER + i, *one[4:]) for i in ids]
            await tables.write_rows(session, tables.Subscription, rows)


def account(login: int) -> tuple[Any, ...]:
    """1,000 USD and some cents, so that equity ratios do not come out whole."""
    equity = 1_000 * UNIT + login % 97_000 * 10**6
    return (login, "real-usd", "USD", 0, 100, equity, 0, equity, equity, 0, 0, NOW)


@asynccontextmanager
async def ground(folder: Path, server: str, masters: int, followers: int) -> AsyncIterator[Ground]:
    """A started executor with its subscriptions, on a server."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    url = f"sqlite:///{folder / 'executor.db'}"
    migrate.upgrade("executor", url)
    store = Store(create_engine(url), "executor", lambda: NOW, {topic: topic for topic in WRITES})
    await store.open()
    await fill(store, masters, followers)
    made = parts(ExecutorSettings(margin_check=True), store)
    client = Redis.from_url(server)
    await client.flushall()
    wire = RedisWire(client)
    read = made.reads[trades.TOPIC]
    relays = [Relay(store, wire, topic, snapshot) for topic, snapshot in made.writes.items()]
    try:
        yield Ground(store, made, Reader(store, trades.TOPIC, read.events, read.handler), relays)
    finally:
        await client.aclose()
        await store.engine.dispose()


# --- what it is compared with


def raw_appends(host: str, port: int, count: int, size: int = 300) -> float:
    """Seconds for `count` single XADDs in one pipeline, as redis-benchmark sends them: a socket, bytes made before."""
    payload = b"x" * size
    command = b"*5\r\n$4\r\nXADD\r\n$3\r\nraw\r\n$1\r\n*\r\n$5\r\nbatch\r\n$%d\r\n%s\r\n" % (len(payload), payload)
    with socket.create_connection((host, port)) as connection:
        started = time.perf_counter()
        for _ in range(0, count, 500):
            connection.sendall(command * 500)
            replies = 0
            while replies < 500:
                replies += connection.recv(1 << 20).count(b"$")  # each reply is one bulk string: the new id
        return time.perf_counter() - started


class _Base(DeclarativeBase):
    pass


class NaiveFollower(_Base):
    """A typical copier's follower."""

    __tablename__ = "naive_follower"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    equity: Mapped[str] = mapped_column(String(32))


class NaiveLink(_Base):
    """A typical copier's link."""

    __tablename__ = "naive_link"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    follower: Mapped[int] = mapped_column(BigInteger)
    volume: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(16))


async def naive(folder: Path, server: str, followers: int) -> float:
    """Seconds per follower of a typical copier: an ORM read, a decision in Decimal, an insert, a commit, a publish, one by one."""
    engine = create_engine(f"sqlite:///{folder / 'naive.db'}")
    async with engine.begin() as connection:
        await connection.run_sync(_Base.metadata.create_all)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    async with sessions.begin() as session:
        session.add_all([NaiveFollower(id=n, equity="1234.56") for n in range(followers)])
    client = Redis.from_url(server)
    started = time.perf_counter()
    for n in range(followers):
        await _naive_one(sessions, client, n)
    took = time.perf_counter() - started
    await client.aclose()
    await engine.dispose()
    return took / followers


async def _naive_one(sessions: async_sessionmaker[AsyncSession], client: Redis, n: int) -> None:
    async with sessions.begin() as session:
        follower = (await session.execute(select(NaiveFollower).where(NaiveFollower.id == n))).scalar_one()
        volume = int(Decimal(100) * Decimal(follower.equity) / Decimal(10000))
        session.add(NaiveLink(id=n, follower=n, volume=volume, state="opening"))
    await client.xadd("naive", {"order": json.dumps({"login": n, "symbol": "EURUSD", "side": "buy", "volume": volume})})
