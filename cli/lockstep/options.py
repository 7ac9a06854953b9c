"""Options that several commands share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lockstep.stack import MOST_SHARDS, STORED, Home

HomeOption = Annotated[Path, typer.Option("--home", help="The stack's folder: stores, Redis's files, secrets, pids.")]

ServiceOption = Annotated[str | None, typer.Option("--service", help=f"Only this one's store: {', '.join(STORED)}.")]
UrlOption = Annotated[str | None, typer.Option("--database-url", help="The store's URL when it is not in the home (with --service).")]
ShardsOption = Annotated[
    int | None, typer.Option(min=1, max=MOST_SHARDS, help="Processes that share its followers; as the home has it, or 1.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer as JSON, for programs.")]


def home_of(path: Path) -> Home:
    return Home(path.expanduser().resolve())


def stamp(ms: int) -> str:
    """A time (Unix milliseconds) as a person reads it."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Shows on a terminal's standard error that something is under way that has no length known beforehand."""
    with Console(stderr=True).status(what):
        yield


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """Bars on a terminal's standard error: to be told what is done, how much of it, and how much there is."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks = {}

        def told(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done)

        yield told
