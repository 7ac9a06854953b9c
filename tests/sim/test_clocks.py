"""R15: the clock of one service is an hour ahead, an hour behind, or jumps: no fee period ends early, and none is charged twice.

The ends of two months of a master who is paid 36.5 % a year of what a follower has: 1000 * 0.365 * 30 / 365 = 30.00 for the whole of June.
The venue speaks in each half hour.
"""

import os
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from api.bodies import FollowerCreate, MasterCreate, SubscriptionCreate
from api.commands import followers, masters, subscriptions

from tests.sim.check import UNIT, Safety
from tests.sim.clock import run
from tests.sim.disk import blank
from tests.sim.faults import PLAN
from tests.sim.latecomers import Latecomers
from tests.sim.run import HOUR_MS, Simulation
from tests.sim.workload import Workload
from tests.sim.world import SERVICES, World, quiet

SEEDS = int(os.environ.get("SIM_CLOCKS", "1"))
STEP_MS = HOUR_MS // 2
MASTER, FOLLOWER = 11, 21
JUNE = 30 * UNIT
WRONG = {"ahead": HOUR_MS, "behind": -HOUR_MS, "jumps": 0}


def at(text: str) -> int:
    """Unix milliseconds of a UTC time."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


EVENINGS = (at("2026-05-31 22:30"), at("2026-06-30 22:30"))
MIDNIGHTS = (at("2026-06-01"), at("2026-07-01"))
LAST_MS = 3 * HOUR_MS
"""An evening goes on until half past one: a clock that is an hour behind is past midnight by then, too."""


class Scenario(Simulation):
    """One service's clock is wrong."""

    def __init__(self, seed: int, service: str, wrong: str) -> None:
        super().__init__(seed, PLAN)
        self.service, self.wrong = service, wrong
        self.early: list[str] = []

    async def days(self) -> list[tuple[int, int, int]]:
        """Both evenings; answers the accruals."""
        await self._begin()
        for evening in EVENINGS:
            for step in range(LAST_MS // STEP_MS + 1):
                self.world.epoch_ms += max(0, evening + step * STEP_MS - self.world.now)
                if self.wrong == "jumps":
                    self.world.offsets[self.service] = self.chance.randint(-HOUR_MS, HOUR_MS)
                await self._turn()
                self.early += [f"{row} at {self.world.now}" for row in self._accruals() if row[1] > self.world.now]
        return self._accruals()

    async def _begin(self) -> None:
        world = self.world = World({service: blank(service) for service in SERVICES}, self.chance, epoch_ms=EVENINGS[0])
        self.work, self.safety = Workload(world), Safety(world)
        self.latecomers = Latecomers(self.work, self.safety, [], [])
        world.offsets[self.service] = WRONG[self.wrong]
        for service in SERVICES:
            await world.start(service)
        for _, act in self.work.prices(0, 0):
            await act()
        logins = []
        for customer in (MASTER, FOLLOWER):
            body = {"customer_id": customer, "group": "real-usd", "balance": 1000, "leverage": 100}
            logins.append((await self.work._venue("open_account", body))["login"])
        await self._sweep()
        policy = {"reward_type": 4, "billing_period": "monthly", "fee_percent": Decimal("36.5"), "payout_account_login": logins[0]}
        master = {"login": logins[0], "strategy_name": "monthly", "visibility": "public", "reward_policy": policy}
        await self.work.api(MASTER, "master", masters.create, MasterCreate.model_validate(master))
        await self.work.api(FOLLOWER, "follower", followers.create, FollowerCreate(login=logins[1]))
        pair = {"master_login": logins[0], "follower_login": logins[1], "volume_mode": 0, "fixed_volume": 1}
        await self.work.api(FOLLOWER, "subscription", subscriptions.create, SubscriptionCreate.model_validate(pair))
        await self._sweep()

    async def _turn(self) -> None:
        """The venue speaks, everybody listens, and all loops turn, a few times."""
        for _, act in self.work.prices(0, self.chance.randrange(3)):
            await act()
        for _ in range(2):
            await self._sweep()
            for service in SERVICES:
                await self.step(service, lambda service=service: self.world.tick(service))

    def _accruals(self) -> list[tuple[int, int, int]]:
        return self.world.disks["rewards"].rows("SELECT period_from, period_to, fee_amount FROM accrual ORDER BY period_to")


def a_wrong_clock(seed: int, service: str, wrong: str) -> None:
    made = Scenario(seed, service, wrong)
    with quiet(seed):
        accruals = run(made.days())
    made.world.close()
    assert made.early == []
    assert [to for _, to, _ in accruals] == list(MIDNIGHTS)
    assert accruals[1][2] == JUNE


@pytest.mark.parametrize(("service", "wrong"), [("rewards", "ahead"), ("rewards", "jumps"), ("gateway", "ahead")])
def test_a_wrong_clock_charges_nothing_early_or_twice(service: str, wrong: str) -> None:
    a_wrong_clock(0, service, wrong)


@pytest.mark.sim
@pytest.mark.parametrize("wrong", list(WRONG))
@pytest.mark.parametrize("service", SERVICES)
def test_any_service_s_clock(service: str, wrong: str) -> None:
    for seed in range(SEEDS):
        a_wrong_clock(seed, service, wrong)
