"""`docker-compose up` as the README says, in a project of its own: ready without a hand, the main job, the demo, and gone again."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from api.auth import CUSTOMER, issue_token

from tests.e2e.containers import engine_answers
from tests.e2e.main_job import MainJob, check_end
from tests.e2e.running import Client
from tests.ports import free_base

ROOT = Path(__file__).parents[2]
SECRET = "a secret of this compose test alone, long enough"
STATS_PASSWORD = "stats-of-the-compose-test"
READY_S, COPIED_S = 300, 240


def compose_command() -> list[str]:
    """docker-compose 1.29, or the plugin of a newer engine."""
    return ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]


pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not engine_answers(), reason="no Docker engine answers"),
]


class ComposeStack(Client):
    """A project of the compose file on ports of its own."""

    def __init__(self) -> None:
        base = free_base()
        super().__init__(api=f"http://127.0.0.1:{base + 1}", venue=f"http://127.0.0.1:{base + 3}")
        self.console = f"http://127.0.0.1:{base}"
        ports = {"CONSOLE": base, "API": base + 1, "MANAGER": base + 2, "VENUE": base + 3}
        self._environment = {
            **os.environ,
            "DOCKER_BUILDKIT": "0",
            "COMPOSE_DOCKER_CLI_BUILD": "0",
            "COMPOSE_PROJECT_NAME": f"lockstep-test-{os.getpid()}",
            "LOCKSTEP_ENV": "production",
            "LOCKSTEP_SECRET": SECRET,
            "LOCKSTEP_REDIS_PASSWORD": "redis-of-the-compose-test",
            "LOCKSTEP_POSTGRES_PASSWORD": "postgres-of-the-compose-test",
            "LOCKSTEP_POSTGRES_PASSWORD_STATS": STATS_PASSWORD,
            "LOCKSTEP_RETENTION_DAYS": "5",
            **{f"LOCKSTEP_{name}_PORT": str(port) for name, port in ports.items()},
        }

    def compose(self, *arguments: str) -> str:
        done = subprocess.run(
            [*compose_command(), *arguments], cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def healthy(self) -> bool:
        """Whether every container that has a health check has passed it."""
        ids = self.compose("ps", "-q").split()
        shown = "{{if .State.Health}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}"
        done = subprocess.run(["docker", "inspect", "--format", shown, *ids], capture_output=True, text=True, check=True)
        return len(ids) >= 8 and set(done.stdout.split()) <= {"healthy", "running"}

    def opens(self, role: str, database: str, password: str) -> bool:
        """Whether Postgres lets a role with a password into a database, over the network as a service comes."""
        code = "import psycopg, sys; psycopg.connect(sys.argv[1]).execute('SELECT 1')"
        url = f"postgresql://{role}:{password}@postgres/{database}"
        command = [*compose_command(), "exec", "-T", "stats", "python", "-c", code, url]
        return subprocess.run(command, cwd=ROOT, env=self._environment, capture_output=True, check=False).returncode == 0

    def environment(self, service: str) -> set[str]:
        """A container's variables, as its engine was told them."""
        shown = "{{range .Config.Env}}{{println .}}{{end}}"
        command = ["docker", "inspect", "--format", shown, self.compose("ps", "-q", service).strip()]
        return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n"))

    def log(self) -> str:
        return self.compose("logs", "--no-color", "--tail", "15")

    def token(self, customer: int) -> str:
        return issue_token(SECRET, CUSTOMER, str(customer), int(time.time()), 3600)

    def kill_service(self, service: str) -> None:
        self.compose("kill", service)
        self.compose("start", service)


@pytest.fixture
def stack() -> Iterator[ComposeStack]:
    running = ComposeStack()
    try:
        running.compose("build", "--quiet")
        running.compose("--profile", "demo", "build", "--quiet", "demo")
        running.compose("up", "-d")
        yield running
    finally:
        running.compose("--profile", "demo", "down", "-v", "--timeout", "15")


def test_compose_is_ready_without_a_hand_does_the_main_job_and_plays_the_demo(stack: ComposeStack) -> None:
    stack.until(stack.healthy, READY_S, "every container is healthy")
    assert httpx.get(stack.console, follow_redirects=True, timeout=20).status_code == 200
    assert stack.opens("lockstep_stats", "lockstep_stats", STATS_PASSWORD)
    assert not stack.opens("lockstep_stats", "lockstep_stats", "postgres-of-the-compose-test")
    assert not stack.opens("lockstep_stats", "lockstep_api", STATS_PASSWORD)
    assert not stack.opens("postgres", "postgres", "taken-away-by-init.sh")
    assert "LOCKSTEP_RETENTION_DAYS=5" in stack.environment("stats")
    assert not [line for line in stack.environment("api") if line.startswith("LOCKSTEP_TRACE_URL=")], "not set here, not set there"
    job = MainJob(stack)
    job.open_accounts()
    job.subscribe()
    for step, expected in job.steps():
        step()
        job.wait_for_volumes(expected)
    job.wait_for_the_end()
    check_end(job)

    stack.compose("--profile", "demo", "up", "-d")
    stack.until(
        lambda: "copies" in stack.compose("--profile", "demo", "logs", "--no-color", "demo"), COPIED_S, "the demo shows its followers"
    )
