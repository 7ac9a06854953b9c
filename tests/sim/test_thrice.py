"""R10: every message is delivered three times, in any order; afterwards all that the services keep is what a clean run keeps."""

import os
import random
from dataclasses import replace
from typing import Any

import pytest
from shared.store.outbox import Entry

from tests.chaos.oracle import World as Expected
from tests.sim.clock import run
from tests.sim.faults import CALM, Plan
from tests.sim.run import Simulation, prepared
from tests.sim.workload import Action
from tests.sim.world import SERVICES, World, quiet

SEEDS = int(os.environ.get("SIM_SEEDS", "40")) // 20
TRADES = 4
TIMES = 3
LOG = ("log_", "alembic_")
"""Tables of the log: in how many entries something was told is no part of what is kept."""


class StillWorld(World):
    """Time stands still while things are told: how long they were on their way is no part of what is kept."""

    at_ms = 0

    @property
    def now(self) -> int:
        return self.epoch_ms + self.at_ms


class Scenario(Simulation):
    """Trades without any fault, told once and in order, or several times and in any order."""

    world_class = StillWorld
    world: StillWorld

    def __init__(self, seed: int, times: int) -> None:
        super().__init__(seed, Plan(steps=1, faults=replace(CALM, reply=0.0)))
        first = random.Random(seed).randrange(48)
        self.times = times
        self.told = 0
        self.late, self.blank, self.numbers, self.block = None, False, range(first, first + TRADES), 3
        self.expected = Expected(block=self.block - 1)
        self.order = random.Random(seed)
        self.tables: dict[str, Any] = {}

    async def burn(self, actions: list[Action]) -> None:
        """One thing after the other, each told to everybody before the next."""
        for service, act in actions:
            self.world.at_ms += 1000
            assert await self.step(service, act)
            await self._sweep()
        for service in (*SERVICES, *SERVICES):
            self.world.at_ms += 1000
            assert await self.step(service, lambda service=service: self.world.tick(service))
            await self._sweep()

    async def hand_on(self, service: str, topic: str, entries: list[Entry]) -> None:
        """Each entry so many times, in any order, a few at a time; as often as it takes."""
        if self.times == 1:
            self.told += len(entries)
            await super().hand_on(service, topic, entries)
            return
        reader = self.world.processes[service].feeds[topic].reader
        while reader.place < entries[-1].number:
            several = entries * self.times
            self.order.shuffle(several)
            while several:
                some, several = several[: (count := self.order.randint(1, 6))], several[count:]
                self.told += len(some)
                await super().hand_on(service, topic, some)

    async def stages(self) -> None:
        await super().stages()
        self.tables = {f"{service} {name}": rows for service in SERVICES for name, rows in self._kept(service)}

    def _kept(self, service: str) -> list[tuple[str, list[Any]]]:
        """A service's tables, whole, times and all."""
        disk = self.world.disks[service]
        names = [name for (name,) in disk.rows("SELECT name FROM sqlite_master WHERE type = 'table'") if not name.startswith(LOG)]
        return [(name, sorted(disk.rows(f'SELECT * FROM "{name}"'), key=repr)) for name in names]


def scenario(seed: int, times: int) -> Scenario:
    prepared(None)
    made = Scenario(seed, times)
    with quiet(seed):
        result = run(made.go())
    assert result.wrong == []
    return made


@pytest.mark.parametrize("seed", range(SEEDS))
def test_three_times_in_any_order_is_as_once(seed: int) -> None:
    once, thrice = scenario(seed, 1), scenario(seed, TIMES)
    assert once.tables.keys() == thrice.tables.keys()
    assert {name: (rows, thrice.tables[name]) for name, rows in once.tables.items() if rows != thrice.tables[name]} == {}
    assert thrice.told >= TIMES * once.told > 100
