"""The session's cookie, as the console's own process sends it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.ports import free_base

READY_S = 60


def answered(url: str) -> httpx.Response:
    """The page, once the process serves it."""
    until = time.monotonic() + READY_S
    while True:
        try:
            return httpx.get(url, timeout=10)
        except httpx.HTTPError:
            assert time.monotonic() < until
            time.sleep(0.1)


@pytest.mark.parametrize("secure", ["false", "true"])
def test_it_is_http_only_and_travels_over_https_alone_where_that_is_set(tmp_path: Path, secure: str) -> None:
    port = free_base(1)
    own = {"LOCKSTEP_HOME": str(tmp_path), "LOCKSTEP_HTTP_PORT": str(port), "LOCKSTEP_SECURE_COOKIE": secure}
    left_out = {name: value for name, value in os.environ.items() if not name.startswith(("LOCKSTEP_", "NICEGUI_", "PYTEST_"))}
    with subprocess.Popen([sys.executable, "-m", "console"], env=left_out | own, stdout=subprocess.DEVNULL) as process:
        try:
            answer = answered(f"http://127.0.0.1:{port}/login")
        finally:
            process.terminate()
    assert answer.status_code == 200
    name, *rest = answer.headers["set-cookie"].lower().split("; ")
    assert name.startswith("lockstep_console=")
    assert {"httponly", "samesite=lax"} <= set(rest)
    assert ("secure" in rest) == (secure == "true")
