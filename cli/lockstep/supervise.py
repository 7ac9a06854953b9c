"""Runs programs and keeps them running: a dead one is started again, its lines are passed on, and none outlives its supervisor."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0)
"""How long a program that died stays down: the first, the second ... time in a row."""
STEADY_S = 10.0
"""A program that lived for so long begins again with the first pause."""
KILL_WAIT_S = 1.0
LINE_LIMIT = 1 << 20

Told = Callable[[str, str], None]
"""Takes a program's name and one line that it wrote."""

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class Program:
    """What to run under a name. `when_orphaned` is what the kernel sends it should the supervisor be killed (Linux)."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    when_orphaned: signal.Signals = signal.SIGKILL


class Child:
    """One program, and the process that runs it now; its pid is in `run_dir/NAME.pid` as long as it is there."""

    def __init__(self, program: Program, run_dir: Path, told: Told) -> None:
        self.program = program
        self.starts = 0
        self._pid_file = run_dir / f"{program.name}.pid"
        self._told = told
        self._process: asyncio.subprocess.Process | None = None
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Runs the program from now on. It may be called once."""
        assert self._task is None
        self._task = asyncio.create_task(self._keep_running(), name=self.program.name)

    async def stop(self, patience_s: float) -> None:
        """Asks the program to end (SIGTERM), and ends it (SIGKILL) when it has not within `patience_s`."""
        self._stop.set()
        if self._task is None:
            return
        self._send(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._task), patience_s)
            return
        self._told(self.program.name, f"does not stop within {patience_s:g} s: killed")
        self._send(signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._task, KILL_WAIT_S)

    def kill(self) -> None:
        """Ends the program at once and for good."""
        self._stop.set()
        self._send(signal.SIGKILL)

    async def _keep_running(self) -> None:
        failures = 0
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                ending = await self._run_once()
            except OSError as fault:
                ending = f"cannot be started: {fault}"
            if self._stop.is_set():
                return
            failures = 0 if time.monotonic() - started >= STEADY_S else failures + 1
            pause = PAUSES_S[min(max(failures - 1, 0), len(PAUSES_S) - 1)]
            self._told(self.program.name, f"{ending}; starts again in {pause:g} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)

    async def _run_once(self) -> str:
        """Runs the program until it ends; says how it ended."""
        self._process = process = await asyncio.create_subprocess_exec(
            *self.program.command,
            env=dict(self.program.env),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LINE_LIMIT,
            start_new_session=True,  # a Ctrl-C on the terminal is the supervisor's alone: it stops them in order
            preexec_fn=_die_with_parent(self.program.when_orphaned, os.getpid()),
        )
        self.starts += 1
        write_whole(self._pid_file, f"{process.pid}\n")
        if self._stop.is_set():
            self._send(signal.SIGTERM)
        assert process.stdout is not None
        try:
            await self._pass_on(process.stdout)
            code = await process.wait()
        finally:
            self._pid_file.unlink(missing_ok=True)
        return f"ended with exit code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"

    async def _pass_on(self, lines: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await lines.readline()
            except ValueError:
                self._told(self.program.name, f"(a line of more than {LINE_LIMIT} bytes was left out)")
                continue
            if not line:
                return
            self._told(self.program.name, line.decode("utf-8", "replace").rstrip("\r\n"))

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)


def write_whole(path: Path, text: str, mode: int = 0o600) -> None:
    """Writes a file so that nobody ever sees a part of it, and only its owner sees it at all."""
    part = path.with_name(f".{path.name}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    part.replace(path)


def _die_with_parent(number: signal.Signals, parent: int) -> Callable[[], None] | None:
    """What the child does before it becomes its program: asks the kernel for a signal when its parent is gone."""
    libc = _libc
    if libc is None:
        return None

    def before_exec() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # the parent died between the fork and the request

    return before_exec
