"""What the console's own process makes of its settings: the cookie, the proxies that it believes, how long it waits for the api."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from console.api import AWAY, Api, ApiError
from console.app import create_app
from console.settings import Settings

from tests.ports import free_base

pytestmark = pytest.mark.anyio
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


@contextmanager
def console(home: Path, **told: str) -> Iterator[str]:
    """The URL of a console."""
    port = free_base(1)
    own = {"LOCKSTEP_HOME": str(home), "LOCKSTEP_HTTP_PORT": str(port)}
    left_out = {name: value for name, value in os.environ.items() if not name.startswith(("LOCKSTEP_", "NICEGUI_", "PYTEST_"))}
    with subprocess.Popen([sys.executable, "-m", "console"], env=left_out | own | told, stdout=subprocess.DEVNULL) as process:
        try:
            answered(f"http://127.0.0.1:{port}/healthz")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@pytest.mark.parametrize(("secure", "proxies", "scheme"), [("false", "", "http"), ("true", "127.0.0.1", "https")])
def test_a_cookie_and_an_address_behind_a_proxy(tmp_path: Path, secure: str, proxies: str, scheme: str) -> None:
    """The cookie is for https alone where that is set; what a proxy says of the request is believed where it is named."""
    with console(tmp_path, LOCKSTEP_SECURE_COOKIE=secure, LOCKSTEP_TRUSTED_PROXIES=proxies) as url:
        answer = httpx.get(f"{url}/login", timeout=10)
        moved = httpx.get(f"{url}/login/", headers={"X-Forwarded-Proto": "https"}, timeout=10)
    assert answer.status_code == 200
    name, *rest = answer.headers["set-cookie"].lower().split("; ")
    assert name.startswith("lockstep_console=")
    assert {"httponly", "samesite=lax"} <= set(rest)
    assert ("secure" in rest) == (secure == "true")
    assert moved.headers["location"].partition("://")[0] == scheme


async def test_the_api_is_waited_for_as_long_as_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Api] = []

    def noted(*told: Any) -> Api:
        made.append(Api(*told))
        raise EOFError

    # The function's own module: a simulated page may have imported the console anew since.
    monkeypatch.setitem(create_app.__globals__, "Api", noted)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(EOFError):
            create_app(Settings(api_url=f"http://127.0.0.1:{silent.getsockname()[1]}", api_timeout_s=0.2))
        began = time.monotonic()
        with pytest.raises(ApiError, match=AWAY):
            await made[0].call("GET", "/copytrade/masters")
    assert time.monotonic() - began < 5
