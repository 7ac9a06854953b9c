"""Chaos: real processes are hurt while masters trade; what comes of it is exactly what the oracle says, soon after the last fault."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos import faults
from tests.chaos.burning import Hurt, Plan, Run
from tests.chaos.stack import running

SCALE = int(os.environ.get("CHAOS_SCALE", "1"))
"""`CHAOS_SCALE=10 make chaos` makes ten times as many trades."""

SMALL = Plan(trades=48, block=48, seconds=5)


def full(trades: int, block: int, seconds: float, **more: object) -> Plan:
    return Plan(trades * SCALE, block, seconds, **more)  # type: ignore[arg-type]


def run(name: str, folder: Path, plan: Plan, hurt: Hurt, urls: dict[str, str] | None = None) -> Run:
    with running(folder, urls) as stack:
        one = Run(name, stack, plan)
        one.go(hurt)
        return one


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_services_killed_while_masters_trade(tmp_path: Path) -> None:
    """R3, small."""
    run("R3 small", tmp_path, SMALL, faults.kill_a_service)
