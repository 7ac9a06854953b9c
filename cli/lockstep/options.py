"""Options that several commands share."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

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
