"""Prometheus metrics of the gateway. Names of models become labels only once the executor has acted on them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from kubefugu.common.v1 import common_pb2
from kubefugu_core.chat import is_coordinated

UNKNOWN_MODEL = "unknown"
"""Label of requests that name no model, or one that never acted: clients can't make up labels."""

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class GatewayMetrics:
    """The gateway's own metrics, in a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._requests = Counter(
            "kubefugu_gateway_requests",
            "Chat requests by model, HTTP status and outcome (ok, or the error's code; a broken stream has status 200).",
            ("model", "status", "outcome"),
            registry=registry,
        )
        self._duration = Histogram(
            "kubefugu_gateway_request_seconds",
            "Time from the request's head to the response's end.",
            ("model", "stream"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._first_byte = Histogram(
            "kubefugu_gateway_first_byte_seconds",
            "Time from the request's head to the first byte of a successful response's body.",
            ("model", "stream"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._tokens = Counter(
            "kubefugu_gateway_tokens",
            "Tokens spent, by kind: prompt, completion, and the orchestration part of each (included in it).",
            ("model", "kind"),
            registry=registry,
        )
        self.in_flight = Gauge("kubefugu_gateway_in_flight", "Chat requests in flight.", registry=registry)

    def observe(
        self, *, model: str, acted: bool, status: int, outcome: str, stream: bool, seconds: float, first_byte_s: float | None
    ) -> str:
        """Count one request that ended. Returns the model label that was used."""
        label = model if acted or (is_coordinated(model) and "/" not in model) else UNKNOWN_MODEL
        kind = "true" if stream else "false"
        self._requests.labels(label, str(status), outcome).inc()
        self._duration.labels(label, kind).observe(seconds)
        if first_byte_s is not None:
            self._first_byte.labels(label, kind).observe(first_byte_s)
        return label

    def count_tokens(self, model: str, usage: common_pb2.Usage) -> None:
        """Add what a request has spent; `model` is the label that `observe` returned."""
        counts = (
            ("prompt", usage.prompt_tokens),
            ("completion", usage.completion_tokens),
            ("orchestration_input", usage.orchestration_input_tokens),
            ("orchestration_output", usage.orchestration_output_tokens),
        )
        for kind, count in counts:
            if count:
                self._tokens.labels(model, kind).inc(count)
