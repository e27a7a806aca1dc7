"""The operator dies after its n-th write, for every n from apply to a served head, on a real API server: always the same end.

Reconciliation, client and server-side apply are the real ones; what answers over the network (workers, routers, the driver) is
played, and so are kubelet and the Job controller.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from support.apiserver import ApiServer
from support.manifests import training_run, worker_pool
from support.played import pod, set_status

from kubefugu_operators import names
from kubefugu_operators.cluster.client import HttpApi
from kubefugu_operators.cluster.objects import Body, Ref
from kubefugu_operators.routingpolicy.observed import LoadedPolicy, RouterView
from kubefugu_operators.routingpolicy.reconcile import Settings as PolicySettings
from kubefugu_operators.routingpolicy.reconciler import RoutingPolicyReconciler
from kubefugu_operators.runtime.engine import Engine
from kubefugu_operators.runtime.metrics import Metrics
from kubefugu_operators.runtime.queue import WorkQueue
from kubefugu_operators.trainingrun.objects import PodDefaults
from kubefugu_operators.trainingrun.observed import Collected, RunView
from kubefugu_operators.trainingrun.reconcile import Settings as RunSettings
from kubefugu_operators.trainingrun.reconciler import TrainingRunReconciler
from kubefugu_operators.workerpool.observed import Health, Probe
from kubefugu_operators.workerpool.reconciler import WorkerPoolReconciler

pytestmark = pytest.mark.timeout(300)
HEAD = b"a trained head"
SHA256 = hashlib.sha256(HEAD).hexdigest()
REPORT = {"reason": "Trained", "artifact_uri": "file:///x", "artifact_sha256": SHA256, "gain": 0.2, "gain_low": 0.1, "items": 9}
KINDS = ("ConfigMap", "Secret", "Service", "Deployment", "Job", "PersistentVolumeClaim")


class DeathError(Exception):
    """The operator dies here. Not an ApiError: nothing may catch it."""


class MortalApi(HttpApi):
    """Dies before a write once `left` writes are done."""

    left: int | None = None
    done = 0

    async def request(self, method: str, path: str, *, body: Any = None, content_type: str = "application/json") -> Any:
        """See HttpApi."""
        if method != "GET":
            if self.left is not None and self.done >= self.left:
                raise DeathError(f"{method} {path}")
            self.done += 1
        return await super().request(method, path, body=body, content_type=content_type)


class Told:
    """Stands for Observations: every target gives the same answer."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self._targets: dict[Ref, Mapping[str, Any]] = {}

    def watch(self, owner: Ref, targets: Mapping[str, Any]) -> None:
        self._targets[owner] = targets

    def answers(self, owner: Ref) -> dict[str, Any]:
        return dict.fromkeys(self._targets.get(owner, ()), self.answer)

    def unanswered(self, owner: Ref) -> bool:
        return False

    def forget(self, owner: Ref) -> None:
        self._targets.pop(owner, None)


class Driver:
    """Has trained and hands out the head."""

    async def collect(self, address: str) -> Collected | None:
        return Collected(content=HEAD, sha256=SHA256, report=json.dumps(REPORT))


async def nobody(address: str) -> None:
    """Releases of drivers go nowhere."""


