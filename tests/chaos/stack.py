"""A stack of real processes that a test may hurt: signals to its own processes by pid, faults of its Redis, a look into its stores."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
from lockstep.stack import Home, Stack, redis_answers, redis_program, service_program
from lockstep.supervise import Program
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from tests.e2e.running import READY_S, RunningStack, is_ready
from tests.ports import free_base

SERVICES = ("gateway", "api", "executor", "rewards", "stats")
PORT = {"api": 1, "gateway": 3, "executor": 4, "rewards": 5, "stats": 6}
SERVER_BACK_S = 60


class ChaosStack(RunningStack):
    """`lockstep up --no-demo`, and what hurts it."""

    def __init__(self, home: Path, port_base: int) -> None:
        super().__init__(home, port_base)
        self.clock_offset_s = 0.0
        """By how much all services' clocks are ahead of the machine's (of a `ProcessStack`)."""
        self.failures: list[str] = []
        """Answers of 500 and above that the workload got."""
        self._http.event_hooks["response"].append(self._look)
        self._engines: dict[str, Engine] = {}

    def _look(self, response: httpx.Response) -> None:
        if response.status_code >= 500:
            self.failures.append(f"{response.request.method} {response.request.url}: {response.status_code}")

    def pid(self, name: str) -> int:
        """The pid of one of this stack's own processes; 0 while it is down."""
        try:
            pid = int((self.home / "run" / f"{name}.pid").read_text())
            parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return 0
        return pid if int(parent) == self.supervisor() else 0

    def supervisor(self) -> int:
        """The process whose children the services are."""
        assert self._process is not None
        return self._process.pid

    def send(self, name: str, number: signal.Signals) -> bool:
        """Sends a signal to one of this stack's own processes; False when it is down already."""
        pid = self.pid(name)
        if not pid:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            return True
        return False

    def program(self, service: str, **env: str) -> Program:
        """A service's command and environment, as the stack runs it; with what is different for one more instance."""
        program = service_program(Home(self.home), Stack(self.port_base, self.clock_offset_s), service)
        return Program(service, program.command, {**program.env, **env})

    @contextlib.contextmanager
    def one_more(self, service: str) -> Iterator[str]:
        """A second instance of a service on the same store; answers the URL of its door."""
        port = free_base(1)
        program = self.program(service, LOCKSTEP_HTTP_PORT=str(port))
        with (self.home.parent / "stack.log").open("a") as log:
            process = subprocess.Popen(program.command, env=dict(program.env), stdout=log, stderr=log)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)

    def kill_service(self, service: str) -> None:
        self.send(service, signal.SIGKILL)

    def ready(self, service: str) -> bool:
        return is_ready(f"http://127.0.0.1:{self.port_base + PORT[service]}")

    def redis_away(self) -> Callable[[], None]:
        """Redis is killed and does not come again until the answered function is called."""
        config = self.home / "redis" / "valkey.conf"
        aside = config.with_suffix(".aside")
        config.rename(aside)
        self.send("redis", signal.SIGKILL)

        def back() -> None:
            aside.rename(config)

        return back

    def redis_full(self) -> Callable[[], object]:
        """Redis refuses every write for want of memory until the answered function is called."""
        with self.redis() as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", 1)

        def back() -> None:
            with self.redis() as client:
                client.config_set("maxmemory", 0)

        return back

    def store_url(self, service: str) -> str:
        return f"sqlite:///file:{self.home / service}.db?mode=ro&uri=true"

    def rows(self, service: str, statement: str, **values: Any) -> list[Any]:
        """What a service's store says, read from outside, in one transaction; a database server that is being killed is waited for."""
        engine = self._engines.get(service)
        if engine is None:
            engine = self._engines[service] = create_engine(self.store_url(service))
        until = time.monotonic() + (SERVER_BACK_S if engine.dialect.name == "postgresql" else 0)
        while True:
            try:
                with engine.connect() as connection:
                    return list(connection.execute(text(statement), values))
            except OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)

    def write(self, service: str, statement: str, **values: Any) -> None:
        """Changes a service's SQLite store from outside, as a person with its shell would."""
        self.write_all(service, statement, [values])

    def write_all(self, service: str, statement: str, rows: list[dict[str, Any]]) -> None:
        """The same for many rows, in one transaction; a busy service is waited for."""
        engine = create_engine(f"sqlite:///{self.home / service}.db", connect_args={"timeout": 60})
        with engine.begin() as connection:
            connection.execute(text(statement), rows)
        engine.dispose()

    def integrity(self) -> list[str]:
        """What the databases say is wrong with themselves."""
        found = [(service, self.rows(service, "PRAGMA integrity_check")) for service in SERVICES]
        return [f"{service}: {rows}" for service, rows in found if [row[0] for row in rows] != ["ok"]]

    def dispose(self) -> None:
        for engine in self._engines.values():
            engine.dispose()
        self._engines.clear()


