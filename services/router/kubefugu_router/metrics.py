"""Prometheus metrics of the router; one object implements what host, registry and router tell."""

from __future__ import annotations

from collections.abc import Collection

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from kubefugu_core.policy_sets import DeclaredSet

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)


class RouterMetrics:
    """Metric families named kubefugu_router_*."""

    def __init__(self, registry: CollectorRegistry) -> None:
        prefix = "kubefugu_router"
        self._decisions = Counter(
            f"{prefix}_decisions", "Decisions by policy version and kind.", ["policy_version", "kind"], registry=registry
        )
        self._stage = Histogram(f"{prefix}_stage_seconds", "Latency by stage.", ["stage"], buckets=_SECONDS, registry=registry)
        self._batch = Histogram(f"{prefix}_step_sequences", "Sequences of an engine step.", buckets=_SIZES, registry=registry)
        self._tokens = Histogram(f"{prefix}_step_tokens", "Tokens of an engine step.", buckets=_TOKENS, registry=registry)
        self._step = Histogram(f"{prefix}_step_seconds", "Duration of an engine step.", buckets=_SECONDS, registry=registry)
        self._computed = Counter(f"{prefix}_computed_tokens", "Input tokens that were computed.", registry=registry)
        self._cached = Counter(f"{prefix}_cached_tokens", "Input tokens taken from the prefix cache.", registry=registry)
        self._cache_bytes = Gauge(f"{prefix}_prefix_cache_bytes", "Bytes held by the prefix cache.", registry=registry)
        self._queue = Gauge(f"{prefix}_queue_requests", "Requests waiting or being computed.", registry=registry)
        self._errors = Counter(f"{prefix}_errors", "Failed calls by error reason.", ["reason"], registry=registry)
        self._swaps = Counter(f"{prefix}_policy_sets_applied", "Declarations that took over.", registry=registry)
        self._refused = Counter(f"{prefix}_policies_refused", "Refused policy versions.", ["reason"], registry=registry)
        self._generation = Gauge(f"{prefix}_policy_generation", "Generation that serves.", registry=registry)
        self._resident = Gauge(f"{prefix}_policies_resident", "Resident policy versions.", registry=registry)
        self._active = Gauge(
            f"{prefix}_policy_state",
            "1 for each version that decides, by state.",
            ["policy_version", "state"],
            registry=registry,
        )
        self._counted: set[tuple[str, str]] = set()
        """Labels of the decisions' series."""

    def decided(self, *, version: str, kind: str) -> None:
        """Count a decision."""
        self._counted.add((version, kind))
        self._decisions.labels(version, kind).inc()

    def stage(self, name: str, seconds: float) -> None:
        """Observe a stage's latency."""
        self._stage.labels(name).observe(seconds)

    def step(self, *, sequences: int, tokens: int, seconds: float) -> None:
        """Observe an engine step."""
        self._batch.observe(sequences)
        self._tokens.observe(tokens)
        self._step.observe(seconds)

    def queue(self, *, requests: int) -> None:
        """Set the queue's depth."""
        self._queue.set(requests)

    def finished(self, *, computed_tokens: int, cached_tokens: int, cache_bytes: int) -> None:
        """Count a decided sequence's tokens."""
        self._computed.inc(computed_tokens)
        self._cached.inc(cached_tokens)
        self._cache_bytes.set(cache_bytes)

    def failed(self, reason: str) -> None:
        """Count a failed call."""
        self._errors.labels(reason).inc()

    def applied(self, declared: DeclaredSet, *, resident: Collection[str]) -> None:
        """A declaration took over. Series of versions that are gone go with them: each swap would leave some for ever."""
        self._swaps.inc()
        self._generation.set(declared.generation)
        self._resident.set(len(resident))
        gone = {(version, kind) for version, kind in self._counted if version and version not in resident}
        for labels in gone:
            self._decisions.remove(*labels)
        self._counted -= gone
        self._active.clear()
        self._active.labels(declared.active, "active").set(1)
        if declared.canary is not None:
            self._active.labels(declared.canary.version, "canary").set(1)
        for version in declared.shadow:
            self._active.labels(version, "shadow").set(1)

    def refused(self, version: str, *, reason: str) -> None:
        """Count a refused version."""
        self._refused.labels(reason).inc()
