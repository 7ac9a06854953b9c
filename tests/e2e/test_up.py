"""`lockstep up` as a person starts it: ready, supervised, stopped within ten seconds, and going on where it was."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from lockstep.main import app
from typer.testing import CliRunner

from tests.e2e.running import is_ready
from tests.ports import free_base

PORTS = {"console": 0, "api": 1, "gateway": 3, "executor": 4, "rewards": 5, "stats": 6}
SERVICES = tuple(PORTS)
READY_S = 60
TRADING_S = 180
"""The robots look at some bars before their first trade; a busy machine takes its time."""
"""Generous: the promise is 20 s, on a machine that does nothing else."""


class Up:
    """One `lockstep up`, its lines, and its end."""

    def __init__(self, home: Path, base: int, *options: str) -> None:
        self.home, self.base = home, base
        self.lines: list[str] = []
        self.began = time.monotonic()
        command = [sys.executable, "-m", "lockstep", "up", "--home", str(home), "--port-base", str(base), *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def until(self, holds: Callable[[], bool], timeout_s: float = READY_S) -> None:
        until = time.monotonic() + timeout_s
        while not holds():
            assert time.monotonic() < until, "\n".join(self.lines[-60:])
            time.sleep(0.05)

    def ready(self) -> None:
        self.until(lambda: self.process.poll() is not None or any(line.startswith("ready") for line in self.lines))
        assert self.process.poll() is None, "\n".join(self.lines)

    def pid(self, name: str) -> int:
        """The pid in the file; 0 when there is none."""
        try:
            return int((self.home / "run" / f"{name}.pid").read_text())
        except FileNotFoundError:
            return 0

    def end(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Ends it and answers how many seconds that took."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(30)
        self._reading.join(5)
        return time.monotonic() - began


def ready(base: int, service: str) -> bool:
    return is_ready(f"http://127.0.0.1:{base + PORTS[service]}")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Starts a stack on the test's home; whatever still runs at the end is ended."""
    base = free_base()
    started: list[Up] = []

    def one(*options: str) -> Up:
        started.append(Up(tmp_path / "home", base, *(options or ("--no-demo",))))
        return started[-1]

    yield one
    for up in started:
        if up.process.poll() is None:
            up.process.kill()
            up.process.wait()


def test_ready_supervised_and_stopped(start: Callable[..., Up]) -> None:
    up = start()
    up.ready()
    pids = {name: up.pid(name) for name in (*SERVICES, "redis")}
    assert all(alive(pid) for pid in pids.values())
    assert all(ready(up.base, service) for service in SERVICES)
    for secret in ("secret", "redis.password", "run/redis.url"):
        assert (up.home / secret).stat().st_mode & 0o777 == 0o600, secret
    assert (up.home / "run" / "redis.url").read_text().startswith("redis://:")

    command = [sys.executable, "-m", "lockstep", "up", "--home", str(up.home), "--port-base", str(up.base)]
    second = subprocess.run(command, check=False, capture_output=True, text=True)
    assert second.returncode == 1
    assert f"a stack already runs on {up.home} (pid {up.process.pid})" in second.stderr

    for name in ("executor", "redis"):
        os.kill(pids[name], signal.SIGKILL)
    up.until(lambda: all(alive(up.pid(name)) and up.pid(name) != pids[name] for name in ("executor", "redis")), 15)
    up.until(lambda: all(ready(up.base, service) for service in SERVICES))

    now = {name: up.pid(name) for name in (*SERVICES, "redis")}
    assert up.end() < 10
    assert up.process.returncode == 0, "\n".join(up.lines)
    assert not any(alive(pid) for pid in now.values())
    assert list((up.home / "run").glob("*.pid")) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's signal to orphans is Linux's")
def test_a_killed_up_leaves_nothing_behind_and_the_next_one_works(start: Callable[..., Up]) -> None:
    up = start()
    up.ready()
    account = {"customer_id": 7, "group": "real-usd", "balance": 1000, "leverage": 100}
    opened = httpx.post(f"http://127.0.0.1:{up.base + 3}/accounts", json=account)
    login = opened.raise_for_status().json()["login"]
    pids = [up.pid(name) for name in (*SERVICES, "redis")]
    up.process.kill()
    up.until(lambda: not any(alive(pid) for pid in pids), 10)
    again = start()
    again.ready()
    assert httpx.get(f"http://127.0.0.1:{up.base + 3}/accounts/{login}").json()["customer_id"] == 7
    assert again.end(signal.SIGINT) < 10
    assert again.process.returncode == 0


