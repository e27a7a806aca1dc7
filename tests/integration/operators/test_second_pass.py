"""A second pass writes nothing, counted in the API server's audit log: not the operator that goes on, not one that begins anew.

The operator is a process of its own with a user of its own, so that every write of it counts, kopf's included, whatever is
written: objects, status, annotations, events, leases.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.apiserver import ApiServer
from support.manifests import edited, routing_policy, training_run, worker_pool
from support.operator_process import OperatorProcess, operator_process
from support.played import models_endpoint, one_executor, pod, set_status, two_routers
from support.ports import free_port

from kubefugu.trainer.v1 import trainer_pb2, trainer_pb2_grpc
from kubefugu_core.rpc import RpcServer
from kubefugu_operators.cluster.client import HttpApi
from kubefugu_operators.cluster.objects import Body, Ref
from kubefugu_operators.routingpolicy import versions as versioning
from kubefugu_trainer.driver.service import TrainerServicer
from kubefugu_trainer.driver.state import RunProgress

pytestmark = pytest.mark.timeout(300)
ROUTER_PORT, EXECUTOR_PORT, DRIVER_PORT = free_port(), free_port(), free_port()
OBJECTS = {"WorkerPool": 2, "RoutingPolicy": 2, "TrainingRun": 5}
"""How many of each kind the scene has."""
# Probes seldom: the latency of a loaded machine does change, and a status rightly tells it after three of them.
FLAGS = (
    *("--resync-seconds", "1", "--probe-seconds", "60", "--poll-seconds", "0.5", "--log-level", "warning"),
    *("--router-port", str(ROUTER_PORT), "--executor-port", str(EXECUTOR_PORT), "--driver-port", str(DRIVER_PORT)),
)
EVOLUTION = {"sepCmaEs": {"iterations": 5}}
IMAGE_FAILS = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}


@contextlib.asynccontextmanager
async def driver() -> AsyncIterator[None]:
    """A training driver in the middle of its run."""
    progress = RunProgress(run_id="r", algorithm="sepCmaEs")
    progress.stage("search", total=5, done=0)
    progress.advance(2)
    progress.update(state=trainer_pb2.RUN_STATE_RUNNING, best_fitness=0.75, sigma=0.03)
    rpc = RpcServer(f"127.0.0.1:{DRIVER_PORT}", services=[])
    trainer_pb2_grpc.add_TrainerServiceServicer_to_server(TrainerServicer(progress), rpc.grpc)
    await rpc.start()
    try:
        yield
    finally:
        await rpc.stop(0)


def called(body: Body, namespace: str, name: str, **spec: Any) -> Body:
    """The manifest under a name, with further fields of spec."""
    return {**body, "metadata": {"name": name, "namespace": namespace}, "spec": {**body["spec"], **spec}}


def pools(namespace: str, url: str) -> list[Body]:
    """A pool with a worker of every sort and with whatever defaults may touch; one whose Secret is missing."""
    key = {"secretKeyRef": {"name": "openai", "key": "key"}}
    managed = {
        "image": "image:1", "memory": "1024Mi", "cpu": "0.5", "gpus": 1, "args": ["--a"], "nodeSelector": {"gpu": "yes"},
        "env": [{"name": "A", "value": "1"}], "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
    }  # fmt: skip
    workers: list[Body] = [
        {"name": "keyed", "model": "m", "url": url, "auth": key, "capabilities": ["vision", "tools", "jsonMode"]},
        {"name": "refused", "model": "m", "url": f"http://127.0.0.1:{free_port()}/v1", "roles": ["verifier", "solver"]},
        {
            "name": "nameless",
            "model": "m",
            "url": "http://no-such-host.invalid/v1",
            "prices": {"inputPerMillionTokens": "1.50"},
        },
        {"name": "managed", "model": "m", "managed": managed},
    ]
    missing = [{"name": "a", "model": "m", "url": url, "auth": {"secretKeyRef": {"name": "none", "key": "k"}}}]
    return [
        called(worker_pool(), namespace, "pool", workers=workers, policyRef={"name": "main"}, routing={"maxCostUsd": "0.10"}),
        called(worker_pool(), namespace, "keyless", workers=missing),
    ]


def runs(namespace: str) -> list[Body]:
    """A run in each of several stages."""
    evolution = edited(training_run(), "spec.algorithm", EVOLUTION)
    pods = {"resources": {"memory": "2048Mi", "cpu": "1.5"}, "env": [{"name": "B", "value": "2"}]}
    return [
        called(evolution, namespace, "going", evaluators={"replicas": 2, **pods}, driver=pods, storage={"size": "1024Mi"}),
        called(training_run(), namespace, "imageless"),
        called(training_run(), namespace, "paused", suspend=True),
        called(training_run(), namespace, "poolless", poolRef={"name": "none"}),
        called(training_run(), namespace, "failed"),
    ]


async def published(api: HttpApi, namespace: str, name: str) -> None:
    """A version of the policy `main`."""
    policy = await api.get(Ref("RoutingPolicy", namespace, "main"))
    content, sha256 = base64.b64encode(name.encode()).decode(), hashlib.sha256(name.encode()).hexdigest()
    await api.create(versioning.config_map(policy or {}, version=name, sha256=sha256, artifact=content))


async def play_drivers(api: HttpApi, namespace: str) -> None:
    """Job controller and kubelet: one driver runs, one has no image, one has failed."""
    for name, status in (
        ("going", {"phase": "Running", "podIP": "127.0.0.1"}),
        ("imageless", {"phase": "Pending", "containerStatuses": [_container(IMAGE_FAILS)]}),
    ):
        job = await until(lambda name=name: api.get(Ref("Job", namespace, f"{name}-driver")))
        template = job["spec"]["template"]
        await api.create(pod(namespace, f"{name}-driver-x", template["metadata"]["labels"], spec=template["spec"]))
        await set_status(api, "Pod", namespace, f"{name}-driver-x", status)
    await until(lambda: api.get(Ref("Job", namespace, "failed-driver")))
    now = "2026-01-01T00:00:00Z"
    conditions = [
        {"type": kind, "status": "True", "reason": "BackoffLimitExceeded", "message": "too often", "lastTransitionTime": now}
        for kind in ("FailureTarget", "Failed")
    ]
    await set_status(api, "Job", namespace, "failed-driver", {"startTime": now, "failed": 4, "conditions": conditions})


def _container(state: Body) -> Body:
    return {"name": "driver", "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": state}


async def until(probe: Callable[[], Any], *, timeout_s: float = 60.0) -> Any:
    """Poll an async probe until it gives something."""
    async with asyncio.timeout(timeout_s):
        while not (found := await probe()):
            await asyncio.sleep(0.1)
    return found


async def reason(api: HttpApi, kind: str, namespace: str, name: str, condition: str) -> str:
    """The reason of an object's condition."""
    body = await api.get(Ref(kind, namespace, name)) or {}
    told = (body.get("status") or {}).get("conditions", ())
    return next((entry["reason"] for entry in told if entry["type"] == condition), "")


