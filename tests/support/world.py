"""A small world for the operator: the in-memory API server, the three reconcilers, and what else acts in a cluster.

Job controller, Deployment controller, kubelet, routers, executors and drivers are played deterministically; time is a number
that tests move. `visit` is one pass over one object, `settle` lets everybody act until nobody writes any more.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from kubefugu_operators import names
from kubefugu_operators.cluster.objects import Body, Ref, ref_of
from kubefugu_operators.conditions import timestamp
from kubefugu_operators.plan import Plan
from kubefugu_operators.routingpolicy import declared as declaring
from kubefugu_operators.routingpolicy import versions as versioning
from kubefugu_operators.routingpolicy.observed import Counts, LoadedPolicy, PolicyObserved, RouterView
from kubefugu_operators.routingpolicy.reconcile import Settings as PolicySettings
from kubefugu_operators.routingpolicy.reconcile import reconcile as reconcile_policy
from kubefugu_operators.runtime.carrier import Carrier
from kubefugu_operators.trainingrun.objects import PodDefaults
from kubefugu_operators.trainingrun.observed import Collected, RunView
from kubefugu_operators.trainingrun.reconcile import Settings as RunSettings
from kubefugu_operators.trainingrun.reconciler import TrainingRunReconciler
from kubefugu_operators.workerpool.observed import Health, Probe
from kubefugu_operators.workerpool.reconciler import WorkerPoolReconciler
from support.fakeapi import FakeApi

NAMESPACE = "ns"
KINDS = ("WorkerPool", "TrainingRun", "RoutingPolicy")
ROUTERS = ("router-0", "router-1")


class _Answers:
    """Stands for Observations: answers that the world computes when asked."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self._targets: dict[Ref, Mapping[str, Any]] = {}

    def watch(self, owner: Ref, targets: Mapping[str, Any]) -> None:
        self._targets[owner] = dict(targets)

    def answers(self, owner: Ref) -> Mapping[str, Any]:
        return {name: self._answer(owner, name) for name in self._targets.get(owner, {})}

    def unanswered(self, owner: Ref) -> bool:
        return False

    def forget(self, owner: Ref) -> None:
        self._targets.pop(owner, None)


