"""What the user's day and the fault matrix both do on a cluster: install, apply a pool, ask, train, look at the policy."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from support.cluster_rig import Cluster
from support.paths import REPO

MANIFESTS = REPO / "tests" / "e2e" / "cluster"
CHART = str(REPO / "charts" / "kubefugu")
CRDS = str(REPO / "charts" / "kubefugu-crds")
COMPONENTS = ("operator", "redis", "router", "executor", "conductor", "gateway")
UNITS = "Convert 12 miles to kilometres."
DATES = "What day of the week is 14 March 2027?"
TALK = "Say hello to my sister in one sentence."


PREVIOUS = MANIFESTS / "previous"
"""The charts of the release before this one, as they were packaged."""


def install(cluster: Cluster, *more: str, previous: bool = False) -> None:
    """Both charts, or those of the release before, in a namespace with restricted pod security; `more`: further arguments."""
    crds, chart = (str(found) for found in packaged()) if previous else (CRDS, CHART)
    cluster.kubectl("create", "namespace", cluster.namespace)
    cluster.kubectl("label", "namespace", cluster.namespace, "pod-security.kubernetes.io/enforce=restricted")
    cluster.helm("install", "kubefugu-crds", crds)
    cluster.helm("install", "kubefugu", chart, "-f", str(MANIFESTS / "values.yaml"), *more)


def packaged() -> tuple[Path, Path]:
    """The previous release's packages: CRDs, chart."""
    (crds,) = PREVIOUS.glob("kubefugu-crds-*.tgz")
    (chart,) = PREVIOUS.glob("kubefugu-[0-9]*.tgz")
    return crds, chart


def pool_with_workers(cluster: Cluster) -> None:
    """kubectl apply the pool and a client pod; returns when every worker and every component is up."""
    cluster.apply((MANIFESTS / "client.yaml").read_text())
    cluster.apply((MANIFESTS / "pool.yaml").read_text())
    cluster.until(
        "pool is ready with every worker",
        lambda: cluster.condition("workerpool", "default", "Ready").get("reason") == "AllWorkersHealthy",
        timeout_s=300,
    )
    for name in COMPONENTS:
        cluster.kubectl("rollout", "status", f"deployment/kubefugu-{name}", "--timeout=480s", timeout_s=500)
        cluster.say(f"{name} is rolled out")
    cluster.kubectl("wait", "--for=condition=Ready", "pod/client", "--timeout=60s")


def ask(cluster: Cluster, *questions: str, model: str = "fugu", seconds: float = 0) -> list[dict[str, Any]]:
    """Answers from the gateway, asked in the cluster with OpenAI's client."""
    code = (MANIFESTS / "ask.py").read_text()
    text = cluster.kubectl(
        "exec", "-i", "client", "--", "python", "-", str(seconds), model, *questions, stdin=code, timeout_s=300 + seconds
    )
    return [json.loads(line) for line in text.splitlines()]


class Load(threading.Thread):
    """Asks all the time until told to end; no request may fail."""

    def __init__(self, cluster: Cluster, *, model: str = "fugu") -> None:
        super().__init__(daemon=True)
        self._cluster = cluster
        self._model = model
        self._ended = threading.Event()
        self.answers: list[dict[str, Any]] = []

    def run(self) -> None:
        while not self._ended.is_set():
            self.answers += ask(self._cluster, UNITS, DATES, model=self._model, seconds=5)

    def end(self) -> list[dict[str, Any]]:
        """Stop asking; everything that came back."""
        self._ended.set()
        self.join(timeout=120)
        return self.answers


def train(cluster: Cluster, name: str, manifest: str, **values: object) -> str:
    """Apply a TrainingRun (a file of the user's day, or a path), watch it, return the version that it published."""
    text = (MANIFESTS / manifest).read_text().replace("RUN", name)
    for word, value in values.items():
        text = text.replace(word, str(value))
    cluster.apply(text)
    seen: dict[str, None] = {}

    def over() -> Any:
        told = cluster.condition("trainingrun", name, "Succeeded")
        line = cluster.kubectl("get", "trainingrun", name, "--no-headers").split()
        stage = " ".join(line[:-1])
        if stage not in seen:
            cluster.say(f"kubectl get tr: {stage}")
            seen[stage] = None
        return told if told.get("status") in ("True", "False") else None

    told = cluster.until(f"run {name} is over", over, timeout_s=1800)
    status = cluster.get("trainingrun", name)["status"]
    cluster.show("trainingruns", name, "-o", "wide")
    assert told["status"] == "True", json.dumps(status, indent=1)
    assert told["reason"] == "PublishedVersion"
    assert float(status["result"]["gainLow"]) > 0.05
    assert float(status["result"]["score"]) > float(status["result"]["baseline"])
    return str(status["artifact"]["version"])


def active(cluster: Cluster, version: str) -> Any:
    """The policy's status where `version` is active and served by every router."""
    status = cluster.get("routingpolicy", "main").get("status") or {}
    ready = cluster.condition("routingpolicy", "main", "Ready")
    return status if status.get("active") == version and ready.get("status") == "True" else None
