"""Bugs that are planted in the product are caught by the simulation within 200 seeds."""

import pytest

from tests.sim.planted import BUGS
from tests.sim.run import simulate

SEEDS = 200

pytestmark = [pytest.mark.sim, pytest.mark.timeout(900)]


@pytest.mark.parametrize("name", list(BUGS))
def test_a_planted_bug_is_caught(name: str) -> None:
    with BUGS[name]():
        assert any(simulate(seed).wrong for seed in range(SEEDS))
