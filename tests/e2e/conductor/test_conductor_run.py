"""A Conductor trained in the cluster: kubectl apply a GRPO run, see its plans live, roll the next one out, roll back.

    make test-e2e-conductor

The base model is SmolLM2-135M; the pool's workers run as pods and execute every plan of the training.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.cluster_day import DATES, UNITS, Load, ask, install, pool_with_workers, train
from support.cluster_rig import Cluster, fresh_node
from support.paths import REPO

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.timeout(5400),
    pytest.mark.skipif(
        os.environ.get("KUBEFUGU_E2E_CONDUCTOR") != "1", reason="brings up a cluster: use make test-e2e-conductor"
    ),
]
HERE = REPO / "tests" / "e2e" / "conductor"
FACTORS = {("miles", "kilometres"): 1.609344, ("pounds", "kilograms"): 0.45359237, ("inches", "centimetres"): 2.54}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Images built and loaded on a fresh node."""
    with fresh_node() as node:
        yield node


def questions() -> str:
    """Conversions and weekdays with their answers: 120 lines, every second one of each kind."""
    lines = []
    for number in range(60):
        (unit, other), factor = list(FACTORS.items())[number % 3]
        amount = 3 + 2 * number
        prompt = f"Convert {amount} {unit} to {other}."
        lines.append({"prompt": prompt, "answer": str(amount * factor), "kind": "numeric", "field": "units"})
        day = datetime.date(2026, 1, 1) + datetime.timedelta(days=37 * number)
        prompt = f"What day of the week is {day.day} {day:%B %Y}?"
        lines.append({"prompt": prompt, "answer": f"{day:%A}", "kind": "contains", "field": "dates"})
    return "".join(f"{json.dumps(line)}\n" for line in lines)


def test_a_conductor_is_trained_and_goes_live(cluster: Cluster, tmp_path: Path) -> None:
    with cluster.stage("helm install, pool of real workers; a worker of the pool plans"):
        install(cluster, "-f", str(HERE / "values.yaml"))
        pool_with_workers(cluster)
        (answer,) = ask(cluster, UNITS, model="fugu-ultra")
        cluster.say(json.dumps(answer))
        assert answer.get("answer"), answer
        assert "policy-version" not in answer
    pods = conductors(cluster)
    file = tmp_path / "questions.jsonl"
    file.write_text(questions())
    cluster.kubectl("create", "configmap", "questions", f"--from-file={file}")
    cluster.apply((HERE / "policy.yaml").read_text())
    with cluster.stage("a GRPO run by its driver alone; its Conductor goes live"):
        first = train(cluster, "first", str(HERE / "run.yaml"), SEED=1, STEPS=4, EVALUATORS=0)
        served(cluster, first)
        for answer in ask(cluster, UNITS, DATES, model="fugu-ultra"):
            cluster.say(json.dumps(answer))
            assert answer["policy-version"] == first
            assert answer["worker"] in ("units", "dates")
    with cluster.stage("a GRPO run with two evaluators over Celery; canary under load"):
        load = Load(cluster, model="fugu-ultra")
        load.start()
        with cluster.watching("routingpolicy", "planners", ".status.canary") as steps:
            second = train(cluster, "second", str(HERE / "run.yaml"), SEED=2, STEPS=4, EVALUATORS=2)
            status = served(cluster, second)
        answers = load.end()
        failed = [answer for answer in answers if "error" in answer]
        assert not failed, failed[:3]
        cluster.say(f"{len(answers)} answers under load, none failed; canary {steps}")
        assert status["previous"] == first
        assert f"{second} 50%" in steps
    with cluster.stage("roll back by one kubectl patch"):
        cluster.kubectl("patch", "routingpolicy", "planners", "--type=merge", "-p", json.dumps({"spec": {"pin": first}}))
        served(cluster, first)
        (answer,) = ask(cluster, UNITS, model="fugu-ultra")
        assert answer["policy-version"] == first
    assert conductors(cluster) == pods, "swapped while planning: no Conductor was restarted"


def conductors(cluster: Cluster) -> dict[str, Any]:
    """Restarts of each Conductor pod, by uid."""
    found = json.loads(cluster.kubectl("get", "pods", "-l", "app.kubernetes.io/component=conductor", "-o", "json"))["items"]
    return {pod["metadata"]["uid"]: pod["status"]["containerStatuses"][0]["restartCount"] for pod in found}


def served(cluster: Cluster, version: str) -> Any:
    """Wait until the Conductor plans with a version; the policy's status."""

    def active() -> Any:
        status = cluster.get("routingpolicy", "planners").get("status") or {}
        ready = cluster.condition("routingpolicy", "planners", "Ready")
        return status if status.get("active") == version and ready.get("status") == "True" else None

    status = cluster.until(f"{version} plans", active, timeout_s=240)
    cluster.show("routingpolicies")
    return status
