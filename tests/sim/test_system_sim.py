"""The whole system under all faults at once, seed by seed."""

import os

import pytest

from tests.sim.faults import PLAN, QUICK, Plan
from tests.sim.run import simulate

SEEDS = int(os.environ.get("SIM_SEEDS", "500"))
BLOCKS = 10


def failures(block: int, plan: Plan) -> list[object]:
    """What was wrong in a block of the seeds."""
    return [result for seed in range(block, SEEDS, BLOCKS) if (result := simulate(seed, plan)).wrong]


@pytest.mark.timeout(max(240, 2 * SEEDS))
@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_seed_loses_doubles_or_waits_for_ever(block: int) -> None:
    assert failures(block, QUICK) == []


@pytest.mark.sim
@pytest.mark.timeout(max(240, 2 * SEEDS))
@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_seed_of_the_usual_size_does(block: int) -> None:
    assert failures(block, PLAN) == []
