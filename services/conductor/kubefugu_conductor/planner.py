"""Who plans, and how often it is asked: one planner, one repair turn that shows it what was wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

import structlog

from kubefugu_conductor.planner_call import Attempt, PlannerCall, PlannerOptions
from kubefugu_conductor.writers import LOCAL_PLANNER, PlanWriter, WorkerWriter
from kubefugu_coordination.clock import Deadline
from kubefugu_coordination.workers import PoolSnapshot
from kubefugu_coordination.workflow.diagnosis import Diagnosis
from kubefugu_coordination.workflow.planning import Planning, PlanningRequest
from kubefugu_core.errors import (
    InvalidPlanError,
    InvalidRequestError,
    KubefuguError,
    NoWorkerAvailableError,
    WorkerRejectedRequestError,
)
from kubefugu_core.pool import Capability, WorkerSpec

_log = structlog.get_logger()
_TOLD_DIAGNOSES = 16
"""Diagnoses that travel with an error: trailing metadata is bounded by a few kilobytes."""


class PoolPlanner:
    """Plans by a worker of the pool, or by the planner in this process where there is one. Implements `PlannerPort`."""

    def __init__(
        self,
        snapshot: Callable[[], PoolSnapshot],
        options: PlannerOptions,
        *,
        local: Callable[[str], PlanWriter | None] = lambda _: None,
    ) -> None:
        """`local`: the planner in this process for a conversation's key; None where there is none (yet)."""
        self._snapshot = snapshot
        self._options = options
        self._local = local
        # Planners whose server refused the schema.
        self._no_schema: set[object] = set()

    async def plan(self, request: PlanningRequest, *, deadline: Deadline) -> Planning:
        """See PlannerPort. At most two planner calls, one more where the server turns the schema down."""
        if not request.workers:
            raise InvalidRequestError("No workers are offered to the planner.", field="workers")
        writer = self._writer(request)
        call = PlannerCall(writer, request, self._options, deadline)
        constrained = self._options.constrained and writer.schemas and writer.identity not in self._no_schema
        try:
            first, asked, constrained = await self._first(call, constrained)
            if not first.losses:
                return call.planning(first, repaired=False, before=())
            second = await self._repair(call, first, asked, constrained)
        except KubefuguError as error:
            # What was spent must be charged although no plan comes of it.
            error.metadata.setdefault("usage", call.usage_json())
            if writer.version:
                error.metadata.setdefault("policy_version", writer.version)
            raise
        if second.losses < first.losses:
            return call.planning(second, repaired=True, before=first.reading.diagnoses)
        if first.reading.plan is not None:
            return call.planning(first, repaired=False, before=())
        raise _invalid(writer, second.reading.diagnoses, call.usage_json())

    async def _repair(
        self, call: PlannerCall, first: Attempt, asked: Sequence[Mapping[str, str]], constrained: bool
    ) -> Attempt:
        """The one repair turn. A plan that only loses something stands where its repair fails."""
        try:
            return await call.repair(first, asked, constrained)
        except KubefuguError as error:
            if first.reading.plan is None:
                raise
            _log.warning("plan_not_repaired", worker=call.writer.name, reason=type(error).__name__)
            return first

    async def _first(self, call: PlannerCall, constrained: bool) -> tuple[Attempt, list[dict[str, str]], bool]:
        asked = call.question(constrained)
        try:
            return await call.attempt(asked, constrained), asked, constrained
        except WorkerRejectedRequestError as error:
            if not constrained:
                raise
            _log.warning("planner_refused_schema", worker=call.writer.name, status=error.metadata.get("status"))
        asked = call.question(False)
        attempt = await call.attempt(asked, False)
        self._no_schema.add(call.writer.identity)
        return attempt, asked, False

    def _writer(self, request: PlanningRequest) -> PlanWriter:
        snapshot = self._snapshot()
        if request.planner in ("", LOCAL_PLANNER):
            local = self._local(request.conversation_key)
            if local is not None:
                return local
        if request.planner:
            if request.planner in request.denied:
                raise InvalidRequestError(f"The planner {request.planner!r} is denied.", field="kubefugu.planner")
            if request.planner not in snapshot.clients:
                message = f"The pool {snapshot.name} has no worker {request.planner!r} that could plan."
                raise InvalidRequestError(message, field="kubefugu.planner")
            return WorkerWriter(snapshot.clients[request.planner])
        named = self._options.planner or snapshot.pool.spec.routing.planner
        order = default_planners(snapshot.pool.spec.workers, named=named)
        for name in order:
            if name not in request.denied:
                return WorkerWriter(snapshot.clients[name])
        raise NoWorkerAvailableError("Every worker that could plan is denied.")


def default_planners(workers: Sequence[WorkerSpec], *, named: str) -> list[str]:
    """Workers that may plan where the request names none, best first: the named one alone if there is one in the pool, else
    all that are no specialists, those that decode under a schema first."""
    names = [worker.name for worker in workers]
    if named:
        return [named] if named in names else []
    general = [worker for worker in workers if not worker.specialist]
    return [worker.name for worker in sorted(general, key=lambda worker: Capability.JSON_SCHEMA not in worker.capabilities)]


def _invalid(writer: PlanWriter, diagnoses: Sequence[Diagnosis], usage_json: str) -> InvalidPlanError:
    codes = ", ".join(dict.fromkeys(found.code.value for found in diagnoses))
    _log.warning("plan_invalid", planner=writer.name, version=writer.version, codes=codes)
    told = [found.to_json() for found in diagnoses[:_TOLD_DIAGNOSES]]
    return InvalidPlanError(
        f"The planner {writer.name} wrote no valid plan, not in its repair turn either ({codes}).",
        metadata={
            "planner": writer.name,
            **({"policy_version": writer.version} if writer.version else {}),
            "diagnoses": json.dumps(told, ensure_ascii=True),
            "usage": usage_json,
        },
    )
