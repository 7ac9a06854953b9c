"""The supervisor with tiny programs: what dies comes back, what should stop does, and nothing outlives it."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from lockstep.supervise import Child, Program, write_whole

pytestmark = pytest.mark.anyio

SLEEPS = "print('up', flush=True)\nimport time\ntime.sleep(60)"
STUBBORN = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{SLEEPS}"


def program(code: str, name: str = "small") -> Program:
    return Program(name, (sys.executable, "-S", "-c", code), os.environ)


class Lines:
    """What the programs said, and a wait for more of it."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str]] = []

    def __call__(self, name: str, text: str) -> None:
        self.all.append((name, text))

    async def until(self, holds: Callable[[], bool], timeout_s: float = 10) -> None:
        async with asyncio.timeout(timeout_s):
            while not holds():  # noqa: ASYNC110  (another process does it: there is no event)
                await asyncio.sleep(0.01)

    def count(self, text: str) -> int:
        return sum(line == text for _, line in self.all)


def alive(pid: int) -> bool:
    """Whether the process runs (one that has ended but was not waited for does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_lines_come_with_their_program_s_name(tmp_path: Path) -> None:
    lines = Lines()
    child = Child(program("import os\nos.write(1, b'one\\n\\xff two\\r\\nlast')\nimport time\ntime.sleep(60)"), tmp_path, lines)
    child.start()
    await lines.until(lambda: len(lines.all) >= 2)
    await child.stop(5)
    assert lines.all == [("small", "one"), ("small", "\ufffd two"), ("small", "last")]


async def test_a_line_that_is_too_long_is_left_out_and_the_next_one_comes(tmp_path: Path) -> None:
    lines = Lines()
    child = Child(program(f"print('x' * {3 << 20})\nprint('after', flush=True)\nimport time\ntime.sleep(60)"), tmp_path, lines)
    child.start()
    await lines.until(lambda: lines.count("after") == 1)
    await child.stop(5)
    assert any("left out" in text for _, text in lines.all)
    assert max(len(text) for _, text in lines.all) < 1 << 20


async def test_a_killed_program_is_back_at_once_under_a_new_pid(tmp_path: Path) -> None:
    lines = Lines()
    child = Child(program(SLEEPS), tmp_path, lines)
    child.start()
    await lines.until(lambda: lines.count("up") == 1)
    first = int((tmp_path / "small.pid").read_text())
    began = time.monotonic()
    os.kill(first, signal.SIGKILL)
    await lines.until(lambda: lines.count("up") == 2)
    assert time.monotonic() - began < 5
    assert int((tmp_path / "small.pid").read_text()) != first
    assert ("small", "was ended by SIGKILL; starts again in 0.2 s") in lines.all
    await child.stop(5)
    assert not (tmp_path / "small.pid").exists()


async def test_one_that_dies_at_once_is_started_ever_more_slowly(tmp_path: Path) -> None:
    lines = Lines()
    child = Child(program("raise SystemExit(3)"), tmp_path, lines)
    child.start()
    await lines.until(lambda: child.starts == 3)
    await lines.until(lambda: len(lines.all) == 3)
    began = time.monotonic()
    await child.stop(5)
    assert time.monotonic() - began < 0.9, "a stop does not wait for the pause"
    assert [text for _, text in lines.all] == [f"ended with exit code 3; starts again in {pause} s" for pause in ("0.2", "0.5", "1")]
    await asyncio.sleep(0.3)
    assert child.starts == 3


async def test_a_program_that_is_not_there_is_said_and_tried_again(tmp_path: Path) -> None:
    lines = Lines()
    child = Child(Program("gone", ("/nowhere/at-all",), {}), tmp_path, lines)
    child.start()
    await lines.until(lambda: len(lines.all) == 2)
    await child.stop(5)
    assert lines.all[0][1].startswith("cannot be started: [Errno 2]")


async def test_one_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    lines = Lines()
    child = Child(program(STUBBORN), tmp_path, lines)
    child.start()
    await lines.until(lambda: lines.count("up") == 1)
    pid = int((tmp_path / "small.pid").read_text())
    began = time.monotonic()
    await child.stop(0.3)
    assert 0.3 <= time.monotonic() - began < 4
    assert not alive(pid)
    assert ("small", "does not stop within 0.3 s: killed") in lines.all


async def test_it_is_stopped_even_while_it_is_being_started(tmp_path: Path) -> None:
    child = Child(program(SLEEPS), tmp_path, Lines())
    child.start()
    await asyncio.sleep(0)
    began = time.monotonic()
    await child.stop(5)
    assert time.monotonic() - began < 4
    assert not (tmp_path / "small.pid").exists()


SUPERVISOR = f"""
import asyncio, os, sys
from pathlib import Path
from lockstep.supervise import Child, Program
async def main():
    child = Child(Program("small", (sys.executable, "-S", "-c", {STUBBORN!r}), os.environ), Path(sys.argv[1]), lambda name, text: None)
    child.start()
    await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's signal to orphans is Linux's")
async def test_a_killed_supervisor_takes_its_programs_along(tmp_path: Path) -> None:
    supervisor = subprocess.Popen([sys.executable, "-c", SUPERVISOR, str(tmp_path)])
    lines = Lines()
    try:
        await lines.until((tmp_path / "small.pid").exists)
        pid = int((tmp_path / "small.pid").read_text())
        assert alive(pid)
        supervisor.kill()
        supervisor.wait()
        await lines.until(lambda: not alive(pid), 5)
    finally:
        with contextlib.suppress(ProcessLookupError):
            supervisor.kill()


async def test_what_is_written_whole_is_its_owner_s_alone(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    write_whole(file, "one")
    write_whole(file, "two")
    assert file.read_text() == "two"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [file] == list(tmp_path.glob("*"))
