"""The whole operator against a real API server: kopf's watches, server-side apply, status, restarts. Controllers are played."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import struct
import sys
import time
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.apiserver import ApiServer, assets
from support.manifests import routing_policy, training_run, worker_pool
from support.played import models_endpoint, one_conductor, one_executor, pod, set_status, two_routers
from support.ports import free_port

from kubefugu.trainer.v1 import trainer_pb2_grpc
from kubefugu_core.rpc import RpcServer
from kubefugu_operators.cluster.client import HttpApi
from kubefugu_operators.cluster.objects import Body, Ref
from kubefugu_operators.main import run
from kubefugu_operators.routingpolicy import versions as versioning
from kubefugu_operators.settings import OperatorSettings
from kubefugu_trainer.driver.report import Report
from kubefugu_trainer.driver.service import TrainerServicer
from kubefugu_trainer.driver.state import RunProgress

pytestmark = pytest.mark.timeout(300)
DRIVER_PORT, ROUTER_PORT, EXECUTOR_PORT, CONDUCTOR_PORT = (free_port() for _ in range(4))


def settings(server: ApiServer, namespace: str, **more: Any) -> OperatorSettings:
    return OperatorSettings(
        namespaces=namespace,
        kubeconfig=str(server.kubeconfig),
        http_host="127.0.0.1",
        http_port=0,
        resync_seconds=more.pop("resync_seconds", 300),
        probe_seconds=0.5,
        poll_seconds=0.5,
        driver_port=DRIVER_PORT,
        router_port=ROUTER_PORT,
        executor_port=EXECUTOR_PORT,
        conductor_port=CONDUCTOR_PORT,
        trainer_image="trainer:test",
        **more,
    )


@contextlib.asynccontextmanager
async def operating(server: ApiServer, namespace: str, **more: Any) -> AsyncIterator[None]:
    """A running operator, in a thread and loop of its own: at its end, kopf cancels every task of its loop."""
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    work = asyncio.create_task(asyncio.to_thread(loop.run_until_complete, run(settings(server, namespace, **more), stop)))
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        await asyncio.wait_for(work, 90)
        loop.close()


async def until(probe: Callable[[], Any], *, timeout_s: float = 90.0) -> Any:
    """Poll an async probe until it gives something."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = await probe()
        if found:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {timeout_s} s; last answer: {found!r}")


def has(api: HttpApi, ref: Ref, condition: str, status: str, reason: str) -> Callable[[], Any]:
    """A probe: the object's status where the condition is so."""

    async def probe() -> Any:
        body = await api.get(ref)
        told = ((body or {}).get("status") or {}).get("conditions", ())
        for entry in told:
            if entry["type"] == condition and (entry["status"], entry["reason"]) == (status, reason):
                return (body or {})["status"]
        return None

    return probe


@pytest_asyncio.fixture
async def worker_url() -> AsyncIterator[str]:
    """A worker's endpoint that wants a key."""
    async with models_endpoint("sk-right") as url:
        yield url


def in_namespace(body: Body, namespace: str, **spec: Any) -> Body:
    body["metadata"]["namespace"] = namespace
    body["spec"] |= spec
    return body


def secret(namespace: str, value: str) -> Body:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "openai", "namespace": namespace},
        "data": {"key": base64.b64encode(value.encode()).decode()},
    }


async def test_pool_lives_in_a_real_api_server(server: ApiServer, api: HttpApi, namespace: str, worker_url: str) -> None:
    """Config, keys, probes, drift, rotation; and a second pass sends no write at all."""
    ref = Ref("WorkerPool", namespace, "pool")
    auth = {"secretKeyRef": {"name": "openai", "key": "key"}}
    workers = [
        {"name": "a", "model": "m", "url": worker_url, "auth": auth},
        {"name": "m", "model": "x", "managed": {"image": "image:1", "memory": "1024Mi", "cpu": "0.5", "gpus": 1}},
    ]
    executor = pod(namespace, "executor-0", {"kubefugu.dev/pool": "pool", "app.kubernetes.io/component": "executor"})
    await api.create(executor)
    async with operating(server, namespace, resync_seconds=1.0):
        await api.create(in_namespace(worker_pool(), namespace, workers=workers))
        await until(has(api, ref, "KeysResolved", "False", "SecretNotFound"))
        await api.create(secret(namespace, "sk-wrong"))
        await until(has(api, ref, "WorkersHealthy", "False", "KeyRefused"))
        await api.request(
            "PATCH",
            f"/api/v1/namespaces/{namespace}/secrets/openai",
            body={"data": secret(namespace, "sk-right\n")["data"]},
            content_type="application/merge-patch+json",
        )
        status = await until(has(api, ref, "Ready", "True", "SomeWorkersUnhealthy"))
        assert status["readyWorkers"] == "1/2"

        async def nudged() -> Any:
            found = await api.get(Ref("Pod", namespace, "executor-0"))
            return (found or {})["metadata"].get("annotations", {}).get("kubefugu.dev/pool-hash")

        await until(nudged)
        await quiet(server, namespace)
        config = Ref("ConfigMap", namespace, "pool-pool")
        await api.delete(config)
        await until(lambda: api.get(config))
        await api.request(
            "PATCH",
            f"/apis/apps/v1/namespaces/{namespace}/deployments/pool-m",
            body={"spec": {"template": {"spec": {"containers": [{"name": "worker", "image": "edited:by-hand"}]}}}},
            content_type="application/strategic-merge-patch+json",
        )

        async def mended() -> Any:
            found = await api.get(Ref("Deployment", namespace, "pool-m"))
            return (found or {})["spec"]["template"]["spec"]["containers"][0]["image"] == "image:1"

        await until(mended)
        await quiet(server, namespace)
        found = await api.get(ref)
        assert found is not None
        assert not found["metadata"].get("finalizers")
        assert not [key for key in found["metadata"].get("annotations", {}) if "kopf" in key]


