"""Prometheus metrics of the operator."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """What the operator counts. Each instance has its own registry, so that tests do not share one."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._total = Counter(
            "kubefugu_operator_reconcile_total", "Passes over objects.", ["kind", "outcome"], registry=self.registry
        )
        self._seconds = Histogram(
            "kubefugu_operator_reconcile_seconds", "Duration of a pass.", ["kind"], buckets=_BUCKETS, registry=self.registry
        )
        self._events = Counter("kubefugu_operator_events_total", "Watch events.", ["kind"], registry=self.registry)
        self._verified = Gauge(
            "kubefugu_operator_watch_verified_timestamp_seconds",
            "When the watch of a kind was last seen to have delivered all that a listing showed.",
            ["kind"],
            registry=self.registry,
        )

    def reconciled(self, kind: str, outcome: str, duration_s: float) -> None:
        """Count one pass: ok, api_error or error."""
        self._total.labels(kind, outcome).inc()
        self._seconds.labels(kind).observe(duration_s)

    def event(self, kind: str) -> None:
        """Count one watch event."""
        self._events.labels(kind).inc()

    def watch_verified(self, kind: str, unix_s: float) -> None:
        """The watch of a kind is known to be fresh."""
        self._verified.labels(kind).set(unix_s)

    def track(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        """A gauge whose value is read at each scrape."""
        Gauge(name, documentation, registry=self.registry).set_function(read)

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)
