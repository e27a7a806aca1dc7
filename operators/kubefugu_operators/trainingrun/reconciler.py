"""Reads what a run's reconciliation needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from pydantic import ValidationError

from kubefugu_operators import names
from kubefugu_operators.cluster.objects import Api, Body, Ref, ref_of
from kubefugu_operators.conditions import is_told
from kubefugu_operators.plan import Plan, Refusals
from kubefugu_operators.runtime.observations import Observations
from kubefugu_operators.trainingrun import objects, stages
from kubefugu_operators.trainingrun.drivers import DriverTarget
from kubefugu_operators.trainingrun.observed import Collected, RunObserved, RunView
from kubefugu_operators.trainingrun.reconcile import Settings, is_finished, reconcile
from kubefugu_operators.trainingrun.spec import TrainingRunSpec

Views = Observations[DriverTarget, RunView]


class Collector(Protocol):
    """Fetches finished artifacts."""

    async def collect(self, address: str) -> Collected | None:
        """The artifact, or None where it can't be had now."""
        ...


class TrainingRunReconciler:
    """The adapter around the pure reconciliation."""

    def __init__(
        self, *, api: Api, views: Views, collector: Collector, clock: Callable[[], datetime], settings: Settings
    ) -> None:
        self._api = api
        self._views = views
        self._collector = collector
        self._clock = clock
        self._settings = settings

    async def observe(self, body: Body) -> RunObserved:
        """Children, references, pods, the driver's progress and its finished artifact."""
        ref = ref_of(body)
        observed = RunObserved(body=body, now=self._clock(), children=await self._children(body))
        if is_finished(body):
            self._views.forget(ref)
            return observed
        observed = await self._references(observed)
        pods = await self._api.list("Pod", ref.namespace, labels=f"{names.RUN}={ref.name}")
        # The UID keeps the pods of an earlier run of the same name away.
        uid = body["metadata"]["uid"]
        mine = [pod for pod in pods if pod["metadata"]["labels"].get(names.RUN_UID) == uid]
        mine.sort(key=lambda pod: (pod["metadata"].get("creationTimestamp", ""), pod["metadata"]["name"]))
        drivers = tuple(pod for pod in mine if pod["metadata"]["labels"].get(names.COMPONENT) == "driver")
        helpers = tuple(pod for pod in mine if pod["metadata"]["labels"].get(names.COMPONENT) == "evaluator")
        observed = replace(observed, pods=drivers, evaluators=helpers)
        return await self._ask(ref, observed)

    def decide(self, observed: RunObserved, refusals: Refusals) -> Plan:
        """Pure. After a restart, what the status says stands until the driver answers."""
        if observed.unanswered and is_told(observed.body):
            return Plan()
        return reconcile(observed, refusals, self._settings)

    def forget(self, ref: Ref) -> None:
        """Stop asking its driver."""
        self._views.forget(ref)

    async def _children(self, body: Body) -> dict[Ref, Body]:
        namespace, selector = body["metadata"]["namespace"], names.selector(body)
        found: list[Body] = []
        for kind in ("ConfigMap", "Job", "Deployment", "PersistentVolumeClaim"):
            found += await self._api.list(kind, namespace, labels=selector)
        return {ref_of(child): child for child in found if names.is_owned(child, body)}

    async def _references(self, observed: RunObserved) -> RunObserved:
        try:
            spec = TrainingRunSpec.model_validate(observed.body["spec"])
        except ValidationError:
            return observed
        namespace = observed.body["metadata"]["namespace"]
        source = spec.data.config_map
        return replace(
            observed,
            pool=await self._api.get(Ref("WorkerPool", namespace, spec.pool_ref.name)),
            data=await self._api.get(Ref("ConfigMap", namespace, source.name)) if source else None,
            policy=await self._api.get(Ref("RoutingPolicy", namespace, spec.publish.policy)) if spec.publish else None,
        )

    async def _ask(self, ref: Ref, observed: RunObserved) -> RunObserved:
        address = stages.driver_address(observed)
        uid = observed.pods[-1]["metadata"]["uid"] if observed.pods else ""
        self._views.watch(ref, {"driver": DriverTarget(address, uid)} if address else {})
        view = self._views.answers(ref).get("driver")
        observed = replace(observed, view=view, unanswered=self._views.unanswered(ref))
        stored = observed.child("ConfigMap", objects.artifact_name(ref.name))
        if view is None or view.state != "succeeded" or stored is not None or not address:
            return observed
        return replace(observed, collected=await self._collector.collect(address))
