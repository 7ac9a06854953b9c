"""Each service starts with its own dependencies alone: installed from the lock file into an environment in which no other service is."""

import os
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.ports import free_base

ROOT = Path(__file__).parents[2]
UV = ROOT / ".tools" / "uv" / "bin" / "uv"
SERVICES = ("api", "console", "executor", "gateway", "rewards", "stats")
ANSWERS_S = 120
"""Nothing is compiled yet, and the machine may be busy: 10 s where it is not."""

pytestmark = pytest.mark.slow


def install(service: str, folder: Path) -> Path:
    """Makes the environment exactly what the service declares (what another one needed is taken out). Answers its python."""
    where = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(folder)}
    where.pop("VIRTUAL_ENV", None)
    command = [UV, "sync", "--frozen", "--no-dev", "--quiet", "--package", f"lockstep-{service}"]
    subprocess.run(command, cwd=ROOT, env=where, check=True)
    return folder / "bin" / "python"


@pytest.mark.skipif(not UV.exists(), reason="uv is not in .tools (make setup)")
@pytest.mark.timeout(900)
def test_each_service_starts_with_its_own_dependencies_alone(tmp_path: Path) -> None:
    """Nobody's Redis answers here: a service lives without it, and waits. One after the other: what they share is compiled once."""
    port = free_base()
    for service in SERVICES:
        python = install(service, tmp_path / "environment")
        strangers = [*(other for other in SERVICES if other != service), "lockstep", "pytest", "testcontainers"]
        look = f"import importlib.util as u; print([name for name in {strangers!r} if u.find_spec(name)])"
        found = subprocess.run([python, "-c", look], capture_output=True, text=True, check=True, cwd=tmp_path, env=own({}))
        assert found.stdout.strip() == "[]", service
        settings = {
            "LOCKSTEP_HOME": str(tmp_path / "home" / service),
            "LOCKSTEP_REDIS_URL": f"redis://127.0.0.1:{port + 9}",
            "LOCKSTEP_HTTP_PORT": str(port),
        }
        with (tmp_path / f"{service}.log").open("w") as log:
            process = subprocess.Popen([python, "-m", service], cwd=tmp_path, env=own(settings), stdout=log, stderr=subprocess.STDOUT)
        try:
            until = time.monotonic() + ANSWERS_S
            while not alive(port):
                said = (tmp_path / f"{service}.log").read_text()
                assert process.poll() is None, f"{service}: {said[-2000:]}"
                assert time.monotonic() < until, f"{service}: {said[-2000:]}"
                time.sleep(0.1)
        finally:
            process.kill()
            process.wait()


def own(settings: dict[str, str]) -> dict[str, str]:
    """The environment of a process that knows nothing of the one that runs the tests."""
    return {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}} | settings


def alive(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=2).json() == {"status": "ok"}
    except (httpx.HTTPError, ValueError):
        return False
