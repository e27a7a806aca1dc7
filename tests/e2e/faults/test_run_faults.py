"""The fault matrix, what happens to training runs: their pods, their broker, their operator, the run itself."""

from __future__ import annotations

import json
import os
import time

import pytest
from support.cluster_day import Load, active
from support.cluster_faults import ITERATIONS, copied, fault, pods_of, start_run, step_of, summary, trained, under_way, works
from support.cluster_rig import RIG, Cluster, run

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        os.environ.get("KUBEFUGU_E2E") != "1", reason="brings up a cluster: set KUBEFUGU_E2E=1 or use make test-e2e-faults"
    ),
]


def test_driver_pod_deleted(cluster: Cluster, calm: str) -> None:
    with fault(cluster, "driver pod deleted without grace in mid-run") as told:
        start_run(cluster, "driver")
        step = under_way(cluster, "driver")
        cluster.kubectl("delete", "--grace-period=0", "--force", "--wait=false", *pods_of(cluster, "driver", "driver"))
        status = trained(cluster, "driver")
        assert status["artifact"]["sha256"] == calm, "the resumed run must give the same bytes"
        assert status["attempt"] == 2
        assert status.get("infrastructureFailures") == 1
        assert not status.get("applicationFailures")
        told.append(f"deleted at generation {step}; attempt 2, infrastructureFailures 1, artifact equal byte for byte")


def test_evaluator_pods_deleted(cluster: Cluster, calm: str) -> None:
    with fault(cluster, "both evaluator pods deleted without grace in mid-run") as told:
        start_run(cluster, "helpers")
        step = under_way(cluster, "helpers")
        cluster.kubectl("delete", "--grace-period=0", "--force", "--wait=false", *pods_of(cluster, "helpers", "evaluator"))
        seen = cluster.until(
            "the condition tells it",
            lambda: (found := cluster.condition("trainingrun", "helpers", "EvaluatorsReady")).get("status") != "True" and found,
            timeout_s=30,
            every_s=0.3,
        )
        status = trained(cluster, "helpers")
        assert status["artifact"]["sha256"] == calm
        assert status["attempt"] == 1
        told.append(f"at generation {step}: EvaluatorsReady {seen['status']} {seen['reason']}; artifact equal byte for byte")


def test_redis_restarted(cluster: Cluster, calm: str) -> None:
    with fault(cluster, "Redis pod deleted in mid-run (its data is gone)") as told:
        start_run(cluster, "broker")
        step = under_way(cluster, "broker")
        pod = cluster.kubectl("get", "pods", "-l", "app.kubernetes.io/component=redis", "-o", "name").split()
        cluster.kubectl("delete", "--grace-period=0", "--force", "--wait=false", *pod)
        status = trained(cluster, "broker")
        assert status["artifact"]["sha256"] == calm
        told.append(f"at generation {step}: run goes on, attempt {status['attempt']}; artifact equal byte for byte")
        works(cluster)


def test_suspended_and_resumed(cluster: Cluster, calm: str) -> None:
    with fault(cluster, "suspended in mid-run, resumed") as told:
        start_run(cluster, "paused")
        step = under_way(cluster, "paused")
        cluster.kubectl("patch", "trainingrun", "paused", "--type=merge", "-p", '{"spec":{"suspend":true}}')
        cluster.until("nothing of it runs", lambda: not cluster.kubectl(
            "get", "pods", "-l", "kubefugu.dev/run=paused", "--field-selector=status.phase=Running", "-o", "name").split(),
            timeout_s=90)  # fmt: skip
        assert cluster.condition("trainingrun", "paused", "Suspended")["status"] == "True"
        seen = summary(cluster, "paused")
        cluster.kubectl("patch", "trainingrun", "paused", "--type=merge", "-p", '{"spec":{"suspend":false}}')
        status = trained(cluster, "paused")
        assert status["artifact"]["sha256"] == calm
        assert (status["attempt"], status.get("suspensions")) == (2, 1)
        assert not status.get("applicationFailures")
        assert not status.get("infrastructureFailures")
        told.append(f"at generation {step}: {seen['status']} {seen['reason']}; attempt 2, artifact equal byte for byte")


