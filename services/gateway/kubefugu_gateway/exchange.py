"""One chat request from its head to the last byte: its identity, what is known of it, and its line in log and metrics."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field

import structlog

from kubefugu_core.errors import spec_of
from kubefugu_gateway.metrics import GatewayMetrics
from kubefugu_gateway.observed import Header, Observed

_log = structlog.get_logger()


def new_request_id() -> str:
    """The id of a request, of its completion and of its decision record."""
    return f"chatcmpl-{uuid.uuid4().hex}"


@dataclass(slots=True, kw_only=True)
class Exchange:
    """What the gateway knows of one request."""

    request_id: str = field(default_factory=new_request_id)
    created: int = field(default_factory=lambda: int(time.time()))
    started_s: float = field(default_factory=time.perf_counter)
    first_byte_s: float | None = None
    """Seconds from the start to the first byte of the body."""
    tenant: str = ""
    model: str = ""
    stream: bool = False
    status: int = 0
    """HTTP status that was sent or will be."""
    outcome: str = "ok"
    observed: Observed = field(default_factory=Observed)

    @property
    def begun(self) -> bool:
        """True once bytes of the body are on their way: from then on an error is an event."""
        return self.first_byte_s is not None

    def begin(self) -> None:
        """Note the first byte of a successful response."""
        self.first_byte_s = time.perf_counter() - self.started_s
        self.status = 200

    def fail(self, error: BaseException) -> None:
        """Note how the request failed."""
        spec = spec_of(error)
        self.outcome = spec.reason.lower()
        if not self.begun:
            self.status = spec.http_status

    def headers(self, *, final: bool) -> list[Header]:
        """Headers that every successful response carries."""
        identity = self.request_id.encode()
        return [(b"x-request-id", identity), (b"x-kubefugu-decision-id", identity), *self.observed.headers(final=final)]

    def finish(self, metrics: GatewayMetrics) -> None:
        """Write the request's log line and count it. Neither holds a word of what was said."""
        seconds = time.perf_counter() - self.started_s
        seen = self.observed
        label = metrics.observe(
            model=self.model,
            acted=bool(seen.worker),
            status=self.status,
            outcome=self.outcome,
            stream=self.stream,
            seconds=seconds,
            first_byte_s=self.first_byte_s,
        )
        if seen.done is not None:
            metrics.count_tokens(label, seen.done.usage)
        _log.info(
            "chat_request",
            request_id=self.request_id,
            tenant=self.tenant,
            model=self.model,
            stream=self.stream,
            status=self.status,
            outcome=self.outcome,
            worker=seen.worker,
            policy_version=seen.policy_version,
            turns=len(seen.turns),
            duration_ms=round(seconds * 1000, 1),
            first_byte_ms=None if self.first_byte_s is None else round(self.first_byte_s * 1000, 1),
        )
