"""Where the time between a trade and its orders goes: the steps of a fan-out, each with a stopwatch around it."""

import inspect
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from executor import fanout
from executor.desk import Desk
from shared.store import outbox, work
from shared.store.work import Store

from tests.bench.executor_ground import ground

MANY = (
    ("deciding by columns", fanout, "decide_all"),
    ("orders as JSON", fanout, "emit_orders"),
    ("links and inputs as JSON", fanout, "emit_links"),
    ("the stored row as JSON", fanout, "stored_links"),
    ("entries as JSON", work, "encode"),
    ("writing the executor's rows", Desk, "write"),
    ("writing the outbox", outbox, "keep"),
)
ONE = (
    ("deciding and recording", fanout, "_few"),
    ("writing the executor's rows", Desk, "write"),
    ("numbers, outbox and place", Store, "_write"),
)


@contextmanager
def stopwatch(owner: Any, name: str, took: list[float]) -> Iterator[None]:
    """Measures every call of a function or coroutine function while the block runs."""
    real = getattr(owner, name)

    async def later(*arguments: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return await real(*arguments, **named)
        finally:
            took.append(time.perf_counter() - started)

    def at_once(*arguments: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return real(*arguments, **named)
        finally:
            took.append(time.perf_counter() - started)

    setattr(owner, name, later if inspect.iscoroutinefunction(real) else at_once)
    try:
        yield
    finally:
        setattr(owner, name, real)


async def shares(folder: Path, url: str, followers: int, trades: int) -> str:
    """The median milliseconds of each step, and of what lies between them: reading, beginning, committing; and of the sending."""
    steps = MANY if followers > 1 else ONE
    rows: list[list[float]] = []
    async with ground(folder, url, 1, followers) as g:
        for order in range(1, trades + 2):
            watches: list[list[float]] = [[] for _ in steps]
            entry = g.entry(order)
            with ExitStack() as stack:
                for (_, owner, name), took in zip(steps, watches, strict=True):
                    stack.enter_context(stopwatch(owner, name, took))
                started = time.perf_counter()
                await g.reader.take([entry])
                handled = time.perf_counter()
            await g.carry_on()
            inside = [sum(took) for took in watches]
            rows.append([*inside, handled - started - sum(inside), time.perf_counter() - handled])
    names = [*(name for name, _, _ in steps), "reading, beginning and committing (with its flush to the disk)", "sending"]
    figures = [statistics.median(column) * 1000 for column in zip(*rows[1:], strict=True)]
    return ", ".join(f"{name} {ms:.1f} ms" for name, ms in zip(names, figures, strict=True))
