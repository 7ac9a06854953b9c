"""R11: of all that is asked of the venue it drops 10 % of the answers, never gets 5 %, and answers 5 % after the time-out; from the first
order to the last payment. Nothing is done twice, nothing stays unknown, and what is unknown is asked for under its own id."""

import json
import os
from collections import Counter
from dataclasses import replace

import pytest
from shared.contracts.orders import ORDER_EVENTS, CloseCopies, OpenCopies

from tests.chaos.oracle import World as Expected
from tests.sim.check import SETTLED, Safety
from tests.sim.clock import run
from tests.sim.faults import CALM, Plan
from tests.sim.run import Simulation, prepared
from tests.sim.venue import DONE, Line
from tests.sim.workload import Action
from tests.sim.world import World, quiet

SEEDS = int(os.environ.get("SIM_SEEDS", "40")) // 10
TRADES = 6
UNKNOWN_MS = {"executor": 30_000, "rewards": 60_000}
"""The executor asks for an order every 2 s. A payment is asked for in growing distances, and has two legs."""
BAD = Line(dropped=0.10, away=0.05, late=0.05)


class Watch(Safety):
    """Looks after each step for how long anything has been unknown, too."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.since: dict[tuple[str, int, str], int] = {}
        self.longest_ms = dict.fromkeys(UNKNOWN_MS, 0)

    def look(self) -> None:
        super().look()
        waiting = [
            ("executor", *row)
            for row in self.world.disks["executor"].rows("SELECT id, phase FROM link WHERE reason = 'UNKNOWN' AND state = 0")
        ]
        unpaid = f"SELECT id, phase FROM accrual WHERE phase NOT IN {SETTLED}"
        waiting += [("rewards", *row) for row in self.world.disks["rewards"].rows(unpaid)]
        self.since = {one: self.since.get(one, self.world.now) for one in waiting}
        for (service, *_), since in self.since.items():
            self.longest_ms[service] = max(self.longest_ms[service], self.world.now - since)


class Scenario(Simulation):
    """The line is the one fault, and it never ends."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, Plan(steps=2, faults=replace(CALM, line=BAD)))
        first = self.chance.randrange(48)
        self.late, self.blank, self.numbers, self.block = None, False, range(first, first + TRADES), 3
        self.expected = Expected(block=self.block - 1)
        self.rows: Counter[str] = Counter()

    async def begin(self) -> None:
        await super().begin()
        self.safety = self.watch = Watch(self.world)

    async def burn(self, actions: list[Action]) -> None:
        await super().burn(actions)
        self.faults = self.plan.faults

    async def stages(self) -> None:
        await super().stages()
        venue = self.world.processes["gateway"].venue
        assert venue is not None
        self.rows.update(venue.counts)
        self.sent = self._sent()
        answered = self.world.disks["gateway"].rows("SELECT key FROM answer WHERE key LIKE 'c-%'")
        self.answered = {client_id for (client_id,) in answered}

    def _sent(self) -> set[str]:
        """The client ids of all orders that the executor ever sent."""
        found: set[str] = set()
        for payload in self.safety.written("copy.order"):
            for raw in json.loads(payload)["events"]:
                event = ORDER_EVENTS.validate_python(raw)
                if isinstance(event, OpenCopies):
                    found |= {f"c-{row.subscription}-{event.master_order}-open-0" for row in event.rows}
                if isinstance(event, CloseCopies):
                    found |= {f"c-{row.subscription}-{event.master_order}-close-{row.step}" for row in event.rows}
        return found


def scenario(seed: int) -> Scenario:
    prepared(None)
    made = Scenario(seed)
    with quiet(seed):
        result = run(made.go())
    assert result.wrong == []
    return made


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_bad_line_to_the_venue(seed: int) -> None:
    made = scenario(seed)
    assert made.rows.total() - made.rows[DONE] > 3, made.rows
    assert all(longest <= UNKNOWN_MS[service] for service, longest in made.watch.longest_ms.items()), made.watch.longest_ms
    assert made.sent == made.answered, "each id that was ever sent was done, or refused, once"
