"""Bugs that are planted in the product are caught by the simulation within 200 seeds, also by the quick runs of `make test`."""

import pytest

from tests.sim.faults import PLAN, QUICK, Plan
from tests.sim.planted import BUGS
from tests.sim.run import simulate

SEEDS = 200

pytestmark = [pytest.mark.sim, pytest.mark.timeout(900)]


@pytest.mark.parametrize("plan", [pytest.param(PLAN, id="usual"), pytest.param(QUICK, id="quick")])
@pytest.mark.parametrize("name", list(BUGS))
def test_a_planted_bug_is_caught(name: str, plan: Plan) -> None:
    with BUGS[name]():
        assert any(simulate(seed, plan).wrong for seed in range(SEEDS))
