"""Each service imports what it declares alone: its packages in the lock file, `shared`, and no other service.

The images of `make e2e` are each built of these alone, and run.
"""

import ast
import re
import subprocess
import sys
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = ROOT / ".tools" / "uv" / "bin" / "uv"
SERVICES = ("api", "console", "executor", "gateway", "rewards", "stats")

pytestmark = pytest.mark.skipif(not UV.exists(), reason="uv is not in .tools (make setup)")


def imported(folder: Path) -> dict[str, Path]:
    """The top-level modules that the files below a folder import, also inside functions, and where one of them is."""
    found: dict[str, Path] = {}
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            found |= {name.partition(".")[0]: file for name in names}
    return found


@cache
def declared(service: str) -> frozenset[str]:
    """The distributions of which the service's environment is made."""
    command = [UV, "export", "--frozen", "--no-dev", "--no-hashes", "--quiet", "--package", f"lockstep-{service}"]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return frozenset(_normal(line.partition("==")[0]) for line in lines if "==" in line)


def missing(service: str, modules: dict[str, Path]) -> dict[str, Path]:
    """Which of the modules are neither Python's own, nor the service's, nor of a distribution that it has."""
    own, known = {*sys.stdlib_module_names, service, "shared"}, packages_distributions()

    def brought(name: str) -> bool:
        return name in own or any(_normal(distribution) in declared(service) for distribution in known.get(name, ()))

    return {name: file for name, file in modules.items() if not brought(name)}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_imports_what_it_declares_alone(service: str) -> None:
    modules = imported(ROOT / "services" / service / service)
    assert service in modules
    assert missing(service, imported(ROOT / "shared" / "shared") | modules) == {}


def test_a_stranger_is_found() -> None:
    here = Path(__file__)
    strangers = dict.fromkeys(("pytest", "numpy", "executor", "lockstep", "nicegui"), here)
    assert missing("gateway", strangers) == strangers
    assert missing("executor", strangers).keys() == {"pytest", "lockstep", "nicegui"}
