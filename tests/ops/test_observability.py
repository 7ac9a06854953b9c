"""Metrics, alerts, dashboard and their documentation name the same things; the rules are Prometheus's own."""

import importlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
SERVICES = ("api", "executor", "gateway", "rewards", "stats")


def exported() -> dict[str, tuple[str, ...]]:
    """Our own metrics and their labels, as the services register them when they are loaded."""
    for module in (*(f"{service}.wiring" for service in SERVICES), "console.api", "console.streams"):
        importlib.import_module(module)
    found = {}
    for collector in {*REGISTRY._names_to_collectors.values()}:
        name = getattr(collector, "_name", "")
        if name.startswith("lockstep_"):
            found[name] = tuple(collector._labelnames)
    return found


def alerts() -> list[dict[str, Any]]:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
    return [rule for group in rules["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    """Everything that the dashboard and the alerts ask."""
    dashboard = json.loads((DEPLOY / "grafana" / "dashboards" / "lockstep.json").read_text())
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    return shown + [rule["expr"] for rule in alerts()]


def test_what_the_dashboard_and_the_alerts_ask_for_is_exported() -> None:
    known = exported()
    for expression in expressions():
        there = {"service", "le"}  # the scrape gives the one, a histogram the other
        for name, labels in re.findall(r"(lockstep_[a-z_]+)(\{[^}]*\})?", expression):
            base = name if name in known else re.sub(r"_(total|bucket|sum|count)$", "", name)
            assert base in known, f"{name} in {expression}"
            for label in re.findall(r"([a-z_]+)(?:=~|=|!=)", labels):
                assert label in known[base], f"{name} has no label {label}"
            there |= {*known[base]}
        for grouped in re.findall(r"\b(?:by|without|on|ignoring) *\(([^)]*)\)", expression):
            assert {*re.split(r", *", grouped)} <= there, expression


def test_every_metric_is_on_the_dashboard_or_in_an_alert() -> None:
    asked = " ".join(expressions())
    assert [name for name in exported() if name not in asked] == []


def test_every_metric_and_its_labels_are_in_the_operators_book() -> None:
    rows = re.findall(r"^\| `(lockstep_[a-z_]+)` \| ([^|]*) \|", OPERATIONS, re.MULTILINE)
    documented = {name: tuple(re.findall(r"`([a-z]+)`", labels)) for name, labels in rows}
    assert documented == exported()


def test_the_operators_book_says_what_to_do_about_every_alert() -> None:
    documented = re.findall(r"^\| (Lockstep[A-Za-z]+) \| \S", OPERATIONS, re.MULTILINE)
    assert sorted(documented) == sorted(rule["alert"] for rule in alerts())


def test_no_label_can_grow_without_bound() -> None:
    """Labels are topics, codes and states; never a login, an order, a symbol or a customer."""
    assert {label for labels in exported().values() for label in labels} <= {
        "stream",
        "method",
        "outcome",
        "part",
        "action",
        "reason",
        "state",
        "kind",
        "phase",
        "what",
        "shard",
    }


def test_prometheus_takes_the_configuration_and_the_rules_do_what_they_say() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    for command in (["check", "config", "prometheus.yml"], ["check", "rules", "alerts.yml"], ["test", "rules", "alerts.test.yml"]):
        done = subprocess.run([promtool, *command], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_on_kubernetes_finds_the_pods_under_the_names_that_the_rules_ask_for(tmp_path: Path) -> None:
    configuration = yaml.safe_load((DEPLOY / "prometheus" / "kubernetes.yml").read_text())
    (job,) = configuration["scrape_configs"]
    assert job["job_name"] == "lockstep"
    assert job.pop("kubernetes_sd_configs") == [{"role": "pod", "namespaces": {"names": ["lockstep"]}}]
    assert {"__metrics_path__", "service"} <= {rule.get("target_label") for rule in job["relabel_configs"]}
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    # Debian's promtool knows no Kubernetes: the rest of the job is looked at without it.
    (tmp_path / "alerts.yml").write_text((DEPLOY / "prometheus" / "alerts.yml").read_text())
    (tmp_path / "kubernetes.yml").write_text(yaml.safe_dump(configuration))
    done = subprocess.run([promtool, "check", "config", "kubernetes.yml"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_settings_that_the_book_names_exist() -> None:
    known = set(re.findall(r"`(LOCKSTEP_[A-Z_]+)`", (ROOT / "docs" / "settings.md").read_text()))
    known |= set(re.findall(r"LOCKSTEP_[A-Z_]+", (ROOT / "docker-compose.yml").read_text()))
    named = {name for name in re.findall(r"LOCKSTEP_[A-Z_]+", OPERATIONS) if not name.endswith("_")}
    assert named - known == set()
