"""The decision about a pool, case by case."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from support.manifests import edited, worker_pool

from kubefugu_core.pool import parse_pool
from kubefugu_operators.cluster.drift import stamped
from kubefugu_operators.cluster.objects import Body, Ref, ref_of
from kubefugu_operators.plan import Plan
from kubefugu_operators.workerpool.observed import Health, PoolObserved, Probe
from kubefugu_operators.workerpool.reconcile import reconcile

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OK = Probe(Health.OK, 12.0)
MANAGED = {"name": "m", "model": "x", "managed": {"image": "image:1", "memory": "1024Mi", "cpu": "0.5"}}


def pool(*workers: dict[str, Any], **spec: Any) -> Body:
    body = worker_pool()
    body["metadata"] |= {"namespace": "ns", "uid": "uid-1", "generation": 3}
    body["spec"] |= {"workers": list(workers) or body["spec"]["workers"], **spec}
    return body


def observed(body: Body, **more: Any) -> PoolObserved:
    return PoolObserved(body=body, now=NOW, **more)


def conditions(plan: Plan) -> dict[str, tuple[str, str]]:
    assert plan.status is not None
    return {entry["type"]: (entry["status"], entry["reason"]) for entry in plan.status["conditions"]}


def stored(plan: Plan) -> dict[Ref, Body]:
    """What the plan applies, as the API server would give it back."""
    result = {}
    for body in plan.apply:
        kept = stamped(body)
        kept["metadata"] = {**kept["metadata"], "uid": "uid-2", "generation": 1}
        result[ref_of(kept)] = kept
    return result


def test_first_visit_sets_every_condition() -> None:
    plan = reconcile(observed(pool()), {})
    assert conditions(plan) == {
        "KeysResolved": ("True", "NoKeys"),
        "Configured": ("True", "Configured"),
        "ManagedAvailable": ("True", "NoManagedWorkers"),
        "WorkersHealthy": ("Unknown", "NotProbedYet"),
        "Ready": ("Unknown", "NotProbedYet"),
    }
    assert plan.status is not None
    assert plan.status["observedGeneration"] == 3
    assert plan.status["readyWorkers"] == "0/1"


def test_pool_file_is_what_the_executor_reads() -> None:
    service = {"name": "s", "model": "y", "service": {"name": "svc", "port": 80, "path": "/api"}, "fallback": True}
    plan = reconcile(observed(pool(MANAGED, service)), {})
    config = next(body for body in plan.apply if body["kind"] == "ConfigMap")
    parsed = parse_pool(yaml.safe_load(config["data"]["pool.yaml"]), source="test")
    assert [worker.url for worker in parsed.spec.workers] == ["http://pool-m.ns.svc:8000/v1", "http://svc.ns.svc:80/api"]
    assert parsed.spec.workers[1].fallback
    assert parsed.metadata.name == "pool"


def test_managed_worker_is_hardened() -> None:
    plan = reconcile(observed(pool(MANAGED)), {})
    deployment = next(body for body in plan.apply if body["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"] == {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}
    assert "replicas" not in deployment["spec"]
    service = next(body for body in plan.apply if body["kind"] == "Service")
    assert service["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_gpu_worker_asks_for_gpus_and_does_not_surge() -> None:
    worker = edited(MANAGED, "managed.gpus", 2)
    deployment = next(b for b in reconcile(observed(pool(worker)), {}).apply if b["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 0
    assert {"name": "shm", "mountPath": "/dev/shm"} in container["volumeMounts"]


def _keyed(name: str, key: str = "k") -> dict[str, Any]:
    return {"name": "a", "model": "m", "url": "http://h/v1", "auth": {"secretKeyRef": {"name": name, "key": key}}}


def test_keys_are_collected_and_never_in_the_pool_file() -> None:
    secret = {"metadata": {"name": "s"}, "data": {"k": base64.b64encode(b"sk-very-secret").decode()}}
    plan = reconcile(observed(pool(_keyed("s")), secrets={"s": secret}, probes={"a": OK}), {})
    keys = next(body for body in plan.apply if body["kind"] == "Secret")
    assert keys["metadata"]["name"] == "pool-keys"
    assert base64.b64decode(keys["data"]["a"]) == b"sk-very-secret"
    config = next(body for body in plan.apply if body["kind"] == "ConfigMap")
    assert "very-secret" not in str(config)
    assert "very-secret" not in str(plan.status)
    assert conditions(plan)["Ready"] == ("True", "AllWorkersHealthy")


@pytest.mark.parametrize(
    ("secret", "reason"),
    [(None, "SecretNotFound"), ({"metadata": {"name": "s"}, "data": {"other": "eA=="}}, "SecretKeyNotFound")],
)
def test_missing_key_is_told(secret: Body | None, reason: str) -> None:
    plan = reconcile(observed(pool(_keyed("s")), secrets={"s": secret}), {})
    assert conditions(plan)["KeysResolved"] == ("False", reason)
    assert conditions(plan)["Ready"] == ("False", reason)
    assert not [body for body in plan.apply if body["kind"] == "Secret"]


@pytest.mark.parametrize(
    ("probe", "reason"),
    [
        (Probe(Health.UNREACHABLE, message="no answer"), "WorkerUnreachable"),
        (Probe(Health.KEY_REFUSED, message="401"), "KeyRefused"),
        (Probe(Health.FAILING, message="500"), "WorkerFailing"),
    ],
)
def test_one_failing_worker_of_two(probe: Probe, reason: str) -> None:
    other = {"name": "b", "model": "m", "url": "http://b/v1"}
    body = pool({"name": "a", "model": "m", "url": "http://a/v1"}, other)
    plan = reconcile(observed(body, probes={"a": OK, "b": probe}), {})
    assert conditions(plan)["WorkersHealthy"] == ("False", reason)
    assert conditions(plan)["Ready"] == ("True", "SomeWorkersUnhealthy")
    assert plan.status is not None
    assert plan.status["readyWorkers"] == "1/2"
    assert plan.status["workers"][1]["reason"] == reason
    alone = reconcile(observed(body, probes={"a": probe, "b": probe}), {})
    assert conditions(alone)["Ready"] == ("False", reason)


def _pod(**status: Any) -> Body:
    return {"metadata": {"name": "pool-m-1", "namespace": "ns"}, "status": status}


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        (_pod(containerStatuses=[{"image": "i", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]), "ImagePullFailed"),
        (_pod(containerStatuses=[{"image": "i", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]), "Crashing"),
        (_pod(conditions=[{"type": "PodScheduled", "status": "False", "message": "0/1 nodes"}]), "Unschedulable"),
        (_pod(conditions=[{"type": "PodScheduled", "status": "True"}]), "RollingOut"),
    ],
)
def test_why_a_managed_worker_does_not_run(pod: Body, reason: str) -> None:
    plan = reconcile(observed(pool(MANAGED), pods=(pod,)), {})
    assert conditions(plan)["ManagedAvailable"] == ("False", reason)


def test_removed_worker_takes_its_objects_along() -> None:
    before = reconcile(observed(pool(MANAGED)), {})
    plan = reconcile(observed(pool(), children=stored(before)), {})
    assert sorted(str(deletion.ref) for deletion in plan.delete) == ["Deployment ns/pool-m", "Service ns/pool-m"]


def test_foreign_object_of_the_same_name_is_a_conflict() -> None:
    ref = Ref("ConfigMap", "ns", "pool-pool")
    plan = reconcile(observed(pool()), {ref: "ConfigMap ns/pool-pool exists and belongs to WorkerPool other"})
    assert conditions(plan)["Configured"] == ("False", "NameConflict")
    assert conditions(plan)["Ready"] == ("False", "NameConflict")


def test_quota_is_told_with_the_servers_sentence() -> None:
    ref = Ref("Deployment", "ns", "pool-m")
    plan = reconcile(observed(pool(MANAGED)), {ref: "Deployment ns/pool-m was refused: exceeded quota"})
    assert conditions(plan)["Configured"] == ("False", "WriteRefused")


def test_executors_are_nudged_only_when_what_they_shall_read_is_stored() -> None:
    executor = {"metadata": {"name": "executor-1", "namespace": "ns"}, "status": {"phase": "Running"}}
    first = reconcile(observed(pool(), executors=(executor,)), {})
    assert first.nudge == ()
    assert first.requeue_after_s is not None
    assert first.requeue_after_s <= 2
    second = reconcile(observed(pool(), executors=(executor,), children=stored(first)), {})
    (nudge,) = second.nudge
    told = {"metadata": {**executor["metadata"], "annotations": {nudge.key: nudge.value}}}
    third = reconcile(observed(pool(), executors=(told,), children=stored(first)), {})
    assert third.nudge == ()


def test_last_transition_moves_only_when_status_flips() -> None:
    body = pool()
    first = reconcile(observed(body, probes={"a": OK}), {})
    body["status"] = first.status
    later = replace(observed(body, probes={"a": OK}), now=datetime(2026, 1, 2, tzinfo=UTC))
    assert reconcile(later, {}).status == first.status
    failing = replace(later, probes={"a": Probe(Health.UNREACHABLE, message="gone")})
    times = {c["type"]: c["lastTransitionTime"] for c in (reconcile(failing, {}).status or {})["conditions"]}
    assert times["WorkersHealthy"].startswith("2026-01-02")
    assert times["Configured"].startswith("2026-01-01")


def test_latency_is_written_only_when_it_changes_much() -> None:
    body = pool()
    body["status"] = reconcile(observed(body, probes={"a": Probe(Health.OK, 300)}), {}).status
    for latency_ms, told in ((430, 300), (180, 300), (900, 900), (20, 20)):
        probe = Probe(Health.OK, latency_ms, recent=(latency_ms,) * 3)
        status = reconcile(observed(body, probes={"a": probe}), {}).status or {}
        assert status["workers"][0]["latencyMillis"] == told


def test_first_probes_of_a_restarted_operator_move_no_latency() -> None:
    body = pool()
    body["status"] = reconcile(observed(body, probes={"a": Probe(Health.OK, 20)}), {}).status
    probe = Probe(Health.OK, 900, recent=(900, 900))
    status = reconcile(observed(body, probes={"a": probe}), {}).status or {}
    assert status["workers"][0]["latencyMillis"] == 20


def test_spec_that_this_version_does_not_know_is_told() -> None:
    plan = reconcile(observed(pool({"name": "a", "model": "m"})), {})
    assert conditions(plan)["Ready"] == ("False", "InvalidSpec")
    assert plan.apply == ()