@dataclass
class World:
    """See the module."""

    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    bad_versions: frozenset[str] = frozenset()
    """Versions half of whose requests fail."""
    refused_versions: frozenset[str] = frozenset()
    """Versions that routers do not load."""
    released: list[str] = field(default_factory=list)
    traffic: dict[str, Counts] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.api = FakeApi(clock=lambda: self.now)
        self.pools = WorkerPoolReconciler(
            api=self.api, probes=_Answers(lambda owner, name: Probe(Health.OK, 5.0)), clock=lambda: self.now
        )  # type: ignore[arg-type]
        self.runs = TrainingRunReconciler(
            api=self.api,
            views=_Answers(self._view),  # type: ignore[arg-type]
            collector=self,
            clock=lambda: self.now,
            settings=RunSettings(pods=PodDefaults(image="trainer:dev")),
        )
        self.carrier = Carrier(self.api, release=self._release)
        for name in ROUTERS:
            self.api.put(_pod(name, {names.POLICY: "main", names.COMPONENT: "router"}))
        self.loaded: dict[str, dict[str, LoadedPolicy]] = {name: {} for name in ROUTERS}
        self.serving: dict[str, int] = dict.fromkeys(ROUTERS, 0)

    # --- the operator -------------------------------------------------------------------------------------------------

    async def visit(self, ref: Ref) -> Plan | None:
        """One pass over one object, as Engine.reconcile does it."""
        body = await self.api.get(ref)
        if body is None:
            return None
        observed: Any
        if ref.kind == "RoutingPolicy":
            observed = await self._policy(body)
            decide: Any = lambda seen, refusals: reconcile_policy(seen, refusals, PolicySettings("/etc/kubefugu/policies"))  # noqa: E731
        else:
            reconciler = self.pools if ref.kind == "WorkerPool" else self.runs
            observed, decide = await reconciler.observe(body), reconciler.decide  # type: ignore[union-attr]
        plan: Plan = decide(observed, {})
        refusals = await self.carrier.carry_out(plan, observed.children)
        if refusals:
            plan = decide(observed, refusals)
        if plan.status is not None:
            await self.carrier.write_status(body, plan.status)
        return plan

    def keys(self) -> list[Ref]:
        """Every object of our kinds."""
        return [ref for ref in sorted(self.api.objects) if ref.kind in KINDS]

    async def settle(self, *, rounds: int = 400) -> None:
        """Everybody acts and time passes until a whole round changes nothing but the time."""
        quiet = 0
        for _ in range(rounds):
            before = len(self.api.writes)
            for key in self.keys():
                await self.visit(key)
            changed = self.play()
            self.now += timedelta(seconds=20)
            quiet = quiet + 1 if len(self.api.writes) == before and not changed else 0
            if quiet == 3:
                return
        raise AssertionError(f"not settled after {rounds} rounds: {self.api.writes[-10:]}")

    async def _policy(self, body: Body) -> PolicyObserved:
        maps = await self.api.list("ConfigMap", NAMESPACE, labels=names.selector(body))
        pods = await self.api.list("Pod", NAMESPACE, labels=f"{names.POLICY}={body['metadata']['name']}")
        return PolicyObserved(
            body=body,
            now=self.now,
            children={ref_of(found): found for found in maps},
            router_pods=tuple(pods),
            routers={name: RouterView(True, self.serving[name], dict(self.loaded[name])) for name in ROUTERS},
            counters={"executor-0": dict(self.traffic)},
        )

    # --- everybody else -----------------------------------------------------------------------------------------------

    def play(self) -> bool:
        """Controllers, kubelets, routers and traffic take one step; True where any object changed."""
        before = {ref: body["metadata"]["resourceVersion"] for ref, body in self.api.objects.items()}
        state = (dict(self.serving), {name: dict(loaded) for name, loaded in self.loaded.items()})
        self._deployments()
        self._jobs()
        self._routers()
        self._requests()
        after = {ref: body["metadata"]["resourceVersion"] for ref, body in self.api.objects.items()}
        return before != after or state != (self.serving, self.loaded)

    def _deployments(self) -> None:
        for ref, body in list(self.api.objects.items()):
            if ref.kind == "Deployment":
                replicas = body["spec"].get("replicas", 1)
                body["spec"].setdefault("replicas", 1)
                wanted = {
                    "observedGeneration": body["metadata"]["generation"], "updatedReplicas": replicas, "readyReplicas": replicas
                }  # fmt: skip
                if body.get("status") != wanted:
                    self.api.put({**body, "status": wanted})

    def _jobs(self) -> None:
        """A Job gets a pod, the pod runs, the driver trains, holds, and ends when released."""
        for ref, job in list(self.api.objects.items()):
            if ref.kind != "Job":
                continue
            pod_ref = Ref("Pod", NAMESPACE, f"{ref.name}-pod")
            pod = self.api.objects.get(pod_ref)
            finished = any(c["status"] == "True" for c in (job.get("status") or {}).get("conditions", ()))
            if job["spec"].get("suspend"):
                if pod is not None:
                    self.api.remove(pod_ref)
            elif pod is None and not finished:
                labels = job["spec"]["template"]["metadata"]["labels"]
                born = _pod(pod_ref.name, labels)
                born["metadata"]["ownerReferences"] = [
                    {"kind": "Job", "apiVersion": "batch/v1", "name": ref.name, "uid": job["metadata"]["uid"]}
                ]
                born["status"] = {"phase": "Pending"}
                self.api.put(born)
            elif pod is not None and pod["status"]["phase"] == "Pending":
                self.api.put({**pod, "status": {"phase": "Running", "podIP": "10.0.0.9"}})
            elif pod is not None and pod["metadata"]["uid"] in self.released and not finished:
                ended = {"name": "driver", "state": {"terminated": {"exitCode": 0, "message": self._report(job)}}}
                self.api.put({**pod, "status": {"phase": "Succeeded", "containerStatuses": [ended]}})
                self.api.put({**job, "status": {"conditions": [{"type": "Complete", "status": "True"}]}})

    def _routers(self) -> None:
        """Each router takes the mounted set over as a whole, or not at all."""
        stored = self.api.objects.get(Ref("ConfigMap", NAMESPACE, "main-policyset"))
        if stored is None or Ref("RoutingPolicy", NAMESPACE, "main") not in self.api.objects:
            return
        document = json.loads(stored["data"][declaring.SET_KEY])
        candidate = self.api.objects.get(Ref("ConfigMap", NAMESPACE, "main-candidate")) or {}
        files = {**(stored.get("binaryData") or {}), **(candidate.get("binaryData") or {})}
        for name in ROUTERS:
            if document["generation"] <= self.serving[name]:
                continue
            refused = [
                source["version"]
                for source in document["sources"]
                if source["version"] in self.refused_versions or declaring.artifact_key(source["version"]) not in files
            ]
            if refused:
                for version in refused:
                    self.loaded[name][version] = LoadedPolicy("refused", "ARTIFACT_REFUSED", "does not fit the backbone")
                continue
            states = {document["active"]: "active"}
            states.update(dict.fromkeys(document.get("shadow", ()), "shadow"))
            if "canary" in document:
                states[document["canary"]["version"]] = "canary"
            kept = {version: LoadedPolicy("resident") for version, told in self.loaded[name].items() if told.state != "refused"}
            self.loaded[name] = kept | {version: LoadedPolicy(state) for version, state in states.items()}
            self.serving[name] = document["generation"]

    def _requests(self) -> None:
        """Twenty requests for each version that decides something."""
        for version, told in self.loaded[ROUTERS[0]].items():
            if told.state in ("active", "canary"):
                failed = 10 if version in self.bad_versions else 0
                self.traffic[version] = self.traffic.get(version, Counts()) + Counts(requests=20, failures=failed)

    # --- drivers ------------------------------------------------------------------------------------------------------

    def _view(self, owner: Ref, name: str) -> RunView:
        return RunView(reachable=True, state="succeeded", step=3, total_steps=3, best_fitness=0.5)

    async def collect(self, address: str) -> Collected | None:
        """The artifact of the run whose pod runs; every run of a world has the address of one pod, so names tell them apart."""
        content = f"artifact of {address}".encode()
        return Collected(content, hashlib.sha256(content).hexdigest(), self._report({}))

    async def _release(self, address: str) -> None:
        for ref, pod in self.api.objects.items():
            if (
                ref.kind == "Pod"
                and (pod.get("status") or {}).get("phase") == "Running"
                and names.RUN in pod["metadata"]["labels"]
            ):
                self.released.append(pod["metadata"]["uid"])

    @staticmethod
    def _report(job: Body) -> str:
        return json.dumps(
            {"reason": "Trained", "score": 0.7, "baseline": 0.6, "gain": 0.1, "gain_low": 0.05, "gain_high": 0.15, "items": 100}
        )


def _pod(name: str, labels: dict[str, str]) -> Body:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": dict(labels)},
        "status": {"phase": "Running", "podIP": "10.0.0.1"},
    }


def published(policy: Body, version: str) -> Body:
    """A version as `kubefugu policy publish` would make it."""
    content = f"head of {version}".encode()
    return versioning.config_map(
        policy,
        version=version,
        sha256=hashlib.sha256(content).hexdigest(),
        artifact=base64.b64encode(content).decode(),
        source="somebody",
    )


def seconds(text: str) -> datetime:
    """The moment of a timestamp."""
    return datetime.fromisoformat(text)


__all__ = ["KINDS", "NAMESPACE", "ROUTERS", "World", "published", "timestamp"]
