"""Reads what a pool's reconciliation needs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from kubefugu_core.pool import WorkerPoolSpec
from kubefugu_operators import names
from kubefugu_operators.cluster.objects import Api, Body, Ref, ref_of
from kubefugu_operators.conditions import is_told
from kubefugu_operators.plan import Plan, Refusals
from kubefugu_operators.runtime.observations import Observations
from kubefugu_operators.workerpool import objects
from kubefugu_operators.workerpool.observed import PoolObserved, Probe
from kubefugu_operators.workerpool.probe import ProbeTarget
from kubefugu_operators.workerpool.reconcile import reconcile

Probes = Observations[ProbeTarget, Probe]


class WorkerPoolReconciler:
    """The adapter around the pure reconciliation."""

    def __init__(self, *, api: Api, probes: Probes, clock: Callable[[], datetime]) -> None:
        self._api = api
        self._probes = probes
        self._clock = clock

    async def observe(self, body: Body) -> PoolObserved:
        """Children, referenced Secrets, pods, executors, last probes."""
        ref = ref_of(body)
        children = await self._children(body)
        executors = await self._api.list("Pod", ref.namespace, labels=f"{names.POOL}={ref.name},{names.COMPONENT}=executor")
        managed = any(child.kind == "Deployment" for child in children)
        pods = await self._api.list("Pod", ref.namespace, labels=f"{names.POOL}={ref.name},{names.WORKER}") if managed else []
        try:
            spec = WorkerPoolSpec.model_validate(body["spec"])
        except ValidationError:
            return PoolObserved(body=body, now=self._clock(), children=children)
        secrets = await self._secrets(spec, ref.namespace)
        self._probes.watch(ref, _targets(spec, body, secrets))
        policy = spec.policy_ref and await self._api.get(Ref("RoutingPolicy", ref.namespace, spec.policy_ref.name))
        return PoolObserved(
            body=body,
            now=self._clock(),
            children=children,
            secrets=secrets,
            pods=tuple(pods),
            executors=tuple(executors),
            probes=self._probes.answers(ref),
            unanswered=self._probes.unanswered(ref),
            policy=policy or None,
        )

    def decide(self, observed: PoolObserved, refusals: Refusals) -> Plan:
        """Pure. After a restart, what the status says stands until the first probes answer."""
        if observed.unanswered and is_told(observed.body):
            return Plan()
        return reconcile(observed, refusals)

    def forget(self, ref: Ref) -> None:
        """Stop probing its workers."""
        self._probes.forget(ref)

    async def _children(self, body: Body) -> dict[Ref, Body]:
        namespace, selector = body["metadata"]["namespace"], names.selector(body)
        found: list[Body] = []
        for kind in ("ConfigMap", "Deployment", "Service"):
            found += await self._api.list(kind, namespace, labels=selector)
        keys = await self._api.get(Ref("Secret", namespace, objects.keys_secret_name(body["metadata"]["name"])))
        children = {ref_of(child): child for child in found if names.is_owned(child, body)}
        if keys is not None and names.is_owned(keys, body):
            children[ref_of(keys)] = keys
        return children

    async def _secrets(self, spec: WorkerPoolSpec, namespace: str) -> dict[str, Body | None]:
        references = [worker.auth.secret_key_ref for worker in spec.workers if worker.auth is not None]
        wanted = sorted({reference.name for reference in references if reference is not None})
        return {name: await self._api.get(Ref("Secret", namespace, name)) for name in wanted}


def _targets(spec: WorkerPoolSpec, body: Body, secrets: dict[str, Body | None]) -> dict[str, ProbeTarget]:
    meta: dict[str, Any] = body["metadata"]
    targets = {}
    for worker in spec.workers:
        key = ""
        if worker.auth is not None and worker.auth.secret_key_ref is not None:
            data = (secrets.get(worker.auth.secret_key_ref.name) or {}).get("data") or {}
            key = objects.decoded(data.get(worker.auth.secret_key_ref.key, ""))
        url = objects.worker_url(worker, pool=meta["name"], namespace=meta["namespace"])
        targets[worker.name] = ProbeTarget(url=url, key=key)
    return targets
