"""`docker-compose.yml`: what is set reaches the services, nobody gets another's password, and Redis refuses before it is killed."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from api.settings import Settings as ApiSettings
from console.settings import Settings as ConsoleSettings
from executor.settings import ExecutorSettings
from gateway.settings import GatewaySettings
from rewards.settings import RewardsSettings
from shared.settings import Settings
from stats.settings import StatsSettings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
STORES = ("api", "executor", "executor-2", "gateway", "rewards", "rewards-2", "stats")
SETTINGS: dict[str, type[Settings]] = {
    "api": ApiSettings,
    "executor": ExecutorSettings,
    "executor-2": ExecutorSettings,
    "gateway": GatewaySettings,
    "rewards": RewardsSettings,
    "rewards-2": RewardsSettings,
    "stats": StatsSettings,
}
OF_THE_IMAGE = {"LOCKSTEP_HOME", "LOCKSTEP_HTTP_HOST", "LOCKSTEP_LOG_JSON", "LOCKSTEP_CLOCK_OFFSET"}
PUT_TOGETHER = {"LOCKSTEP_DATABASE_URL"}


def names(settings: type[Settings]) -> set[str]:
    return {f"LOCKSTEP_{name.upper()}" for name in settings.model_fields}


@pytest.mark.parametrize("service", STORES)
def test_every_setting_of_a_service_is_handed_on(service: str) -> None:
    given = {name for name in SERVICES[service]["environment"] if name.startswith("LOCKSTEP_")}
    assert given == names(SETTINGS[service]) - OF_THE_IMAGE - PUT_TOGETHER


def test_the_consoles_own_settings_are_handed_on() -> None:
    given = SERVICES["console"]["environment"]
    own = names(ConsoleSettings) - names(Settings)
    common = {f"LOCKSTEP_{name}" for name in ("ENV", "SECRET", "OLD_SECRETS", "HTTP_PORT", "LOG_LEVEL", "TRUSTED_PROXIES")}
    assert set(given) == own | common


def test_nothing_is_handed_on_as_empty_that_may_not_be() -> None:
    """What is not set beside the file is not set in the container: a number or a switch takes no empty text."""
    for service in STORES:
        for name, value in SERVICES[service]["environment"].items():
            assert value != "", name
            assert not str(value).endswith(":-}") or name == "ROLE_PASSWORD", name


def started(service: str, **environment: str) -> tuple[str, str]:
    """The store's URL and the module that a service's command comes to."""
    (_, _, script) = SERVICES[service]["command"]
    script = script.replace("$$", "$").replace("exec python -m", 'echo "$LOCKSTEP_DATABASE_URL"; echo')
    given = {"PATH": "/usr/bin:/bin", "STORE": SERVICES[service]["environment"]["STORE"], **environment}
    done = subprocess.run(["sh", "-euc", script], env=given, capture_output=True, text=True, check=True)
    url, module = done.stdout.split()
    return url, module


def test_a_roles_password_is_its_own_or_else_that_of_all() -> None:
    url = "postgresql://lockstep_executor_2:{}@postgres/lockstep_executor_2"
    assert started("executor-2", ROLE_PASSWORD="own", SHARED_PASSWORD="shared") == (url.format("own"), "executor")
    assert started("executor-2", ROLE_PASSWORD="", SHARED_PASSWORD="shared") == (url.format("shared"), "executor")
    assert started("api", ROLE_PASSWORD="own", SHARED_PASSWORD="shared") == ("postgresql://lockstep_api:own@postgres/lockstep_api", "api")


def test_nobody_gets_anothers_password() -> None:
    own = {service: f"LOCKSTEP_POSTGRES_PASSWORD_{service.upper().replace('-', '_')}" for service in STORES}
    init = (ROOT / "deploy" / "postgres" / "init.sh").read_text()
    (made,) = re.findall(r"for service in ([a-z_0-9 ]+);", init)
    assert {f"LOCKSTEP_POSTGRES_PASSWORD_{role.upper()}" for role in made.split()} == set(own.values())
    for service, definition in SERVICES.items():
        told = str(definition.get("environment", {}))
        found = set(re.findall(r"LOCKSTEP_POSTGRES_(?:ADMIN_PASSWORD|PASSWORD_[A-Z_0-9]+)", told))
        wanted = {own[service]} if service in own else set()
        if service == "postgres":
            wanted = {*own.values(), "LOCKSTEP_POSTGRES_ADMIN_PASSWORD"}
        assert found == wanted, service


def in_bytes(size: str) -> int:
    return int(re.sub("mb?$", "", size)) * 2**20


def test_a_full_redis_refuses_before_it_is_killed() -> None:
    redis = SERVICES["redis"]
    (script,) = redis["command"][2:]
    (most,) = re.findall(r"--maxmemory (\S+)", script)
    assert in_bytes(most) <= 0.8 * in_bytes(redis["mem_limit"])
    assert "--maxmemory-policy noeviction" in script
    assert "--appendonly yes" in script


def test_postgres_has_connections_for_every_instance() -> None:
    (most,) = re.findall(r"max_connections=(\d+)", " ".join(SERVICES["postgres"]["command"]))
    assert int(most) >= 31 * len(STORES)


def test_every_container_has_the_least_of_rights() -> None:
    for service, definition in SERVICES.items():
        assert definition["cap_drop"] == ["ALL"], service
        assert definition["security_opt"] == ["no-new-privileges:true"], service
        assert definition["mem_limit"], service
        assert definition.get("read_only") is True or service == "postgres", service
        assert "cap_add" not in definition or service in {"redis", "postgres"}, service


def test_no_password_stands_on_a_command_line() -> None:
    for service in ("redis", "postgres"):
        assert not re.search(r"--pass\b|-a \S", SERVICES[service]["healthcheck"]["test"][1])


def test_compose_takes_the_file() -> None:
    compose = shutil.which("docker-compose")
    if compose is None:
        pytest.skip("docker-compose is not installed")
    profiles = [part for name in ("demo", "shards", "observability") for part in ("--profile", name)]
    done = subprocess.run([compose, *profiles, "config", "--quiet"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