async def quiet(server: ApiServer, namespace: str) -> None:
    """Waits until the operator's writes stop, then sees three resyncs of a second pass without one."""

    def count() -> int:
        found = server.writes()
        return sum(1 for event in found if f"/namespaces/{namespace}/" in event["requestURI"])

    deadline = time.monotonic() + 90
    before, since = count(), time.monotonic()
    while time.monotonic() - since < 3.5:
        await asyncio.sleep(0.1)
        if count() != before:
            before, since = count(), time.monotonic()
        assert time.monotonic() < deadline, "the operator keeps writing"


async def play_job(api: HttpApi, namespace: str, run_name: str) -> Body:
    """The Job controller and kubelet: the Job's pod runs on this machine."""
    ref = Ref("Job", namespace, f"{run_name}-driver")
    job = await until(lambda: api.get(ref))
    template = job["spec"]["template"]
    body = pod(namespace, f"{ref.name}-x1", template["metadata"]["labels"], spec=template["spec"])
    await api.create(body)
    await set_status(api, "Pod", namespace, f"{ref.name}-x1", {"phase": "Running", "podIP": "127.0.0.1"})
    return dict(job)


def test_report_is_one_thing() -> None:
    """What the driver writes is what the operator reads."""
    from kubefugu_operators.trainingrun.report import parse

    told = parse(Report(reason="Trained", message="x", gain=0.1, gain_low=0.05, gain_high=0.2, items=7).to_json())
    assert told is not None
    assert (told.gain, told.gain_low, told.gain_high, told.items) == (0.1, 0.05, 0.2, 7)


async def test_run_from_manifest_to_every_router(server: ApiServer, api: HttpApi, namespace: str, tmp_path: Path) -> None:
    """Snapshot, Job, progress, collection, release, version, policy set, routers; the operator dies twice on the way."""
    artifact = tmp_path / "artifact.safetensors"
    artifact.write_bytes(b"a trained head")
    sha256 = hashlib.sha256(artifact.read_bytes()).hexdigest()
    progress = RunProgress(run_id="r", algorithm="supervised")
    servicer = TrainerServicer(progress)
    driver = RpcServer(f"127.0.0.1:{DRIVER_PORT}", services=[])
    trainer_pb2_grpc.add_TrainerServiceServicer_to_server(servicer, driver.grpc)
    await driver.start()
    run_ref, policy_ref = Ref("TrainingRun", namespace, "run"), Ref("RoutingPolicy", namespace, "main")
    report = Report(
        reason="Trained", artifact_uri=artifact.as_uri(), artifact_sha256=sha256, score=0.7, baseline=0.6, gain=0.1,
        gain_low=0.05, gain_high=0.15, items=90,
    )  # fmt: skip
    async with two_routers(api, namespace, ROUTER_PORT):
        async with operating(server, namespace):
            await api.create(in_namespace(training_run(), namespace))
            await until(has(api, run_ref, "Succeeded", "Unknown", "PoolNotFound"))
            await api.create(in_namespace(worker_pool(), namespace))
            await play_job(api, namespace, "run")
            progress.stage("folds", total=5, done=0)
            progress.advance(2)
            progress.update(state=2)

            async def two_of_five() -> Any:
                return ((await api.get(run_ref)) or {})["status"].get("progressText") == "2/5"

            await until(two_of_five)
        servicer.finish(artifact, report)
        async with operating(server, namespace):
            await asyncio.wait_for(servicer.released.wait(), 30)
        ended = {"name": "driver", "image": "i", "imageID": "", "ready": False, "restartCount": 0}
        ended |= {"state": {"terminated": {"exitCode": 0, "message": report.to_json()}}}
        done = {"phase": "Succeeded", "containerStatuses": [ended]}
        await set_status(api, "Pod", namespace, "run-driver-x1", done)
        times = {"startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:01Z"}
        now = "2026-01-01T00:00:01Z"
        conditions = [
            {"type": kind, "status": "True", "lastTransitionTime": now, "lastProbeTime": now}
            for kind in ("SuccessCriteriaMet", "Complete")
        ]
        await set_status(
            api,
            "Job",
            namespace,
            "run-driver",
            {**times, "succeeded": 1, "conditions": conditions, "uncountedTerminatedPods": {}},
        )
        async with operating(server, namespace, resync_seconds=1.0):
            status = await until(has(api, run_ref, "Succeeded", "True", "PublishedVersion"))
            version = status["artifact"]["version"]
            told = await until(has(api, policy_ref, "Ready", "True", "Serving"))
            assert (told["active"], told["routers"]) == (version, "2/2")
            second = await published(api, namespace, "second")
            told = await until(has(api, policy_ref, "Progressing", "True", "CanaryStep"))
            assert told["rollout"] | {"stepStarted": ""} == {"candidate": second, "step": 1, "percent": 10, "stepStarted": ""}
            await quiet(server, namespace)
    await driver.stop(0)