async def settled(api: HttpApi, server: ApiServer, namespace: str) -> None:
    """Every object of the scene is told as it is, and the operator has written nothing for three resyncs."""
    wanted = {
        ("WorkerPool", "pool", "WorkersHealthy"): "WorkerUnreachable",
        ("WorkerPool", "keyless", "KeysResolved"): "SecretNotFound",
        ("RoutingPolicy", "main", "Progressing"): "CanaryStep",
        ("RoutingPolicy", "empty", "Ready"): "NoVersion",
        ("TrainingRun", "going", "EvaluatorsReady"): "EvaluatorsPending",
        ("TrainingRun", "imageless", "Succeeded"): "ImagePullFailed",
        ("TrainingRun", "paused", "Succeeded"): "SuspendedByUser",
        ("TrainingRun", "poolless", "Succeeded"): "PoolNotFound",
        ("TrainingRun", "failed", "Succeeded"): "BackoffLimitExceeded",
    }
    for (kind, name, condition), word in wanted.items():
        found = ""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(60):
                while (found := await reason(api, kind, namespace, name, condition)) != word:
                    await asyncio.sleep(0.1)
        assert found == word, f"{kind} {name}: {condition} says {found}, not {word}"
    count, since, deadline = len(server.writes()), time.monotonic(), time.monotonic() + 120
    while time.monotonic() - since < 3.5:
        await asyncio.sleep(0.2)
        if len(server.writes()) != count:
            count, since = len(server.writes()), time.monotonic()
        assert time.monotonic() < deadline, f"the operator keeps writing: {told(server, count - 5)}"


