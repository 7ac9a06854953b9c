"""`lockstep sim`: what it prints, how it ends, and what it says where there is no source."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from lockstep import sim
from lockstep.main import app
from typer.testing import CliRunner

from tests.sim.faults import Result

runner = CliRunner()


def test_seeds_that_are_good() -> None:
    done = runner.invoke(app, ["sim", "--seeds", "2", "--first", "2"])
    assert (done.exit_code, done.stdout.strip()) == (0, "2 seeds from 2 on, 0 failed")


def test_a_seed_that_fails_is_named_with_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def simulate(seed: int, trace: Callable[[str], None] | None = None) -> Result:
        if trace is not None:
            trace("executor: reads")
        return Result(seed, wrong=["a deal is lost"] if seed == 8 else [])

    monkeypatch.setattr("tests.sim.run.simulate", simulate)
    shown = runner.invoke(app, ["sim", "--seeds", "3", "--first", "7"])
    told = runner.invoke(app, ["sim", "--seeds", "3", "--first", "7", "--json"])
    traced = runner.invoke(app, ["sim", "--seeds", "1", "--trace"])
    assert (shown.exit_code, told.exit_code, traced.exit_code) == (1, 1, 0)
    assert shown.stdout.splitlines() == [
        "seed 8: a deal is lost",
        "  again: lockstep sim --seeds 1 --first 8 --trace",
        "3 seeds from 7 on, 1 failed",
    ]
    found = json.loads(told.stdout)
    assert (found["seeds"], found["first"], [failure["seed"] for failure in found["failures"]]) == (3, 7, [8])
    assert "executor: reads" in traced.stderr


def test_where_there_is_no_source_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sim, "SIMULATION", Path("tests") / "nowhere.py")
    monkeypatch.chdir(tmp_path)
    done = runner.invoke(app, ["sim"])
    assert done.exit_code == 1
    assert "in a checkout of it" in done.stderr
