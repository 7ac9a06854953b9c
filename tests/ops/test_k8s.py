"""`deploy/k8s`: every object is one that Kubernetes takes, and says what our services and their settings are."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "k8s"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
SERVICES = {"api", "console", "executor", "gateway", "rewards", "stats"}


def objects() -> list[tuple[str, dict[str, Any]]]:
    """Every object of every file, the example of the secrets among them."""
    files = sorted(FOLDER.glob("*.yaml"))
    return [(path.name, each) for path in files for each in yaml.safe_load_all(path.read_text()) if path.name != "kustomization.yaml"]


OBJECTS = objects()


def of_kind(*kinds: str) -> Iterator[dict[str, Any]]:
    return (each for _, each in OBJECTS if each["kind"] in kinds)


def rendered(each: dict[str, Any]) -> dict[str, Any]:
    """What kustomize makes of an object: the namespace and the labels of the kustomization (none of its other features is used)."""
    assert set(KUSTOMIZATION) == {"apiVersion", "kind", "namespace", "labels", "resources", "images"}
    (labels,) = KUSTOMIZATION["labels"]
    metadata = each["metadata"] | {"labels": each["metadata"].get("labels", {}) | labels["pairs"]}
    if each["kind"] != "Namespace":
        metadata["namespace"] = KUSTOMIZATION["namespace"]
    return each | {"metadata": metadata}


@pytest.mark.parametrize("version", ["1.27", "1.36"])
def test_kubernetes_takes_every_object(version: str) -> None:
    for name, each in OBJECTS:
        try:
            kubernetes_validate.validate(rendered(each), version, strict=True)
        except kubernetes_validate.ValidationError as error:
            pytest.fail(f"{name} {each['kind']}: {error.message} at {list(error.path)}")


def test_an_object_that_is_none_is_noticed() -> None:
    broken = next(of_kind("Deployment")) | {"spec": {"replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.36", strict=True)


def test_the_kustomization_lists_the_files_that_are_there() -> None:
    there = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml", "secrets.example.yaml"}
    assert set(KUSTOMIZATION["resources"]) == there
    assert {one["name"] for one in KUSTOMIZATION["images"]} == {f"lockstep-{service}" for service in SERVICES}
    names = [(each["kind"], each["metadata"]["name"]) for _, each in OBJECTS]
    assert len(names) == len(set(names))


def test_every_service_is_run_by_the_least_of_rights_and_looked_at() -> None:
    found = set()
    for each in of_kind("Deployment", "StatefulSet"):
        name, pod = each["metadata"]["name"], each["spec"]["template"]["spec"]
        found.add(name)
        assert each["spec"]["selector"]["matchLabels"] == each["spec"]["template"]["metadata"]["labels"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        (container,) = pod["containers"]
        assert container["image"] == f"lockstep-{name}"
        rights = container["securityContext"]
        assert rights["readOnlyRootFilesystem"] is True
        assert rights["allowPrivilegeEscalation"] is False
        assert rights["capabilities"] == {"drop": ["ALL"]}
        assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
        assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
        assert container["resources"]["limits"]["memory"]
    assert found == SERVICES


def test_services_and_budgets_find_their_pods_and_ports() -> None:
    pods = {each["metadata"]["name"]: each["spec"]["template"] for each in of_kind("Deployment", "StatefulSet")}
    for each in of_kind("Service"):
        (name,) = each["spec"]["selector"].values()
        ports = {port["name"] for port in pods[name]["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in each["spec"]["ports"]} == ports
    for each in of_kind("PodDisruptionBudget"):
        (name,) = each["spec"]["selector"]["matchLabels"].values()
        assert name in pods


def test_settings_exist_and_secrets_are_there() -> None:
    known = set(re.findall(r"`(LOCKSTEP_[A-Z_]+)`", (ROOT / "docs" / "settings.md").read_text()))
    (config,), (secret,) = of_kind("ConfigMap"), of_kind("Secret")
    assert {name for name in config["data"] if name.startswith("LOCKSTEP_")} <= known
    assert set(secret["stringData"].values()) == {""}, "an example has no secret that somebody could go on using"
    for each in of_kind("Deployment", "StatefulSet"):
        (container,) = each["spec"]["template"]["spec"]["containers"]
        given = dict(config["data"])
        for variable in container["env"]:
            given[variable["name"]] = variable.get("value", "")
            if "valueFrom" in variable:
                assert variable["valueFrom"]["secretKeyRef"]["key"] in secret["stringData"]
            for name in re.findall(r"\$\(([A-Z_]+)\)", variable.get("value", "")):
                assert name in given, "a variable is only put in when it was named before"
        assert {name for name in given if name.startswith("LOCKSTEP_")} <= known


def test_each_shard_of_the_executor_opens_its_own_database_as_its_own_role() -> None:
    (executor,) = of_kind("StatefulSet")
    (container,) = executor["spec"]["template"]["spec"]["containers"]
    script = container["args"][0].replace("exec python -m executor", 'echo "$LOCKSTEP_SHARD" "$LOCKSTEP_DATABASE_URL"')
    given = {"PATH": "/usr/bin:/bin", "LOCKSTEP_EXECUTOR_SHARDS": "2"}
    (url,) = (each["value"] for each in container["env"] if each["name"] == "LOCKSTEP_DATABASE_URL")
    for number, role in ((1, "lockstep_executor"), (2, "lockstep_executor_2")):
        pod = given | {"HOSTNAME": f"executor-{number - 1}", "LOCKSTEP_DATABASE_URL": url}
        done = subprocess.run(["sh", "-euc", script], env=pod, capture_output=True, text=True, check=True)
        assert done.stdout.split() == [f"{number}/2", f"postgresql://{role}:$(POSTGRES_PASSWORD)@$(POSTGRES_ADDRESS)/{role}"]


def test_the_executors_pods_are_as_many_as_its_shards() -> None:
    (config,), (executor,) = of_kind("ConfigMap"), of_kind("StatefulSet")
    assert executor["spec"]["replicas"] == int(config["data"]["LOCKSTEP_EXECUTOR_SHARDS"])


def test_nobody_is_reached_who_is_not_named() -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind("NetworkPolicy")}
    assert policies["deny-all"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    (console,) = policies["console-to-api"]["egress"][0]["to"]
    assert console == {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "api"}}}
    (few,) = policies["redis-and-postgres"]["podSelector"]["matchExpressions"]
    assert set(few["values"]) == SERVICES - {"console"}
    # Both selectors stand in one peer: in two, either would do.
    (prometheus,), (back_end,) = policies["metrics"]["ingress"][0]["from"], policies["venue"]["ingress"][0]["from"]
    assert set(prometheus) == set(back_end) == {"namespaceSelector", "podSelector"}
    assert policies["venue"]["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": "gateway"}}
    open_to_all = [name for name, spec in policies.items() if any("from" not in rule for rule in spec.get("ingress", []))]
    assert sorted(open_to_all) == ["doors", "manager-tcp"]