def test_a_port_in_use_is_said_before_anything_is_started(tmp_path: Path) -> None:
    base = free_base()
    with socket.create_server(("127.0.0.1", base + 3)):
        blocked = Up(tmp_path / "home", base, "--no-demo")
        assert blocked.process.wait(30) == 1
    blocked.until(lambda: any(f"in use already on this machine: port {base + 3} (gateway)" in line for line in blocked.lines), 15)
    assert not (blocked.home / "run" / "redis.pid").exists()


def commands_work_on_it(up: Up) -> None:
    """The commands that ask a running stack, each once."""

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, [*arguments, "--home", str(up.home)])
        assert done.exit_code == 0, f"{arguments}: {done.output}"
        return done.output

    logins = json.loads((up.home / "demo.json").read_text())["logins"]
    assert re.fullmatch(r"key [0-9a-f]{64}\nsecret [0-9a-f]{64}\n", run("api-key", "create", str(logins["anna"]), "--read-only"))
    assert run("resync", "--all").startswith("asked for 15 accounts")
    secret = {"LOCKSTEP_SECRET": (up.home / "secret").read_text().strip()}
    urls = ["--api-url", f"http://127.0.0.1:{up.base + 1}", "--executor-url", f"http://127.0.0.1:{up.base + 4}"]
    elsewhere = CliRunner().invoke(app, ["resync", "--all", *urls, "--home", str(up.home / "none")], env=secret)
    assert elsewhere.output.startswith("asked for 15 accounts"), elsewhere.output
    assert re.match(r"[1-9]\d* decisions made again, 0 come out otherwise", run("replay"))
    assert re.match(r"everything agrees; [1-9]\d* balance operations", run("verify"))
    assert run("dead-letters", "list") == "no dead letters\n"
    assert json.loads(run("doctor", "--json"))
    trades = up.home.with_name("trades.csv")
    trades.write_text(
        "order,symbol,side,volume,open_time,open_price,close_time,close_price,profit,commission,swap\n"
        "1,GBPUSD,buy,100,2026-01-05T10:00:00Z,1.5,2026-01-05T11:00:00Z,1.51,1000,-7,0\n"
    )
    assert run("import", "--login", str(logins["trend"]), "--trades", str(trades)).endswith("1 trades and 0 days loaded\n")
    session = {"Authorization": run("token", "customer", "1").strip()}
    assert httpx.get(f"http://127.0.0.1:{up.base + 1}/copytrade/my", headers=session).status_code == 200


def stage(up: Up) -> dict[str, Any]:
    """What the demo made. Its manager's session is issued anew at each start."""
    made: dict[str, Any] = json.loads((up.home / "demo.json").read_text())
    assert made.pop("manager")
    return made


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_trades_by_itself_and_goes_on_where_it_was(start: Callable[..., Up]) -> None:
    def copied(up: Up) -> list[str]:
        return [line for line in up.lines if " copies: " in line and "copies: 0 open, 0 closed" not in line]

    up = start("--speed", "1200")
    up.ready()
    up.until(lambda: bool(copied(up)), TRADING_S)
    up.until(lambda: any("rewards paid" in line and not line.endswith("rewards paid -") for line in up.lines), TRADING_S)
    commands_work_on_it(up)
    demo = up.pid("demo")
    os.kill(demo, signal.SIGKILL)
    up.until(lambda: up.pid("demo") not in {0, demo}, 15)
    known = stage(up)
    assert (up.home / "demo.json").stat().st_mode & 0o777 == 0o600
    assert up.end() < 10
    assert up.process.returncode == 0

    again = start("--speed", "1200")
    again.ready()
    again.until(lambda: bool(copied(again)), TRADING_S)
    assert stage(again) == known, "nothing is made a second time"
    assert not any("is open to followers" in line for line in again.lines)
    assert known["logins"].keys() == {
        *("trend", "breakout", "reversion"),
        *("anna", "ben", "chloe", "dan", "elif", "femi", "gina", "hugo", "ines", "jonas", "kira", "own"),
    }
    assert again.end() < 10
