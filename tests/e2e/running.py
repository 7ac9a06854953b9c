"""A stack of real processes, started as a user starts it, and a client that talks to it as a user's programs do."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import redis
from lockstep.sessions import issued
from lockstep.stack import Home, Stack

from tests.ports import free_base

READY_S = 240
"""Generous: other tests may share the machine."""
STOP_TIMEOUT_S = 20
LOCKSTEP = [sys.executable, "-m", "lockstep"]
ASKING = httpx.Client(timeout=2)
"""For questions that are asked again and again: to make a client, which reads all certificates, takes longer than the answer."""


class Client(ABC):
    """What a user's program knows of a stack: where its two HTTP doors are."""

    def __init__(self, api: str, venue: str) -> None:
        self.api = api
        self.venue = venue
        self._http = httpx.Client(timeout=10)

    def call(self, method: str, url: str, **arguments: Any) -> httpx.Response:
        """One request, made again while nobody answers it: the service, or its database, may just have been killed."""
        deadline = time.monotonic() + 60
        while True:
            try:
                answer = self._http.request(method, url, **arguments)
                if answer.status_code < 500 or time.monotonic() > deadline:
                    return answer
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.1)

    def until(self, condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
        """Waits until something is so, and answers it."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = condition()
            if found:
                return found
            assert self.alive(), f"ended by itself:\n{self.log()[-4000:]}"
            assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}\n{self.log()[-4000:]}"
            time.sleep(0.1)

    def alive(self) -> bool:
        """Whether there is any use in waiting."""
        return True

    @abstractmethod
    def log(self) -> str: ...

    @abstractmethod
    def token(self, customer: int) -> str: ...

    @abstractmethod
    def kill_service(self, service: str) -> None: ...


class RunningStack(Client):
    """`lockstep up --no-demo` on a home of its own."""

    def __init__(self, home: Path, port_base: int) -> None:
        super().__init__(api=f"http://127.0.0.1:{port_base + 1}", venue=f"http://127.0.0.1:{port_base + 3}")
        self.home = home
        self.port_base = port_base
        self._process: subprocess.Popen[str] | None = None
        self._began = 0

    def start(self) -> None:
        log = (self.home.parent / "stack.log").open("a")
        self._began = log.tell()
        command = [*LOCKSTEP, "up", "--no-demo", "--home", str(self.home), "--port-base", str(self.port_base)]
        self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, text=True)
        self.until(self._says_ready, READY_S, "the stack is ready")

    def stop(self) -> int:
        """Asks the stack to stop and answers its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(STOP_TIMEOUT_S)
        self._process = None
        return code

    def end(self) -> None:
        """Leaves nothing running, however the test went."""
        if self._process is not None and self._process.poll() is None:
            self.stop()

    def kill_service(self, service: str) -> None:
        """`kill -9` of one service, once it is there; the supervisor starts it again."""
        pid = self.home / "run" / f"{service}.pid"
        self.until(pid.exists, READY_S, f"{service} runs")
        os.kill(int(pid.read_text()), signal.SIGKILL)

    def command(self, *words: str) -> str:
        """What a `lockstep` command on the home prints; its failure is the test's."""
        done = subprocess.run([*LOCKSTEP, *words, "--home", str(self.home)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr or done.stdout
        return done.stdout.strip()

    def redis(self) -> redis.Redis:
        """Its Redis, as the services reach it."""
        return redis.Redis.from_url(Home(self.home).redis_url(Stack(self.port_base)), socket_timeout=5)

    def token(self, customer: int) -> str:
        return issued(Home(self.home), "customer", str(customer))

    def alive(self) -> bool:
        return self._process is None or self._process.poll() is None

    def log(self) -> str:
        return (self.home.parent / "stack.log").read_text()

    def _says_ready(self) -> bool:
        said = (self.home.parent / "stack.log").read_bytes()[self._began :]
        return any(line.startswith(b"ready") for line in said.splitlines())


def is_ready(url: str) -> bool:
    """Whether the service behind a door says that it is ready."""
    with contextlib.suppress(httpx.HTTPError):
        return ASKING.get(f"{url}/readyz").status_code == 200
    return False


@contextlib.contextmanager
def running_stack(folder: Path) -> Iterator[RunningStack]:
    """A stack that is stopped at the end, whatever happens."""
    stack = RunningStack(folder / "home", free_base())
    try:
        stack.start()
        yield stack
    finally:
        stack.end()
