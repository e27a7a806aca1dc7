"""What the files of the fault matrix share: rows of its table, runs that something happens to, what must work."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from support.cluster_day import DATES, MANIFESTS, UNITS, ask
from support.cluster_rig import Cluster
from support.paths import REPO

RUN = REPO / "tests" / "e2e" / "faults" / "training.yaml"
ITERATIONS = 300
ROWS: list[str] = []


@contextmanager
def fault(cluster: Cluster, name: str) -> Iterator[list[str]]:
    """A row of the table; conditions that were seen are appended to what is yielded. Begins with the pool as it was applied."""
    cluster.say(f"== {name}")
    cluster.apply((MANIFESTS / "pool.yaml").read_text())
    told: list[str] = []
    begun = time.monotonic()
    yield told
    ROWS.append(f"| {name} | {'; '.join(told)} | {time.monotonic() - begun:.0f} s |")
    cluster.say(ROWS[-1])


def works(cluster: Cluster) -> None:
    """The system does its work: pool healthy, policy served, questions answered by the right workers."""
    cluster.until(
        "pool and policy are well",
        lambda: (
            cluster.condition("workerpool", "default", "Ready").get("reason") == "AllWorkersHealthy"
            and cluster.condition("routingpolicy", "main", "Ready").get("status") == "True"
        ),
        timeout_s=180,
    )
    # The executor asks a worker that had failed again after a while (circuit breaker).
    cluster.until(
        "the right workers answer",
        lambda: [answer.get("worker") for answer in ask(cluster, UNITS, DATES)] == ["units", "dates"],
        timeout_s=90,
    )


def start_run(cluster: Cluster, name: str, **spec: Any) -> None:
    """Apply the run of training.yaml with further spec fields."""
    import yaml

    body = yaml.safe_load(RUN.read_text().replace("RUN", name).replace("ITERATIONS", str(ITERATIONS)))
    body["spec"] |= spec
    cluster.apply(json.dumps(body))


def summary(cluster: Cluster, name: str) -> dict[str, str]:
    """The run's Succeeded condition."""
    return cluster.condition("trainingrun", name, "Succeeded")


def step_of(cluster: Cluster, name: str) -> int:
    """Generations done; 0 while it prepares, whose steps are others."""
    progress = (cluster.get("trainingrun", name).get("status") or {}).get("progress") or {}
    return int(progress.get("step", 0)) if progress.get("totalSteps") == ITERATIONS else 0


def trained(cluster: Cluster, name: str) -> dict[str, Any]:
    """Wait for the run's end; its status."""
    cluster.until(f"run {name} is over", lambda: summary(cluster, name).get("status") in ("True", "False"), timeout_s=1800)
    status: dict[str, Any] = cluster.get("trainingrun", name)["status"]
    assert summary(cluster, name)["reason"] == "Trained", json.dumps(status, indent=1)
    return status


def under_way(cluster: Cluster, name: str) -> int:
    """Wait until the search has begun and is not near its end."""
    return int(cluster.until(f"run {name} searches", lambda: step_of(cluster, name) or None, timeout_s=900, every_s=0.5))


def pods_of(cluster: Cluster, name: str, component: str) -> list[str]:
    """Names of a run's pods."""
    labels = f"kubefugu.dev/run={name},app.kubernetes.io/component={component}"
    return cluster.kubectl("get", "pods", "-l", labels, "-o", "name").split()


def copied(cluster: Cluster, version: str, name: str) -> dict[str, Any]:
    """A version's ConfigMap under another name, as somebody else would publish the same head."""
    body = cluster.get("configmap", f"main-{version}")
    meta = body["metadata"]
    meta["name"], meta["labels"]["kubefugu.dev/policy-version"] = f"main-{name}", name
    for key in ("uid", "resourceVersion", "creationTimestamp", "managedFields"):
        meta.pop(key, None)
    return body
