"""`lockstep sim`: runs the simulation of the whole system, seed by seed; it is part of the source, not of what is installed."""

import importlib
import json
import sys
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from lockstep.options import JsonOption, progress
from lockstep.stack import StackError

SIMULATION = Path("tests") / "sim" / "run.py"


class Failure(NamedTuple):
    """A seed that did not end as it must, and what was wrong with it."""

    seed: int
    wrong: list[str]
    replay: str


def source() -> Path:
    """The checkout that holds the simulation: around this file, or around where we are. Raises StackError."""
    for start in (Path(__file__).resolve(), Path.cwd() / "here"):
        for folder in start.parents:
            if (folder / SIMULATION).is_file():
                return folder
    raise StackError(
        "the simulation comes with the source, not with an installed Lockstep: run this in a checkout of it, after `make setup`"
    )


def simulation() -> Any:
    """The module that runs a seed. Raises StackError when it is not there, or what it needs is not installed."""
    folder = str(source())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module("tests.sim.run")
    except ImportError as missing:
        raise StackError(f"the simulation cannot be loaded ({missing}): `make setup` installs what it needs") from missing


def sim_command(
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds to run.")] = 20,
    first: Annotated[int, typer.Option(min=0, help="The first of them.")] = 0,
    trace: Annotated[bool, typer.Option("--trace", help="Tell each thing that happens, on standard error.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Simulate the whole system in one process under all faults at once, one run a seed; a seed always goes the same way.

    Needs a checkout of the source. Prints the seeds that did not end as they must, and how to see each again; exit code 1 then.

    Example: lockstep sim --seeds 200 --first 1000
    """
    run = simulation()
    failures: list[Failure] = []
    with progress() as told:
        for place, seed in enumerate(range(first, first + seeds), 1):
            result = run.simulate(seed, trace=(lambda text: typer.echo(text, err=True)) if trace else None)
            if result.wrong:
                failures.append(Failure(seed, result.wrong, f"lockstep sim --seeds 1 --first {seed} --trace"))
                if not as_json:
                    print(f"seed {seed}: {result.wrong[0]}\n  again: {failures[-1].replay}")
            told("seeds", place, seeds)
    if as_json:
        print(json.dumps({"seeds": seeds, "first": first, "failures": [failure._asdict() for failure in failures]}, indent=2))
    else:
        print(f"{seeds} seeds from {first} on, {len(failures)} failed")
    if failures:
        raise typer.Exit(1)
