"""An event loop whose time is the simulation's: who sleeps is woken at once, later."""

import asyncio
import random
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    """Waits for nothing: it moves the time on instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everybody waits for somebody else")
        self.now += max(0.0, timeout)
        return []


class Loop(asyncio.SelectorEventLoop):
    """An event loop without a real clock."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


class Monotonic:
    """Stands in for the module `time` where the product looks at how long something took."""

    @staticmethod
    def monotonic() -> float:
        return asyncio.get_running_loop().time()


class Passing(Monotonic):
    """The same where a transaction looks whether it has taken too long: time passes while it works, some of it at each look."""

    LONGEST_S = 0.06

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._passed_s = 0.0

    def monotonic(self) -> float:  # type: ignore[override]
        self._passed_s += self._chance.uniform(0, self.LONGEST_S)
        return asyncio.get_running_loop().time() + self._passed_s

    perf_counter = monotonic


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end on a loop of its own."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(coroutine)


async def for_a_while(coroutine: Coroutine[Any, Any, Any], seconds: float) -> None:
    """Lets something run for so long (of the simulation's time), then ends it wherever it waits."""
    try:
        async with asyncio.timeout(seconds):
            await coroutine
    except TimeoutError:
        return