class ProcessStack(ChaosStack):
    """The same services, kept running by this process: with a Postgres database each, or environments that `lockstep up` does not give."""

    def __init__(self, home: Path, port_base: int, urls: dict[str, str], env: dict[str, dict[str, str]]) -> None:
        """`urls`: the services' databases; SQLite without. `env`: what is different for a service."""
        super().__init__(home, port_base)
        self._urls = urls
        self.env = env
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._down: set[str] = set()
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None

    def start(self) -> None:
        home, stack = Home(self.home), Stack(self.port_base, self.clock_offset_s)
        home.prepare()
        home.remember(stack)
        self._stopping.clear()
        self._watcher = threading.Thread(target=self._watch, args=(home, stack), daemon=True)
        self._watcher.start()
        self.until(lambda: redis_answers(home, stack), READY_S, "Redis answers")
        self.until(lambda: all(self.ready(service) for service in SERVICES), READY_S, "the services are ready")

    def program(self, service: str, **env: str) -> Program:
        program = super().program(service)
        database = {"LOCKSTEP_DATABASE_URL": self._urls[service]} if self._urls else {}
        return Program(service, program.command, {**program.env, **database, **self.env.get(service, {}), **env})

    def _watch(self, home: Home, stack: Stack) -> None:
        redis = redis_program(home, stack)
        with (self.home.parent / "stack.log").open("a") as log:
            while not self._stopping.is_set():
                for name in ("redis", *SERVICES):
                    child = self._children.get(name)
                    if (child is None or child.poll() is not None) and name not in self._down:
                        program = redis if name == "redis" else self.program(name)
                        self._children[name] = subprocess.Popen(program.command, env=dict(program.env), stdout=log, stderr=log)
                self._stopping.wait(0.2)

    @contextlib.contextmanager
    def down(self, service: str) -> Iterator[None]:
        """A service is stopped, and not started again before the block ends; the others go on."""
        self._down.add(service)
        child = self._children[service]
        child.send_signal(signal.SIGTERM)
        child.wait(20)
        yield
        self._down.discard(service)

    def pid(self, name: str) -> int:
        child = self._children.get(name)
        return child.pid if child is not None and child.poll() is None else 0

    def stop(self) -> int:
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join()
        for child in self._children.values():
            child.send_signal(signal.SIGTERM)
        codes = {name: child.wait(20) for name, child in self._children.items()}
        self._children.clear()
        return max(abs(code) for code in codes.values())

    def end(self) -> None:
        if self._children:
            self._stopping.set()
            if self._watcher is not None:
                self._watcher.join()
            for child in self._children.values():
                child.kill()
                child.wait()

    def alive(self) -> bool:
        return True

    def store_url(self, service: str) -> str:
        return self._urls[service] if self._urls else super().store_url(service)

    def integrity(self) -> list[str]:
        return [] if self._urls else super().integrity()


@contextlib.contextmanager
def running(
    folder: Path, urls: dict[str, str] | None = None, env: dict[str, dict[str, str]] | None = None, clock_offset_s: float = 0
) -> Iterator[ChaosStack]:
    """A stack that is stopped at the end, whatever happens; on Postgres when URLs are given."""
    home = folder / "home"
    own = urls is not None or env is not None or clock_offset_s != 0
    stack = ProcessStack(home, free_base(), urls or {}, env or {}) if own else ChaosStack(home, free_base())
    stack.clock_offset_s = clock_offset_s
    try:
        stack.start()
        yield stack
    finally:
        stack.dispose()
        stack.end()


def wait_until(holds: Callable[[], bool], timeout_s: float, every_s: float = 0.1) -> bool:
    """Whether something came to hold in time; looked at each `every_s`."""
    until = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(every_s)
    return True


def run_command(stack: ChaosStack, *arguments: str) -> str:
    """A `lockstep` command on the stack's home; its output. Raises when it fails."""
    command = [sys.executable, "-m", "lockstep", *arguments, "--home", str(stack.home)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
