"""Reads what a policy's reconciliation needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from kubefugu_operators import names
from kubefugu_operators.cluster.objects import Api, Body, Ref, ref_of
from kubefugu_operators.conditions import is_told
from kubefugu_operators.plan import Plan, Refusals
from kubefugu_operators.routingpolicy.observed import PolicyObserved, RouterView
from kubefugu_operators.routingpolicy.peers import ExecutorView, PeerTarget
from kubefugu_operators.routingpolicy.reconcile import Settings, reconcile
from kubefugu_operators.runtime.observations import Observations

Routers = Observations[PeerTarget, RouterView]
Executors = Observations[PeerTarget, ExecutorView]


class RoutingPolicyReconciler:
    """The adapter around the pure reconciliation."""

    def __init__(
        self,
        *,
        api: Api,
        routers: Routers,
        executors: Executors,
        clock: Callable[[], datetime],
        settings: Settings,
        router_port: int = 50051,
        executor_port: int = 50052,
        conductor_port: int = 50053,
    ) -> None:
        self._api = api
        self._routers = routers
        self._executors = executors
        self._clock = clock
        self._settings = settings
        self._ports = {"router": router_port, "executor": executor_port, "conductor": conductor_port}

    async def observe(self, body: Body) -> PolicyObserved:
        """Versions and sets, pods that follow them (routers, or Conductors) and their answers, executors' counters."""
        ref = ref_of(body)
        maps = await self._api.list("ConfigMap", ref.namespace, labels=names.selector(body))
        pods = await self._api.list("Pod", ref.namespace, labels=f"{names.POLICY}={ref.name}")
        routers = [pod for pod in pods if _component(pod) in ("router", "conductor")]
        executors = [pod for pod in pods if _component(pod) == "executor"]
        if any(_component(pod) == "conductor" for pod in routers):
            label = f"{names.CONDUCTOR_POLICY}={ref.name},{names.COMPONENT}=executor"
            executors += await self._api.list("Pod", ref.namespace, labels=label)
        self._routers.watch(ref, self._targets(routers))
        self._executors.watch(ref, self._targets(executors))
        alive = {pod["metadata"]["name"] for pod in routers if not pod["metadata"].get("deletionTimestamp")}
        counted = self._executors.answers(ref)
        return PolicyObserved(
            body=body,
            now=self._clock(),
            children={ref_of(found): found for found in maps},
            router_pods=tuple(routers),
            routers={pod: view for pod, view in self._routers.answers(ref).items() if pod in alive},
            unanswered=self._routers.unanswered(ref) or self._executors.unanswered(ref),
            counters={pod: view.counts for pod, view in counted.items() if view.counts is not None},
        )

    def decide(self, observed: PolicyObserved, refusals: Refusals) -> Plan:
        """Pure. After a restart, what the status says stands until the first routers and executors have answered."""
        if observed.unanswered and is_told(observed.body):
            return Plan()
        return reconcile(observed, refusals, self._settings)

    def forget(self, ref: Ref) -> None:
        """Stop asking its routers and executors."""
        self._routers.forget(ref)
        self._executors.forget(ref)

    def _targets(self, pods: Iterable[Body]) -> dict[str, PeerTarget]:
        return {
            pod["metadata"]["name"]: PeerTarget(
                address=_address(pod["status"]["podIP"], self._ports[_component(pod)]),
                uid=pod["metadata"]["uid"],
                component=_component(pod),
            )
            for pod in pods
            if (pod.get("status") or {}).get("podIP") and (pod.get("status") or {}).get("phase") == "Running"
        }


def _component(pod: Body) -> str:
    return str((pod["metadata"].get("labels") or {}).get(names.COMPONENT, ""))


def _address(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
