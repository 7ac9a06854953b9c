"""One chaos run: the workload stage by stage while something hurts the stack, a watch for what must never be, and the closing line."""

import contextlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.chaos.check import Found, differences, settled, unsafe
from tests.chaos.oracle import STAGES
from tests.chaos.stack import ChaosStack, wait_until
from tests.chaos.workload import Workload

CATCH_UP_S = 30
"""The promise: everything is done so long after the last fault, with no human hand."""
PATIENCE_S = 150
"""How long a run waits to tell "late" from "never"."""

LINES: list[str] = []
"""The closing lines of all runs of this session, for the table at the end."""

Hurt = Callable[[ChaosStack, random.Random], int]
"""Hurts the stack once; answers how many processes it killed."""


@dataclass(frozen=True)
class Plan:
    """How large a run is. A block's trades are open at the same time; a stage (opening, reducing, closing) takes `seconds` of faults when
    masters do something with every trade in it. `hands`: how many trades are made at the same time."""

    trades: int
    block: int
    seconds: float
    pause_s: tuple[float, float] = (1.0, 2.0)
    seed: int = 1
    hands: int = 1

    @property
    def blocks(self) -> list[range]:
        return [range(first, min(first + self.block, self.trades)) for first in range(0, self.trades, self.block)]


@dataclass
class Run:
    """A run and what came of it."""

    name: str
    stack: ChaosStack
    plan: Plan
    since: dict[str, int] = field(default_factory=dict)
    dead: int = 0
    """How many dead letters there have to be at the end."""
    within_s: float = CATCH_UP_S
    kills: int = 0
    converged_s: float = 0.0
    found: Found = field(default_factory=Found)

    def __post_init__(self) -> None:
        self.work = Workload(self.stack, self.since, self.plan.hands)
        self.seed = int(os.environ.get("CHAOS_SEED", self.plan.seed))
        self.chance = random.Random(self.seed)

    def go(self, hurt: Hurt) -> None:
        """The whole workload under a fault that comes again and again."""
        self.work.prepare()
        for block, numbers in enumerate(self.plan.blocks):
            for stage in STAGES:
                with self.burning(hurt):
                    self.work.act(block, stage, numbers, self.plan.seconds)
                self.catch_up(f"block {block}, stage {stage}")
        self.finish()

    @contextlib.contextmanager
    def burning(self, hurt: Hurt) -> Iterator[None]:
        """Hurts the stack in the background, and watches it, until the block ends; an error there is an error here."""
        over = threading.Event()
        errors: list[BaseException] = []

        def burn() -> None:
            while not over.wait(self.chance.uniform(*self.plan.pause_s)):
                self.kills += hurt(self.stack, self.chance)

        def watch() -> None:
            while not over.wait(1.0):
                self.found = self.found or unsafe(self.stack)

        def guarded(task: Callable[[], None]) -> None:
            try:
                task()
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=guarded, args=(task,)) for task in (burn, watch)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()
        if errors:
            raise errors[0]

    def catch_up(self, what: str) -> None:
        """Waits until everything is done that was asked for, and takes the time."""
        began = time.monotonic()
        if not wait_until(lambda: settled(self.work), PATIENCE_S):
            self.found = self.found or differences(self.work, self.dead)
            self.found.say(f"never done: {what}")
            self.close()
        self.converged_s = max(self.converged_s, time.monotonic() - began)

    def finish(self) -> None:
        """The full comparison, once what the others tell has arrived, and the closing line."""
        began = time.monotonic()
        if not self.found:
            wait_until(lambda: not differences(self.work, self.dead), CATCH_UP_S)
            self.found = differences(self.work, self.dead)
        self.converged_s = max(self.converged_s, time.monotonic() - began)
        self.found.wrong += self.stack.integrity()
        self.close()

    def close(self) -> None:
        """The closing line; raises when a figure of it is not as promised."""
        found = self.found
        line = (
            f"trades={len(self.work.world.trades)} kills={self.kills} lost={found.lost} duplicate={found.duplicate} "
            f"double_charge={found.double_charge} unbalanced={found.unbalanced} dead={found.dead} converged_s={self.converged_s:.1f}"
        )
        LINES.append(f"{self.name:<28} seed={self.seed} {line}")
        print(f"\n{self.name} seed={self.seed}: {line}")
        assert not found, "\n".join([line, *found.wrong, self.stack.log()[-3000:]])
        assert self.converged_s <= self.within_s, f"{line}: later than {self.within_s} s"
