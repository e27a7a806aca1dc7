"""Takes keys from the queue, reads what is live, lets a pure reconciliation decide, carries the plan out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

import structlog

from kubefugu_operators.cluster.objects import Api, ApiError, Body, Ref
from kubefugu_operators.conditions import INTERNAL_ERROR, Finding, merge
from kubefugu_operators.plan import Plan, Refusals
from kubefugu_operators.runtime.carrier import Carrier
from kubefugu_operators.runtime.metrics import Metrics
from kubefugu_operators.runtime.queue import WorkQueue

_log = structlog.get_logger()
_SUMMARIES = {"WorkerPool": "Ready", "TrainingRun": "Succeeded", "RoutingPolicy": "Ready"}


class Observed(Protocol):
    """What a reconciliation saw."""

    @property
    def children(self) -> Mapping[Ref, Body]:
        """Objects that exist and that the plan may concern."""
        ...


Seen = TypeVar("Seen", bound=Observed)


class Reconciler(Protocol[Seen]):
    """One kind: `observe` reads, `decide` is pure."""

    async def observe(self, body: Body) -> Seen:
        """Read everything that the decision needs."""
        ...

    def decide(self, observed: Seen, refusals: Refusals) -> Plan:
        """The plan. Called again with what the API server refused, so that the status can say it."""
        ...

    def forget(self, ref: Ref) -> None:
        """The object is gone."""
        ...


class Engine:
    """Works on the queue with a fixed number of workers."""

    def __init__(
        self,
        *,
        api: Api,
        queue: WorkQueue,
        reconcilers: Mapping[str, Reconciler[Any]],
        metrics: Metrics,
        release: Callable[[str], Awaitable[None]],
        pass_timeout_s: float = 60.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api = api
        self._queue = queue
        self._reconcilers = reconcilers
        self._metrics = metrics
        self._carrier = Carrier(api, release=release)
        self._pass_timeout_s = pass_timeout_s
        self._clock = clock

    async def run(self, *, workers: int) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(workers):
                group.create_task(self._work(), name=f"reconcile worker {number}")

    async def _work(self) -> None:
        while True:
            ref = await self._queue.get()
            started = time.perf_counter()
            outcome = "ok"
            try:
                async with asyncio.timeout(self._pass_timeout_s):
                    requeue_after_s = await self.reconcile(ref)
                self._queue.forget(ref)
                if requeue_after_s is not None:
                    self._queue.add_after(ref, requeue_after_s)
            except (ApiError, TimeoutError) as error:
                outcome = "api_error"
                delay_s = self._queue.failed(ref)
                _log.warning("reconcile_failed", object=str(ref), error=str(error)[:500], retry_after_s=delay_s)
            except Exception as error:
                outcome = "error"
                delay_s = self._queue.failed(ref)
                _log.exception("reconcile_crashed", object=str(ref), retry_after_s=delay_s)
                await self._tell_crash(ref, error)
            finally:
                self._queue.done(ref)
                self._metrics.reconciled(ref.kind, outcome, time.perf_counter() - started)

    async def _tell_crash(self, ref: Ref, error: Exception) -> None:
        """A fault of this program ends in the object's summary condition, too; everything else in its status stands."""
        kind = _SUMMARIES[ref.kind]
        try:
            async with asyncio.timeout(self._pass_timeout_s):
                body = await self._api.get(ref)
                if body is None:
                    return
                status = body.get("status") or {}
                message = f"The operator failed on this object ({type(error).__name__}: {error}); its log has the details."
                told = Finding(kind, "Unknown", INTERNAL_ERROR, message)
                before = status.get("conditions", ())
                generation = body["metadata"].get("generation", 0)
                (summary,) = merge([told], before, generation=generation, now=self._clock())
                others = [condition for condition in before if condition["type"] != kind]
                await self._carrier.write_status(body, {**status, "conditions": [*others, summary]})
        except (ApiError, TimeoutError) as refused:
            _log.warning("crash_not_told", object=str(ref), error=str(refused)[:300])

    async def reconcile(self, ref: Ref) -> float | None:
        """One pass over one object; seconds until the next one, or None."""
        reconciler = self._reconcilers[ref.kind]
        body = await self._api.get(ref)
        if body is None or body["metadata"].get("deletionTimestamp"):
            reconciler.forget(ref)
            return None
        observed = await reconciler.observe(body)
        plan = reconciler.decide(observed, {})
        refusals = await self._carrier.carry_out(plan, observed.children)
        if refusals:
            plan = reconciler.decide(observed, refusals)
        if plan.status is not None:
            await self._carrier.write_status(body, plan.status)
        return plan.requeue_after_s