def kill_operator(cluster: Cluster) -> None:
    """SIGKILL, and another pod at once: in the same pod kubelet would wait longer after each kill."""
    pod = cluster.kubectl("get", "pods", "-l", "app.kubernetes.io/component=operator", "-o", "name").split()
    run([str(RIG / "cluster"), "enter", "pkill", "-KILL", "-f", "kubefugu-operator"], check=False)
    cluster.kubectl("delete", "--grace-period=0", "--force", "--wait=false", *pod, check=False)

    def back() -> bool:
        return bool((cluster.get("deployment", "kubefugu-operator").get("status") or {}).get("readyReplicas"))

    cluster.until("the dead operator is seen", lambda: not back(), timeout_s=60, every_s=0.2)
    cluster.until("operator is back", back, timeout_s=120, every_s=0.3)


def test_operator_killed_again_and_again(cluster: Cluster, calm: str) -> None:
    if not RIG.is_dir() or "KUBECONFIG" in os.environ:
        pytest.skip("needs to kill a process on the node")
    with fault(
        cluster, "operator killed (SIGKILL) 0 to 8 s after each start, from the apply of a run to its end and a rollout"
    ) as told:
        serving = cluster.get("routingpolicy", "main")["status"]["active"]
        start_run(cluster, "orphan")
        load = Load(cluster)
        deadline = time.monotonic() + 1200
        kills, rollout = 0, False
        while summary(cluster, "orphan").get("status") not in ("True", "False") or not active(cluster, "again"):
            assert time.monotonic() < deadline, cluster.picture()
            if not rollout and step_of(cluster, "orphan"):
                load.start()
                cluster.kubectl("create", "-f", "-", stdin=json.dumps(copied(cluster, serving, "again")))
                rollout = True
            kill_operator(cluster)
            kills += 1
            time.sleep((0, 0.5, 1, 2, 4, 8)[kills % 6])
        status = trained(cluster, "orphan")
        answers = load.end()
        assert not [answer for answer in answers if "error" in answer], answers[:3]
        assert {answer["policy-version"] for answer in answers} == {serving, "again"}
        assert status["artifact"]["sha256"] == calm
        assert status["attempt"] == 1
        assert len(pods_of(cluster, "orphan", "driver")) == 1, "one driver, ever"
        told.append(
            f"{kills} kills; one driver pod, attempt 1, artifact equal byte for byte; "
            f"the rollout ended in the new version, {len(answers)} answers meanwhile, none failed"
        )
        works(cluster)


def suspended(cluster: Cluster, name: str) -> bool:
    """True once a run that searched has been suspended."""
    if step_of(cluster, name) and not cluster.get("trainingrun", name)["spec"].get("suspend"):
        cluster.kubectl("patch", "trainingrun", name, "--type=merge", "-p", '{"spec":{"suspend":true}}')
    return cluster.condition("trainingrun", name, "Suspended").get("status") == "True"


def test_deletion_in_every_phase(cluster: Cluster) -> None:
    with fault(cluster, "a run deleted in each phase") as told:
        for number, (phase, reached) in enumerate(
            (
                ("just applied", lambda name: True),
                ("driver pending", lambda name: pods_of(cluster, name, "driver")),
                ("preparing", lambda name: cluster.condition("trainingrun", name, "DriverRunning").get("status") == "True"),
                ("searching", lambda name: step_of(cluster, name)),
                ("suspended", lambda name: suspended(cluster, name)),
                (
                    "search over",
                    lambda name: step_of(cluster, name) >= ITERATIONS or summary(cluster, name)["status"] == "True",
                ),
                ("over", lambda name: summary(cluster, name).get("status") == "True"),
            )
        ):
            name = f"gone{number}"
            start_run(cluster, name)
            cluster.until(phase, lambda name=name, reached=reached: reached(name), timeout_s=400, every_s=0.3)
            cluster.kubectl("delete", "trainingrun", name, "--timeout=60s")
            labels = f"kubefugu.dev/run={name}"
            kinds = "pods,jobs,deployments,configmaps,persistentvolumeclaims"
            cluster.until(
                f"nothing is left of {name}",
                lambda labels=labels, kinds=kinds: not cluster.kubectl("get", kinds, "-l", labels, "-o", "name").split(),
                timeout_s=150,
            )
            told.append(phase)
        works(cluster)
