"""The fault matrix, what users take away while a version is on its way to the routers: the pool, the policy."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from support.cluster_day import DATES, MANIFESTS, UNITS, Load, active, ask
from support.cluster_faults import copied, fault, works
from support.cluster_rig import Cluster

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        os.environ.get("KUBEFUGU_E2E") != "1", reason="brings up a cluster: set KUBEFUGU_E2E=1 or use make test-e2e-faults"
    ),
]


def begin_rollout(cluster: Cluster, name: str) -> str:
    """Publish a copy of what is served and wait until it is in a canary step; the version that serves."""
    serving = str(cluster.get("routingpolicy", "main")["status"]["active"])
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(copied(cluster, serving, name)))

    def stepping() -> Any:
        rollout = (cluster.get("routingpolicy", "main").get("status") or {}).get("rollout") or {}
        return rollout if rollout.get("candidate") == name and rollout.get("step", 0) > 0 else None

    cluster.until(f"{name} is in a canary step", stepping, timeout_s=120, every_s=0.3)
    return serving


def test_pool_deleted_in_mid_rollout(cluster: Cluster) -> None:
    with fault(cluster, "the pool deleted while a canary step waits for requests, then applied again") as told:
        works(cluster)
        begin_rollout(cluster, "poolless")
        cluster.kubectl("delete", "workerpool", "default", "--timeout=60s")
        cluster.until(
            "its workers are gone",
            lambda: not cluster.kubectl("get", "pods", "-l", "kubefugu.dev/worker", "-o", "name").split(),
            timeout_s=120,
        )
        (answer,) = ask(cluster, UNITS)
        assert "error" in answer, "nobody is left to answer"
        told.append(f"without workers: {answer['error'][:80]}")
        cluster.apply((MANIFESTS / "pool.yaml").read_text())
        works(cluster)
        load = Load(cluster)
        load.start()
        cluster.until("the rollout goes on to its end", lambda: active(cluster, "poolless"), timeout_s=180)
        answers = load.end()
        assert not [answer for answer in answers if "error" in answer], answers[:3]
        told.append(f"the rollout went on to its end, {len(answers)} answers, none failed")


def test_policy_deleted_in_mid_rollout(cluster: Cluster) -> None:
    with fault(cluster, "the policy deleted in a canary step, then applied and published to again") as told:
        works(cluster)
        serving = begin_rollout(cluster, "orphaned")
        version = copied(cluster, serving, "returned")
        load = Load(cluster)
        load.start()
        cluster.kubectl("delete", "routingpolicy", "main", "--timeout=60s")
        labels = "kubefugu.dev/routing-policy=main"
        cluster.until(
            "its versions are gone",
            lambda: not cluster.kubectl("get", "configmaps", "-l", labels, "-o", "name").split(),
            timeout_s=120,
        )
        cluster.until("the routers answer on", lambda: len(load.answers) > 20, timeout_s=120)
        cluster.apply((MANIFESTS / "policy.yaml").read_text())
        seen = cluster.until(
            "it has no version",
            lambda: (
                found
                if (found := cluster.condition("routingpolicy", "main", "VersionsFound")).get("reason") == "NoVersion"
                else None
            ),
            timeout_s=60,
        )
        told.append(f"{seen['type']} {seen['status']} {seen['reason']}")
        owner = cluster.get("routingpolicy", "main")["metadata"]["uid"]
        for reference in version["metadata"]["ownerReferences"]:
            reference["uid"] = owner
        cluster.kubectl("create", "-f", "-", stdin=json.dumps(version))
        cluster.until("the version published again is active", lambda: active(cluster, "returned"), timeout_s=180)
        answers = load.end()
        assert not [answer for answer in answers if "error" in answer], answers[:3]
        told.append(f"{len(answers)} answers all the while, none failed")
        answers = ask(cluster, UNITS, DATES)
        assert [answer["policy-version"] for answer in answers] == ["returned", "returned"]
        works(cluster)
