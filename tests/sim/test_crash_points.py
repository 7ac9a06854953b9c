"""R2: a process ends at seam n of a fixed scenario, is started again, and all is done, once: at a commit, before it or after it, and
before and after each operation of the stream server, of every service, while copies are opened, reduced, closed, charged and paid."""

import os
from dataclasses import replace

from tests.chaos.oracle import World as Expected
from tests.sim.clock import run
from tests.sim.faults import CALM, Plan, Result
from tests.sim.run import Simulation, prepared
from tests.sim.world import quiet

EVERY = int(os.environ.get("SIM_CRASH_EVERY", "20"))
"""Each so many-th seam; 1: all of them."""
TRADES = range(13, 14)
"""Trade 13 of M1 is reduced in between, and followed by A, B and E."""


class Scenario(Simulation):
    """No chance but the one stop."""

    def __init__(self, stop_at: int) -> None:
        super().__init__(0, Plan(steps=1, faults=replace(CALM, reply=0.0)))
        self.stop_at = stop_at
        self.late, self.blank, self.numbers, self.block = None, False, TRADES, 3
        self.expected = Expected(block=self.block - 1)

    async def begin(self) -> None:
        stop_at, self.stop_at = self.stop_at, 0
        await super().begin()
        self.stop_at, self.result.seams = stop_at, 0


def scenario(stop_at: int) -> Result:
    prepared(None)
    with quiet():
        return run(Scenario(stop_at).go())


def test_an_end_at_a_seam_is_made_good() -> None:
    seams = scenario(0)
    assert seams.wrong == []
    assert seams.stops == 0
    assert seams.seams > 200
    results = {seam: scenario(seam) for seam in range(1 + EVERY // 2, seams.seams + 1, EVERY)}
    assert {seam: result.wrong for seam, result in results.items() if result.wrong or result.stops != 1} == {}
