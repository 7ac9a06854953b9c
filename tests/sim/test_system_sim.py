"""The whole system under all faults at once, seed by seed."""

import os

import pytest

from tests.sim.run import simulate

SEEDS = int(os.environ.get("SIM_SEEDS", "48"))
BLOCKS = 8


@pytest.mark.timeout(max(240, 2 * SEEDS))
@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_seed_loses_doubles_or_waits_for_ever(block: int) -> None:
    results = [simulate(seed) for seed in range(block, SEEDS, BLOCKS)]
    assert [result for result in results if result.wrong] == []
