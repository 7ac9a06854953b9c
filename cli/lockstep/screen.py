"""What a person sees of a running stack: every program's lines under its name, and on a terminal the demo's live table below them."""

import json
import os
import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live
from rich.text import Text

from lockstep.table import LiveTable, Snapshot, plain

COLOURS = {
    "lockstep": "bold white",
    "redis": "red",
    "gateway": "cyan",
    "api": "green",
    "executor": "yellow",
    "rewards": "magenta",
    "stats": "blue",
    "console": "bright_magenta",
    "demo": "bright_cyan",
}
WIDTH = max(len(name) for name in COLOURS)
PLAIN_EVERY_S = 5.0


class Output(Console):
    """The command's output; that nobody reads it any more is an error like any other, and not the process's end."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class Screen:
    """Prints lines as they come. When nobody reads them any more (a pipe's reader or the terminal is gone) it says so once, to `closed`,
    and is silent from then on."""

    def __init__(self, console: Console | None = None, closed: Callable[[], None] = lambda: None) -> None:
        self._console = console or Output(highlight=False, soft_wrap=True)
        self._closed = closed
        self._live: Live | None = None
        self._plain_at = 0.0
        self._gone = False

    def line(self, name: str, text: str) -> None:
        """One line of a program; the demo's figures (JSON lines) become the table."""
        if name == "demo" and text.startswith("{"):
            self.figures(Snapshot.of(json.loads(text)))
            return
        self._print(Text.assemble((f"{name:<{WIDTH}} | ", COLOURS.get(name, "")), Text.from_ansi(text)))

    def say(self, text: str) -> None:
        """A line of the command's own, without a prefix."""
        self._print(Text(text))

    def figures(self, snapshot: Snapshot) -> None:
        """The newest figures: the live table, or a plain line every few seconds when this is no terminal."""
        if self._console.is_terminal:
            self._write(lambda: self._table(LiveTable(snapshot)))
        elif time.monotonic() - self._plain_at >= PLAIN_EVERY_S:
            self._plain_at = time.monotonic()
            for text in plain(snapshot):
                self.line("demo", text)

    def close(self) -> None:
        """Leaves the table as it was last."""
        if self._live is not None:
            self._write(self._live.stop)
            self._live = None

    def _table(self, table: LiveTable) -> None:
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
            self._live.start()
        self._live.update(table, refresh=True)

    def _print(self, text: Text) -> None:
        self._write(lambda: self._console.print(text))

    def _write(self, write: Callable[[], None]) -> None:
        if self._gone:
            return
        try:
            write()
            self._console.file.flush()
        except OSError:
            self._gone = True
            silence = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silence, self._console.file.fileno())  # what is left in buffers must not raise again when they are flushed
            self._closed()
