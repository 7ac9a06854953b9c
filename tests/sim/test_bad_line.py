"""R11: of all that is asked of the venue it drops 10 % of the answers, never gets 5 %, and answers 5 % after the time-out; from the first
order to the last payment. Nothing is done twice, nothing stays unknown, and what is unknown is asked for under its own id."""

import json
import os
from collections import Counter, defaultdict
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
from tests.sim.world import EXECUTOR, World, quiet

SEEDS = int(os.environ.get("SIM_SEEDS", "40")) // 10
TRADES = 6
UNKNOWN_MS = {"executor": 30_000, "rewards": 60_000}
"""A payment is asked for in growing distances, and has two legs."""
BAD = Line(dropped=0.10, away=0.05, late=0.05)


class Watch(Safety):
    """Looks after each step for how long anything has been unknown, too.

    An order is asked for again when it has been unknown for `unknown_after_ms`; what is counted is how often. By the simulation's time it
    takes longer: its loops have their turns one after the other, so the timer that has its turn each second has it every 10 s or so.
    """

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.asked: dict[tuple[int, str], set[int]] = defaultdict(set)
        self.since: dict[tuple[int, str], int] = {}
        self.longest_ms = dict.fromkeys(UNKNOWN_MS, 0)

    def look(self) -> None:
        super().look()
        unknown = self.world.disks["executor"].rows("SELECT id, phase, sent_ms FROM link WHERE reason = 'UNKNOWN' AND state = 0")
        self.asked = defaultdict(set, {(one, phase): self.asked[one, phase] | {sent_ms} for one, phase, sent_ms in unknown})
        often = max(map(len, self.asked.values()), default=0)
        self.longest_ms["executor"] = max(self.longest_ms["executor"], often * EXECUTOR.unknown_after_ms)
        unpaid = self.world.disks["rewards"].rows(f"SELECT id, phase FROM accrual WHERE phase NOT IN {SETTLED}")
        self.since = {(one, phase): self.since.get((one, phase), self.world.now) for one, phase in unpaid}
        waited = self.world.now - min(self.since.values(), default=self.world.now)
        self.longest_ms["rewards"] = max(self.longest_ms["rewards"], waited)


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
