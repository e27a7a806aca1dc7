"""The user's day on a real cluster in kubectl and helm: install, pool, question, training, rollout, rollback, removal.

    make test-e2e        (or: KUBEFUGU_E2E=1 pytest tests/e2e/cluster -s)

Every model answers for real, every optimiser moves real weights; see support/cluster_rig.py for the cluster that it runs on.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from support.cluster_day import (
    CHART,
    COMPONENTS,
    CRDS,
    DATES,
    MANIFESTS,
    TALK,
    UNITS,
    Load,
    active,
    ask,
    install,
    pool_with_workers,
    train,
)
from support.cluster_rig import Cluster, fresh_node

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        os.environ.get("KUBEFUGU_E2E") != "1", reason="brings up a cluster: set KUBEFUGU_E2E=1 or use make test-e2e"
    ),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Images built and loaded on a fresh node."""
    with fresh_node() as node:
        yield node


def test_the_users_day(cluster: Cluster) -> None:
    with cluster.stage("helm install of both charts (the previous release's)"):
        install(cluster, previous=True)
    with cluster.stage("a pool of real workers; an answer for the openai client"):
        pool_of_real_workers(cluster)
    with cluster.stage("a supervised run; its head goes live"):
        first = first_head_goes_live(cluster)
    with cluster.stage("helm upgrade of both charts to this release"):
        upgrade(cluster, first)
    with cluster.stage("an evolution run over Celery; its head goes through canary under load"):
        second = second_head_rolls_out_under_load(cluster, first)
    with cluster.stage("roll back by one kubectl patch"):
        rollback_is_one_command(cluster, first, second)
    with cluster.stage("a second router by helm upgrade, helm test"):
        scale(cluster, first)
    with cluster.stage("uninstall"):
        nothing_is_left(cluster)


def pool_of_real_workers(cluster: Cluster) -> None:
    """kubectl apply a pool: its workers run, the executor takes it without a restart, an application gets an answer."""
    pool_with_workers(cluster)
    cluster.show("workerpools,deployments,pods")
    (answer,) = ask(cluster, TALK)
    cluster.say(json.dumps(answer))
    assert answer.get("answer"), answer
    assert answer["worker"] == "smollm2"
    assert restarts(cluster, "executor") == ["0"]


def restarts(cluster: Cluster, component: str) -> list[str]:
    """Restart counts of a component's containers."""
    path = "jsonpath={.items[*].status.containerStatuses[*].restartCount}"
    return cluster.kubectl("get", "pods", "-l", f"app.kubernetes.io/component={component}", "-o", path).split()


def first_head_goes_live(cluster: Cluster) -> str:
    """kubectl apply a training run: a head is trained on measured outcomes, published and served; routing follows it."""
    cluster.kubectl("create", "configmap", "outcomes", f"--from-file={MANIFESTS / 'outcomes.jsonl'}")
    cluster.apply((MANIFESTS / "policy.yaml").read_text())
    version = train(cluster, "first", "run.yaml", SEED=42)
    cluster.until(f"{version} is active on every router", lambda: active(cluster, version), timeout_s=180)
    cluster.show("routingpolicies")
    answers = ask(cluster, UNITS, DATES, TALK)
    for answer in answers:
        cluster.say(json.dumps(answer))
        assert answer["policy-version"] == version
    units, dates, talk = answers
    assert (units["worker"], dates["worker"], talk["worker"]) == ("units", "dates", "smollm2")
    assert "19.3" in units["answer"]
    return version


