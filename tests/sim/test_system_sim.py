"""The whole system under all faults at once, seed by seed; the seeds that once failed, for good."""

import pytest

from tests.sim.run import simulate

SEEDS = 500
BLOCKS = 10
FAILED_ONCE: tuple[int, ...] = ()
"""Seeds that showed a fault of the product, each mended since."""


@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_seed_loses_doubles_or_waits_for_ever(block: int) -> None:
    results = [simulate(seed) for seed in range(block, SEEDS, BLOCKS)]
    assert [result for result in results if result.wrong] == []


@pytest.mark.parametrize("seed", FAILED_ONCE)
def test_a_seed_that_failed_once(seed: int) -> None:
    assert simulate(seed).wrong == []
