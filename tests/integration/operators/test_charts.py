"""The charts: lint, schema, every rendered object validated by a real API server, every pod under restricted security."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.apiserver import ApiServer, assets
from support.paths import REPO

from kubefugu_operators.cluster.client import HttpApi
from kubefugu_operators.cluster.objects import Body

CHART = REPO / "charts" / "kubefugu"
SCENARIOS = sorted((CHART / "ci").glob("*-values.yaml"))
_PLURALS = {
    "Deployment": ("apis/apps/v1", "deployments"),
    "Service": ("api/v1", "services"),
    "ServiceAccount": ("api/v1", "serviceaccounts"),
    "ConfigMap": ("api/v1", "configmaps"),
    "PersistentVolumeClaim": ("api/v1", "persistentvolumeclaims"),
    "Pod": ("api/v1", "pods"),
    "PodDisruptionBudget": ("apis/policy/v1", "poddisruptionbudgets"),
    "HorizontalPodAutoscaler": ("apis/autoscaling/v2", "horizontalpodautoscalers"),
    "NetworkPolicy": ("apis/networking.k8s.io/v1", "networkpolicies"),
    "Role": ("apis/rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ("apis/rbac.authorization.k8s.io/v1", "rolebindings"),
    "ClusterRole": ("apis/rbac.authorization.k8s.io/v1", "clusterroles"),
    "ClusterRoleBinding": ("apis/rbac.authorization.k8s.io/v1", "clusterrolebindings"),
}
_CLUSTER = {"ClusterRole", "ClusterRoleBinding"}


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """helm from the same folder as the API server, or from PATH."""
    binary = assets() / "helm"
    command = str(binary) if binary.exists() else "helm"
    try:
        return subprocess.run([command, *arguments], capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        pytest.skip("needs helm")


def rendered(values: Path, *more: str) -> list[Body]:
    """Every object of a scenario."""
    done = helm("template", "release", str(CHART), "--namespace", "charts", "-f", str(values), *more)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


@pytest.mark.parametrize("values", SCENARIOS, ids=lambda path: path.stem)
def test_lint(values: Path) -> None:
    done = helm("lint", "--strict", str(CHART), "-f", str(values))
    assert done.returncode == 0, done.stdout + done.stderr


def test_lint_of_the_crds() -> None:
    done = helm("lint", "--strict", str(REPO / "charts" / "kubefugu-crds"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
async def restricted(api: HttpApi) -> str:
    """A namespace with restricted pod security."""
    name = "charts"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    query = "fieldManager=test&force=true"
    await api.request("PATCH", f"/api/v1/namespaces/{name}?{query}", body=body, content_type="application/apply-patch+yaml")
    return name


@pytest.mark.parametrize("values", SCENARIOS, ids=lambda path: path.stem)
async def test_every_object_is_valid(server: ApiServer, api: HttpApi, restricted: str, values: Path) -> None:
    for body in rendered(values):
        if body["kind"] == "ServiceMonitor":
            continue  # of the Prometheus operator, which this API server does not know
        body["metadata"].pop("namespace", None)
        group, plural = _PLURALS[body["kind"]]
        scope = "" if body["kind"] in _CLUSTER else f"/namespaces/{restricted}"
        await api.request("POST", f"/{group}{scope}/{plural}?dryRun=All&fieldValidation=Strict", body=body)
        if body["kind"] == "Deployment":
            template = body["spec"]["template"]
            pod = {"metadata": {"name": "x", "labels": template["metadata"]["labels"]}, "spec": template["spec"]}
            pod["spec"]["serviceAccountName"] = "default"
            await api.request("POST", f"/api/v1/namespaces/{restricted}/pods?dryRun=All&fieldValidation=Strict", body=pod)


@pytest.mark.parametrize("values", SCENARIOS, ids=lambda path: path.stem)
def test_selectors_carry_no_version_and_match(values: Path) -> None:
    for body in rendered(values):
        if body["kind"] == "Deployment":
            selector = body["spec"]["selector"]["matchLabels"]
            assert set(selector) == {"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"}
            assert selector.items() <= body["spec"]["template"]["metadata"]["labels"].items()


def test_only_the_operator_has_a_token_and_no_rule_has_a_wildcard() -> None:
    for values in SCENARIOS:
        for body in rendered(values):
            if body["kind"] == "Deployment":
                component = body["metadata"]["labels"]["app.kubernetes.io/component"]
                assert body["spec"]["template"]["spec"]["automountServiceAccountToken"] is (component == "operator")
            if body["kind"] in ("Role", "ClusterRole"):
                assert "*" not in json.dumps(body["rules"])
                secrets = [rule for rule in body["rules"] if "secrets" in rule["resources"]]
                assert not {"list", "watch"} & {verb for rule in secrets for verb in rule["verbs"]}


def test_no_custom_resources_and_no_secrets_in_the_chart() -> None:
    for values in SCENARIOS:
        for body in rendered(values):
            assert body["kind"] != "Secret"
            assert not body["apiVersion"].startswith("kubefugu.dev/")


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("gateway.replicas=-1", "replicas"),
        ("gateway.imagee.tag=x", "imagee"),
        ("operator.replicas=2", "replicas"),
        ("pool=Default", "pool"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("router.dtype=int8", "dtype"),
    ],
)
def test_schema_refuses(setting: str, sentence: str) -> None:
    done = helm("template", "release", str(CHART), "-f", str(SCENARIOS[0]), "--set", setting)
    assert done.returncode != 0
    assert sentence in done.stderr


def test_who_may_call_has_to_be_decided() -> None:
    done = helm("template", "release", str(CHART))
    assert done.returncode != 0
    assert "Who may call the gateway?" in done.stderr


def test_every_component_has_the_same_block() -> None:
    values: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    names = ("gateway", "executor", "router", "conductor", "operator", "experts", "redis")
    common = set.intersection(*(set(values[name]) for name in names))
    assert {
        "enabled", "image", "replicas", "resources", "podSecurityContext", "securityContext", "nodeSelector", "tolerations",
        "affinity", "pdb", "autoscaling", "service", "serviceAccount", "extraEnv", "extraArgs", "extraVolumes",
        "extraVolumeMounts", "probes", "terminationGracePeriodSeconds",
    } <= common  # fmt: skip


def test_every_value_is_documented() -> None:
    text = (CHART / "values.yaml").read_text()
    assert text.count("# --") > 100
