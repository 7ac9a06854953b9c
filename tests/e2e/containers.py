"""The stack as containers: Redis, Postgres and our own images, built by the test and started with testcontainers."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from api.auth import CUSTOMER, issue_token
from docker.errors import APIError
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from tests.e2e.running import Client
from tests.ports import free_base

ROOT = Path(__file__).parents[2]
SERVICES = ("gateway", "api", "executor", "rewards", "stats")
SECRET = "a secret of this test alone, long enough for anybody"
REDIS_PASSWORD, POSTGRES_PASSWORD = "redis-of-this-test", "postgres-of-this-test"
READY_TIMEOUT_S = 180


def engine_answers() -> bool:
    """Whether a Docker engine can be had."""
    return shutil.which("docker") is not None and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def build_images() -> None:
    """Our own images, one a service, with the plain builder that every engine has."""
    for service in SERVICES:
        command = ["docker", "build", "--network", "host", "-f", f"services/{service}/Dockerfile", "-t", f"lockstep-{service}", "."]
        built = subprocess.run(command, cwd=ROOT, env={**os.environ, "DOCKER_BUILDKIT": "0"}, capture_output=True, text=True, check=False)
        assert built.returncode == 0, f"{service}: {built.stdout[-2000:]}{built.stderr[-2000:]}"


class ContainerStack(Client):
    """Containers on a network of their own; the venue's and the API's ports are bound on this machine."""

    def __init__(self) -> None:
        base = free_base()
        super().__init__(api=f"http://127.0.0.1:{base + 1}", venue=f"http://127.0.0.1:{base + 3}")
        self._ports = {"api": base + 1, "gateway": base + 3}
        self._network = Network()
        self._containers: dict[str, DockerContainer] = {}

    def start(self) -> None:
        self._network.create()
        acl = f"--user default off --user lockstep on '>{REDIS_PASSWORD}' '~*' '&*' +@all -@admin -@dangerous"
        redis = DockerContainer("redis:7").with_command(["sh", "-c", f"exec redis-server --bind 0.0.0.0 --appendonly yes --save '' {acl}"])
        postgres = (
            DockerContainer("postgres:15")
            .with_env("POSTGRES_PASSWORD", POSTGRES_PASSWORD)
            .with_env("LOCKSTEP_POSTGRES_PASSWORD", POSTGRES_PASSWORD)
            .with_volume_mapping(str(ROOT / "deploy/postgres/init.sh"), "/docker-entrypoint-initdb.d/init.sh", "ro")
        )
        self._run("redis", redis)
        self._run("postgres", postgres)
        for service in SERVICES:
            database = f"postgresql://lockstep_{service}:{POSTGRES_PASSWORD}@postgres/lockstep_{service}"
            container = (
                DockerContainer(f"lockstep-{service}")
                .with_env("LOCKSTEP_ENV", "production")
                .with_env("LOCKSTEP_SECRET", SECRET)
                .with_env("LOCKSTEP_REDIS_URL", f"redis://lockstep:{REDIS_PASSWORD}@redis:6379")
                .with_env("LOCKSTEP_DATABASE_URL", database)
                .with_env("LOCKSTEP_HTTP_PORT", "8080")
                .with_kwargs(restart_policy={"Name": "always"}, read_only=True, cap_drop=["ALL"])
                .with_tmpfs_mount("/tmp")
            )
            if service in self._ports:
                container = container.with_bind_ports(8080, self._ports[service])
            self._run(service, container)
        for service in SERVICES:
            self.until(lambda service=service: self._ready(service), READY_TIMEOUT_S, f"{service} is ready")

    def end(self) -> None:
        for container in self._containers.values():
            with contextlib.suppress(Exception):
                container.stop()
        self._network.remove()

    def kill_service(self, service: str) -> None:
        """Kills a container and starts it again, as an engine does that finds it dead."""
        container = self._containers[service].get_wrapped_container()
        container.kill()
        time.sleep(0.5)
        container.start()

    def token(self, customer: int) -> str:
        return issue_token(SECRET, CUSTOMER, str(customer), int(time.time()), 3600)

    def log(self) -> str:
        """The last words of each container."""
        lines = []
        for name, container in self._containers.items():
            said = container.get_wrapped_container().logs(tail=15).decode(errors="replace")
            lines.append(f"== {name}\n{said}")
        return "\n".join(lines)

    def _run(self, name: str, container: DockerContainer) -> None:
        self._containers[name] = container.with_network(self._network).with_network_aliases(name)
        container.start()

    def _ready(self, service: str) -> bool:
        code = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/readyz', timeout=2)"
        try:
            return self._containers[service].exec(["python", "-c", code]).exit_code == 0
        except APIError:
            return False  # it ended, because its database is not there yet, say, and is about to be started again


@contextlib.contextmanager
def container_stack() -> Iterator[ContainerStack]:
    """A stack of containers that is removed at the end, whatever happens."""
    stack = ContainerStack()
    try:
        stack.start()
        yield stack
    finally:
        stack.end()
