"""The numbered log under all faults at once, seed by seed; and a rule of it left out, to show that the simulation would notice."""

import pytest

from tests.sim.log_sim import simulate

pytestmark = pytest.mark.anyio

SEEDS = 16


async def test_no_seed_loses_doubles_or_reorders() -> None:
    assert [seed for seed in range(SEEDS) if not await simulate(seed)] == []


async def test_without_answers_to_requests_a_seed_fails() -> None:
    assert not await simulate(0, without="answer")
