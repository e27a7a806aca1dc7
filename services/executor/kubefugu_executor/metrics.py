"""Prometheus metrics of the executor. Labels are names of the pool, of roles and of the error table, never a client's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from kubefugu_coordination.events import Event, Outcome, PlanFailed, Planned, Routed, StepEnded, TurnEnded
from kubefugu_coordination.workers import BreakerState, PoolSnapshot
from kubefugu_core.errors import spec_of

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_ROUTER_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_BREAKER_VALUE = {BreakerState.CLOSED: 0.0, BreakerState.HALF_OPEN: 1.0, BreakerState.OPEN: 2.0}


class ExecutorMetrics:
    """The executor's own metrics, in a registry. Also a CallObserver of every worker call."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._requests = _counter(
            registry, "requests", "Requests by mode and status (ok, failed, cancelled).", "mode", "status"
        )
        self._seconds = _histogram(registry, "request_seconds", "Time of a request.", _SECONDS, "mode")
        self._turns = _counter(registry, "turns", "Turns by role and outcome.", "role", "outcome")
        self._steps = _counter(registry, "steps", "Calls of workflow steps by outcome.", "outcome")
        self._plans = _counter(registry, "plans", "Plans: ok, repaired, or why there was none.", "outcome")
        self._planner = _histogram(registry, "planner_seconds", "Time until a workflow was planned.", _SECONDS)
        self._router = _histogram(registry, "router_seconds", "Time until the router decided, or failed to.", _ROUTER_SECONDS)
        self._degraded = _counter(registry, "degraded", "Turns given to a fallback worker, by reason.", "reason")
        self._calls = _counter(registry, "worker_calls", "Calls of workers by outcome, or error reason.", "worker", "outcome")
        self._call_s = _histogram(registry, "worker_seconds", "Time of a worker's successful call.", _SECONDS, "worker")
        self._first_s = _histogram(
            registry, "worker_first_token_seconds", "Time to a stream's first token.", _SECONDS, "worker"
        )
        self._declines = _counter(registry, "declines", "Questions that a specialist declined.", "worker")
        self._tokens = _counter(registry, "tokens", "Tokens that workers reported, by kind.", "worker", "kind")
        self._cost = _counter(registry, "cost_usd", "Cost by the pool's prices, in US dollars.", "worker")
        self.in_flight = Gauge("kubefugu_executor_in_flight", "Requests in flight.", registry=registry)
        self._children: dict[tuple[int | str, ...], Any] = {}

    def _of(self, metric: Counter | Histogram, *labels: str) -> Any:
        """The metric's child; prometheus_client looks it up under a lock each time, and these are asked for at every call."""
        key: tuple[int | str, ...] = (id(metric), *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return child

    def call_ended(self, worker: str, outcome: str, seconds: float) -> None:
        """See CallObserver."""
        self._of(self._calls, worker, outcome).inc()
        if outcome == "ok":
            self._of(self._call_s, worker).observe(seconds)

    def note(self, event: Event) -> None:
        """Count what an event says."""
        if isinstance(event, TurnEnded):
            self._turn_ended(event)
        elif isinstance(event, Routed):
            self._router.observe(event.router_ms / 1e3)
            if event.degraded:
                self._of(self._degraded, event.degraded).inc()
        elif isinstance(event, StepEnded):
            self._of(self._steps, event.outcome.value).inc()
            self._call_ended(event)
        elif isinstance(event, Planned):
            self._of(self._plans, "repaired" if event.repaired else "ok").inc()
            self._planner.observe(event.duration_ms / 1e3)
        elif isinstance(event, PlanFailed):
            self._of(self._plans, spec_of(event.error).reason.lower()).inc()

    def _turn_ended(self, event: TurnEnded) -> None:
        self._of(self._turns, event.role.value, event.outcome.value).inc()
        if event.first_token_ms is not None:
            self._of(self._first_s, event.worker).observe(event.first_token_ms / 1e3)
        self._call_ended(event)

    def _call_ended(self, event: TurnEnded | StepEnded) -> None:
        if event.outcome is Outcome.DECLINED:
            self._of(self._declines, event.worker).inc()
        self._of(self._tokens, event.worker, "prompt").inc(event.usage.prompt_tokens)
        self._of(self._tokens, event.worker, "completion").inc(event.usage.completion_tokens)
        if event.cost_usd:
            self._of(self._cost, event.worker).inc(event.cost_usd)

    def request_ended(self, mode: str, status: str, seconds: float) -> None:
        """Count an ended request."""
        self._of(self._requests, mode, status).inc()
        self._of(self._seconds, mode).observe(seconds)


def _counter(registry: CollectorRegistry, name: str, text: str, *labels: str) -> Counter:
    return Counter(f"kubefugu_executor_{name}", text, labels, registry=registry)


def _histogram(registry: CollectorRegistry, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    return Histogram(f"kubefugu_executor_{name}", text, labels, buckets=buckets, registry=registry)


class PoolCollector(Collector):
    """State of the workers, read when it is scraped: circuits and calls in flight of the pool as it is then."""

    def __init__(self, snapshot: Callable[[], PoolSnapshot], dropped: Callable[[], int]) -> None:
        self._snapshot = snapshot
        self._dropped = dropped

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """See prometheus_client."""
        breaker = GaugeMetricFamily(
            "kubefugu_executor_worker_breaker", "Circuit of a worker: 0 closed, 1 half open, 2 open.", labels=["worker"]
        )
        in_flight = GaugeMetricFamily("kubefugu_executor_worker_in_flight", "Calls in flight.", labels=["worker"])
        for name, client in self._snapshot().clients.items():
            breaker.add_metric([name], _BREAKER_VALUE[client.admission.breaker.state])
            in_flight.add_metric([name], client.admission.stats.in_flight)
        yield breaker
        yield in_flight
        yield GaugeMetricFamily(
            "kubefugu_executor_decisions_dropped", "Decision records lost since the start.", value=self._dropped()
        )