def second_head_rolls_out_under_load(cluster: Cluster, first: str) -> str:
    """An evolution run: its version goes through the canary steps while requests come in, and none is lost."""
    load = Load(cluster)
    load.start()
    with cluster.watching("routingpolicy", "main", ".status.canary") as steps:
        version = train(cluster, "second", "evolution.yaml", SEED=7, ITERATIONS=30)
        assert version != first
        progress = cluster.get("trainingrun", "second")["status"]["progress"]
        assert (progress["step"], progress["totalSteps"]) == (30, 30)
        cluster.show("routingpolicies")
        status = cluster.until(f"{version} was promoted", lambda: active(cluster, version), timeout_s=180)
        cluster.until("the watch has seen the end", lambda: "60%" in " ".join(steps) and steps[-1] == "", timeout_s=30)
    cluster.show("routingpolicies")
    answers = load.end()
    failed = [answer for answer in answers if "error" in answer]
    assert not failed, failed[:3]
    by_version = Counter(answer["policy-version"] for answer in answers)
    cluster.say(f"{len(answers)} answers under load, none failed: {dict(by_version)}; canary {steps}")
    assert by_version[first]
    assert by_version[version]
    assert [step for step in steps if step and not step.endswith(" 0%")] == [f"{version} 30%", f"{version} 60%"]
    assert status["previous"] == first
    left = cluster.kubectl("get", "deployments", "-l", "kubefugu.dev/run=second", "-o", "name")
    assert left.strip() == "", "evaluators must go with their run"
    return version


def rollback_is_one_command(cluster: Cluster, first: str, second: str) -> None:
    """kubectl patch of one field brings the earlier version back."""
    cluster.kubectl("patch", "routingpolicy", "main", "--type=merge", "-p", json.dumps({"spec": {"pin": first}}))
    cluster.until(f"{first} is active again", lambda: active(cluster, first), timeout_s=180)
    (answer,) = ask(cluster, UNITS)
    assert answer["policy-version"] == first
    states = {entry["name"]: entry["state"] for entry in cluster.get("routingpolicy", "main")["status"]["versions"]}
    assert states == {first: "Active", second: "Available"}
    cluster.show("routingpolicies")


def upgrade(cluster: Cluster, version: str) -> None:
    """The upgrade from the previous release keeps what is live, under load, and restarts only what changed."""
    load = Load(cluster)
    load.start()
    cluster.helm("upgrade", "kubefugu-crds", CRDS)
    cluster.helm("upgrade", "kubefugu", CHART, "-f", str(MANIFESTS / "values.yaml"))
    for name in COMPONENTS:
        cluster.kubectl("rollout", "status", f"deployment/kubefugu-{name}", "--timeout=480s", timeout_s=500)
    cluster.until("what was live is live", lambda: active(cluster, version), timeout_s=180)
    cluster.say(cluster.helm("list"))
    answers = load.end()
    failed = [answer for answer in answers if "error" in answer]
    assert not failed, failed[:3]
    cluster.say(f"{len(answers)} answers during the upgrade, none failed")
    assert set(restarts(cluster, "router")) == {"0"}  # a pod that is still going away may be listed, too


def scale(cluster: Cluster, version: str) -> None:
    """A scaled-up router is ready only when it serves the declared version; the chart's own test passes."""
    cluster.helm("upgrade", "kubefugu", CHART, "-f", str(MANIFESTS / "values.yaml"), "--set", "router.replicas=2")
    cluster.kubectl("rollout", "status", "deployment/kubefugu-router", "--timeout=480s", timeout_s=500)

    def both() -> Any:
        status = active(cluster, version)
        return status if status and status["routers"] == "2/2" else None

    cluster.until("both routers serve", both, timeout_s=180)
    output = cluster.helm("test", "kubefugu", "--logs")
    assert "readyz 200" in output


def nothing_is_left(cluster: Cluster) -> None:
    """Deleting the custom resources and helm uninstall leave the CRDs and claims that nobody asked to delete."""
    cluster.kubectl("delete", "pod", "client", "--wait=true")
    cluster.kubectl("delete", "trainingruns,workerpools,routingpolicies", "--all", "--timeout=60s")
    cluster.helm("uninstall", "kubefugu", "--wait")
    cluster.helm("uninstall", "kubefugu-crds")

    def left() -> list[str]:
        kinds = "deployments,replicasets,pods,services,jobs,configmaps,secrets,serviceaccounts,roles,rolebindings"
        found = cluster.kubectl("get", kinds, "-o", "name").split()
        ours = [name for name in found if not name.endswith(("/kube-root-ca.crt", "/default", "/outcomes"))]
        return ours or ["nothing"]

    cluster.until("nothing is left", lambda: left() == ["nothing"] or None, timeout_s=120)
    assert "workerpools.kubefugu.dev" in cluster.kubectl("get", "crds", "-o", "name")