async def published(api: HttpApi, namespace: str, name: str) -> str:
    """A version from elsewhere."""
    policy = await api.get(Ref("RoutingPolicy", namespace, "main"))
    assert policy is not None
    content = b"another head"
    body = versioning.config_map(
        policy, version=name, sha256=hashlib.sha256(content).hexdigest(), artifact=base64.b64encode(content).decode()
    )
    await api.create(body)
    return name


async def test_a_line_of_conductors_goes_through_canary(
    server: ApiServer, api: HttpApi, namespace: str, tmp_path: Path
) -> None:
    """Conductors follow a policy as routers do; the executor's counts of their versions end a canary step."""
    ref, counts = Ref("RoutingPolicy", namespace, "planners"), {"c1": 0, "c2": 0}
    rollout = {"steps": [{"percent": 50, "pauseSeconds": 0}], "abort": {"minimumRequests": 5}}
    head = {"apiVersion": "kubefugu.dev/v1alpha1", "kind": "RoutingPolicy"}
    body: Body = {**head, "metadata": {"name": "planners", "namespace": namespace}, "spec": {"rollout": rollout}}

    async def publish(version: str) -> None:
        header = json.dumps({"__metadata__": {"format": "kubefugu-conductor/1", "version": version}}).encode()
        file = tmp_path / f"{version}.safetensors"
        file.write_bytes(struct.pack("<Q", len(header)) + header)
        command = ["policy", "publish", str(file), "--policy=planners", f"--version={version}", f"--namespace={namespace}"]
        done = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kubefugu_cli", *command, f"--kubeconfig={server.kubeconfig}",
            env={**os.environ, "PATH": f"{assets()}:{os.environ['PATH']}"}, stdout=PIPE, stderr=STDOUT,
        )  # fmt: skip
        said, _ = await asyncio.wait_for(done.communicate(), 60)
        assert done.returncode == 0, said.decode()
        assert f"Published {version}" in said.decode()

    async def status() -> Any:
        return (await api.get(ref) or {}).get("status") or {}

    async with (
        one_conductor(api, namespace, CONDUCTOR_PORT, "planners"),
        one_executor(api, namespace, EXECUTOR_PORT, counts),
        operating(server, namespace),
    ):
        await api.create(body)
        await publish("c1")
        served = await until(has(api, ref, "Ready", "True", "Serving"))
        assert (served["active"], served["routers"]) == ("c1", "1/1")
        await asyncio.sleep(1.1)  # creation times have whole seconds, and the newer version is the candidate
        await publish("c2")
        await until(has(api, ref, "Progressing", "True", "WaitingForRequests"))
        assert (await status())["canary"] == "c2 50%"
        counts["c2"] = 5

        async def promoted() -> Any:
            now = await status()
            return now if now.get("active") == "c2" else None

        assert (await until(promoted))["previous"] == "c1"


async def test_restart_of_the_api_server(server: ApiServer, api: HttpApi, namespace: str) -> None:
    """After SIGKILL and start of the API server, the next object is acted upon."""
    async with operating(server, namespace):
        await api.create(in_namespace(routing_policy(), namespace))
        await until(has(api, Ref("RoutingPolicy", namespace, "policy"), "Ready", "False", "NoVersion"))
        server.kill()
        await asyncio.sleep(0.5)
        await asyncio.to_thread(server.start)
        later = routing_policy()
        later["metadata"]["name"] = "later"

        async def created() -> bool:
            with contextlib.suppress(Exception):
                await api.create(in_namespace(later, namespace))
            return await api.get(Ref("RoutingPolicy", namespace, "later")) is not None

        await until(created)
        await until(has(api, Ref("RoutingPolicy", namespace, "later"), "Ready", "False", "NoVersion"))
