"""B8: what one closed trade costs the stats service with 1,000, 100,000 and 1,000,000 trades stored, and how long recomputing them takes.

.venv/bin/python -m tests.bench.bench_stats [--most 1000000]
"""

import argparse
import asyncio
import statistics
import time
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from shared.bus.reader import Received
from shared.contracts.config import Master, MasterSaved
from shared.contracts.stats import TOPIC
from shared.contracts.trades import AccountRow, AccountsChanged, AccountsOpened, ClosedRow, PositionsClosed
from shared.store import migrate
from shared.store.engine import create_engine
from shared.store.work import Store
from sqlalchemy import insert
from stats.flow import Flow
from stats.recompute import recompute
from stats.settings import StatsSettings
from stats.store import DEAL

DAY = 86_400_000
NOW = 20_661 * DAY + DAY // 2
SIZES = (1_000, 100_000, 1_000_000)
SYMBOLS = ("EURUSD", "GBPUSD", "USDJPY", "BTC-SWAP-USDT", "ETH-SWAP-USDT")
CLOSES = 60
CHUNK = 20_000
RECOMPUTE_S_MAX = 15
GROWTH_MAX = 1.5
"""Constant within what a shared machine lets one see."""
MASTER = 1


async def main(most: int) -> bool:
    """Prints the figures; answers whether they keep the targets."""
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'stats.db'}"
        migrate.upgrade("stats", url)
        store = Store(create_engine(url), "stats", lambda: NOW, {TOPIC: TOPIC})
        await store.open()
        flow = Flow(StatsSettings(_env_file=None))
        async with store.work() as work:
            await flow.on_trades(_batch(AccountsOpened.of([_account("1000000")], time=NOW - 400 * DAY)), work)
            await flow.on_config(_batch(MasterSaved(master=Master(id=1, login=MASTER, customer_id=1))), work)
        stored, costs, took = 0, [], 0.0
        for size in (size for size in SIZES if size <= most):
            stored = await _store(store, stored, size)
            started = time.perf_counter()
            async with store.work() as work:
                await recompute(work, [MASTER], flow.calendar, flow.rules)
            took = time.perf_counter() - started
            await flow.tell_due(store)
            cost = await _close(store, flow, stored)
            stored += CLOSES
            costs.append(cost)
            print(f"B8 stored={size:>9,} one_closed_trade_ms={cost * 1000:.2f} recompute_s={took:.2f}")
        await store.engine.dispose()
    growth = max(costs) / costs[0]
    kept = growth <= GROWTH_MAX and took <= RECOMPUTE_S_MAX
    print(
        f"B8 growth={growth:.2f} (target <= {GROWTH_MAX}) recompute_s={took:.2f} (target <= {RECOMPUTE_S_MAX}) {'ok' if kept else 'MISSED'}"
    )
    return kept


async def _store(store: Store, have: int, want: int) -> int:
    """Stores trades over the last year, as the service stores them."""
    for start in range(have, want, CHUNK):
        rows = [
            {
                "login": MASTER,
                "deal": number + 1,
                "order": number + 1,
                "symbol": SYMBOLS[number % len(SYMBOLS)],
                "side": "buy",
                "closed": 100,
                "left": 0,
                "profit": (number % 200 - 99) * 10**8,
                "commission": -(10**7),
                "swap": 0,
                "opened_ms": NOW - 1 - number * 7919 % (365 * DAY),
                "closed_ms": NOW - number * 7919 % (365 * DAY),
                "capital": None,
            }
            for number in range(start, min(start + CHUNK, want))
        ]
        async with store.work() as work:
            await work.session.execute(insert(DEAL), rows)
    return want


async def _close(store: Store, flow: Flow, stored: int) -> float:
    """The median time, in seconds, from a batch with one closing to its committed statistics."""
    took = []
    for number in range(stored + 1, stored + 1 + CLOSES):
        row = ClosedRow(
            *(number, number, MASTER, "EURUSD", "buy", 100, 100, 0, Decimal("1.1"), Decimal("1.2"), Decimal(5), Decimal(-1), Decimal(0)),
            *("TR_REASON_CLIENT", "", "", NOW - 1000, NOW),
        )
        batch = _batch(PositionsClosed.of([row], time=NOW), AccountsChanged.of([_account("1000004")], time=NOW))
        started = time.perf_counter()
        async with store.work() as work:
            await flow.on_trades(batch, work)
        took.append(time.perf_counter() - started)
    return statistics.median(took)


def _batch(*events: Any) -> Received[Any]:
    return Received("trade.push", 1, "gateway", NOW, events)


def _account(equity: str) -> AccountRow:
    value, none = Decimal(equity), Decimal(0)
    return AccountRow(MASTER, 1, "real-usd", "REAL", "USD", 100, value, none, value, none, value, 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=SIZES[-1])
    raise SystemExit(0 if asyncio.run(main(parser.parse_args().most)) else 1)