def told(server: ApiServer, since: int) -> list[str]:
    """Writes from a number on, as a person reads them."""
    return [f"{event['verb']} {event['requestURI']}" for event in server.writes()[since:]]


async def two_passes(operator: OperatorProcess) -> None:
    """Wait until the operator has looked at every object at least twice from now on, and nothing waits."""
    begun = await asyncio.to_thread(operator.passes)

    async def done() -> bool:
        now = await asyncio.to_thread(operator.passes)
        seen = all(now.get(kind, 0) - begun.get(kind, 0) >= 2 * count for kind, count in OBJECTS.items())
        return seen and not await asyncio.to_thread(operator.queue_depth)

    await until(done)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    """The operators' log, shown where the test fails."""
    path = tmp_path / "operator.log"
    yield path
    print(path.read_text()[-3000:] if path.is_file() else "no log")


async def test_second_pass_writes_nothing(server: ApiServer, api: HttpApi, namespace: str, log: Path) -> None:
    """First pass: writes. Second pass, restart by SIGKILL, restart by SIGTERM: none."""
    counts = {"one": 40, "two": 7}
    begun = len(server.writes())
    async with (
        models_endpoint() as url,
        driver(),
        two_routers(api, namespace, ROUTER_PORT),
        one_executor(api, namespace, EXECUTOR_PORT, counts),
    ):
        await scene(api, namespace, url)
        with operator_process(server, namespace, *FLAGS, log=log) as operator:
            await play_drivers(api, namespace)
            for version in ("one", "two"):
                await published(api, namespace, version)
                await until(lambda v=version: is_known(api, namespace, v))
            counts["two"] = 12
            await settled(api, server, namespace)
            first = len(server.writes())
            assert first - begun > 20, "the first pass must show in the audit log"
            await two_passes(operator)
            assert told(server, first) == [], "a second pass of the same operator"
            await asyncio.to_thread(operator.end, signal.SIGKILL)
        for _ in range(2):
            with operator_process(server, namespace, *FLAGS, log=log) as operator:
                await two_passes(operator)
                await two_passes(operator)
                assert told(server, first) == [], "an operator that begins anew"
                await asyncio.to_thread(operator.end)
                assert told(server, first) == [], "the end of an operator"


async def scene(api: HttpApi, namespace: str, url: str) -> None:
    """What users apply."""
    meta = {"name": "openai", "namespace": namespace}
    secret = {"key": base64.b64encode(b"sk").decode()}
    await api.create({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": secret})
    rollout = {"shadowSeconds": 0, "steps": [{"percent": 10, "pauseSeconds": 3600}]}
    for name in ("main", "empty"):
        await api.create(called(routing_policy(), namespace, name, rollout=rollout))
    for body in (*pools(namespace, url), *runs(namespace)):
        await api.create(body)


async def is_known(api: HttpApi, namespace: str, version: str) -> bool:
    """True where the policy `main` serves the version or gives it a share."""
    status = ((await api.get(Ref("RoutingPolicy", namespace, "main"))) or {}).get("status") or {}
    rollout = status.get("rollout") or {}
    return bool(status.get("active") == version or (rollout.get("candidate") == version and rollout.get("percent")))