class Scene:
    """One namespace: what users applied, and an operator process that may die."""

    def __init__(self, server: ApiServer, namespace: str) -> None:
        self.namespace = namespace
        self._server = server
        self.api = MortalApi(server.configuration())
        self._router = Told(RouterView(reachable=True))
        self._engine = self._made()

    def _made(self) -> Engine:
        router: Any = self._router
        told: Any = Told
        reconcilers: dict[str, Any] = {
            "WorkerPool": WorkerPoolReconciler(api=self.api, probes=told(Probe(Health.OK, 5.0)), clock=_now),
            "TrainingRun": TrainingRunReconciler(
                api=self.api, views=told(RunView(reachable=True, state="succeeded")), collector=Driver(), clock=_now,
                settings=RunSettings(pods=PodDefaults(image="trainer:dev")),
            ),
            "RoutingPolicy": RoutingPolicyReconciler(
                api=self.api, routers=router, executors=told(None), clock=_now, settings=PolicySettings("/policies")
            ),
        }  # fmt: skip
        queue = WorkQueue(clock=lambda: 0.0)
        return Engine(api=self.api, queue=queue, reconcilers=reconcilers, metrics=Metrics(), release=nobody)

    async def begin(self) -> None:
        """What users apply, and a router pod that follows the policy."""
        secret = {"name": "openai", "namespace": self.namespace}
        await self.api.create({"apiVersion": "v1", "kind": "Secret", "metadata": secret, "data": {"key": "c2s="}})
        auth = {"secretKeyRef": {"name": "openai", "key": "key"}}
        workers = [
            {"name": "a", "model": "m", "url": "http://a/v1", "auth": auth},
            {"name": "b", "model": "m", "managed": {"image": "i", "memory": "1024Mi"}},
        ]
        for body, spec in ((worker_pool(), {"workers": workers}), (training_run(), {"storage": {"size": "1024Mi"}})):
            body["metadata"]["namespace"] = self.namespace
            body["spec"] |= spec
            await self.api.create(body)
        await self.api.create(pod(self.namespace, "router-0", {names.POLICY: "main", names.COMPONENT: "router"}))
        await set_status(self.api, "Pod", self.namespace, "router-0", {"phase": "Running", "podIP": "10.0.0.1"})
        self.api.done = 0

    async def run(self, *, dies_after: int | None) -> bool:
        """Passes over everything until nothing moves; True where the operator died once on the way."""
        self.api.left, died = dies_after, False
        for _ in range(30):
            before, dead = self.api.done, died
            for kind, name in (("TrainingRun", "run"), ("WorkerPool", "pool"), ("RoutingPolicy", "main")):
                try:
                    await self._engine.reconcile(Ref(kind, self.namespace, name))
                except DeathError:
                    died, self.api.left = True, None
                    self._engine = self._made()
            if not await self._play() and self.api.done == before and dead == died:
                return died
        raise AssertionError("it never comes to rest")

    async def _play(self) -> bool:
        """Job controller and kubelet: the driver's pod runs, and ends when its artifact is stored. True where they acted."""
        ours, self.api.left = self.api.left, None
        done = self.api.done
        try:
            return await self._job_goes_on() or await self._router_reads()
        finally:
            self.api.left, self.api.done = ours, done

    async def _router_reads(self) -> bool:
        stored = await self.api.get(Ref("ConfigMap", self.namespace, "main-policyset"))
        if stored is None:
            return False
        document = json.loads(stored["data"]["policy-set.json"])
        policies = {document["active"]: LoadedPolicy("active")}
        before = self._router.answer
        self._router.answer = RouterView(reachable=True, serving_generation=document["generation"], policies=policies)
        return bool(self._router.answer != before)

    async def _job_goes_on(self) -> bool:
        job = await self.api.get(Ref("Job", self.namespace, "run-driver"))
        driver = await self.api.get(Ref("Pod", self.namespace, "run-driver-x"))
        if job is None:
            return False
        if driver is None:
            template = job["spec"]["template"]
            await self.api.create(pod(self.namespace, "run-driver-x", template["metadata"]["labels"], spec=template["spec"]))
            await set_status(self.api, "Pod", self.namespace, "run-driver-x", {"phase": "Running", "podIP": "10.0.0.2"})
            return True
        stored = await self.api.get(Ref("ConfigMap", self.namespace, "run-artifact"))
        if stored is None or driver["status"]["phase"] != "Running":
            return False
        await set_status(self.api, "Pod", self.namespace, "run-driver-x", {"phase": "Succeeded"})
        now = "2026-01-01T00:00:00Z"
        conditions = [
            {"type": kind, "status": "True", "lastTransitionTime": now, "lastProbeTime": now}
            for kind in ("SuccessCriteriaMet", "Complete")
        ]
        status = {"startTime": now, "completionTime": now, "succeeded": 1, "conditions": conditions}
        await set_status(self.api, "Job", self.namespace, "run-driver", {**status, "uncountedTerminatedPods": {}})
        return True

    async def picture(self) -> dict[str, Any]:
        """Everything that must be equal, without identities and times."""
        result: dict[str, Any] = {}
        for kind in KINDS:
            for body in await self.api.list(kind, self.namespace, labels=names.OURS):
                result[f"{kind} {body['metadata']['name']}"] = sorted(
                    body.get("data") or body.get("binaryData") or body["spec"]
                )
        declared = await self.api.get(Ref("ConfigMap", self.namespace, "main-policyset")) or {}
        result["declared"] = json.loads(declared["data"]["policy-set.json"])
        for kind, name in (("TrainingRun", "run"), ("WorkerPool", "pool"), ("RoutingPolicy", "main")):
            status = (await self.api.get(Ref(kind, self.namespace, name)) or {})["status"]
            result[f"{kind} {name}"] = {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}
            result[f"attempt of {name}"] = status.get("attempt")
        return result


def _now() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


async def test_death_between_any_two_writes(server: ApiServer, api: HttpApi) -> None:
    """From apply to an active version: one death at each write, the same objects and conditions at the end."""
    wanted: Body | None = None
    for dies_after in itertools.chain([None], itertools.count()):
        namespace = f"crash-{'never' if dies_after is None else dies_after}"
        await api.request("POST", "/api/v1/namespaces", body={"metadata": {"name": namespace}})
        scene = Scene(server, namespace)
        try:
            await scene.begin()
            died = await scene.run(dies_after=dies_after)
            picture = await scene.picture()
        finally:
            await scene.api.close()
        if wanted is None:
            wanted = picture
            assert picture["RoutingPolicy main"]["Ready"] == ("True", "Serving")
            assert picture["TrainingRun run"]["Succeeded"] == ("True", "PublishedVersion")
            assert picture["WorkerPool pool"]["WorkersHealthy"][0] == "True"
            continue
        assert json.dumps(picture, sort_keys=True).replace(namespace, "") == json.dumps(wanted, sort_keys=True).replace(
            "crash-never", ""
        ), f"the operator died after write {dies_after}"
        if not died:
            assert dies_after is not None
            assert dies_after > 12, "there are more writes than that from apply to a served head"
            return
