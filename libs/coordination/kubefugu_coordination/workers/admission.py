"""What stands between a caller and a worker: its circuit, its limits, and the counters that ListWorkers shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import structlog

from kubefugu_coordination.clock import Clock, Deadline
from kubefugu_coordination.workers.breaker import DEFAULT_BREAKER, Breaker, BreakerSettings, BreakerState
from kubefugu_coordination.workers.classify import asked_pause_s
from kubefugu_coordination.workers.limits import Limiter
from kubefugu_core.errors import (
    DeadlineExceededError,
    KubefuguError,
    RateLimitedError,
    WorkerMisconfiguredError,
    WorkerRejectedRequestError,
    WorkerUnreachableError,
    spec_of,
)
from kubefugu_core.pool import WorkerSpec

_log = structlog.get_logger()
_EWMA_SHARE = 0.2
_PATIENCE_S = 5.0
"""A caller's own deadline blames the worker only when it has waited at least this long."""
_LONGEST_PAUSE_S = 300.0


@dataclass(slots=True)
class WorkerStats:
    """Counters of one worker since the process started."""

    in_flight: int = 0
    calls: int = 0
    failures: int = 0
    declined: int = 0
    latency_ms_ewma: float = 0.0


class CallObserver(Protocol):
    """Told about every call's end; the executor's metrics implement it."""

    def call_ended(self, worker: str, outcome: str, seconds: float) -> None:
        """`outcome` is ok, cancelled, or the error table's reason."""
        ...


class Admission:
    """Circuit, limits and counters of one worker."""

    def __init__(
        self,
        spec: WorkerSpec,
        clock: Clock,
        *,
        observer: CallObserver | None = None,
        breaker: BreakerSettings = DEFAULT_BREAKER,
    ) -> None:
        self._worker = spec.name
        self._clock = clock
        self._observer = observer
        self.breaker = Breaker(clock, breaker)
        self.limiter = Limiter(spec.limits, clock, worker=spec.name)
        self.stats = WorkerStats()

    async def admit(self, deadline: Deadline, *, tokens: int) -> Lease:
        """Wait for room and take it. Raises WorkerUnreachableError with an open circuit, else what Limiter.acquire raises."""
        if not self.breaker.available:
            raise self._circuit_open()
        await self.limiter.acquire(deadline, tokens=tokens)
        if not self.breaker.try_acquire():
            self.limiter.release()
            raise self._circuit_open()
        self.stats.in_flight += 1
        return Lease(self, self._clock.monotonic(), tokens)

    def _circuit_open(self) -> WorkerUnreachableError:
        return WorkerUnreachableError(
            f"Worker {self._worker} failed repeatedly and rests.", metadata={"worker": self._worker, "circuit": "open"}
        )

    def breaker_failed(self, reason: str) -> None:
        """The worker is to blame for a failure; say so once when that opens its circuit."""
        before = self.breaker.state
        self.breaker.failed()
        if before is BreakerState.CLOSED and self.breaker.state is BreakerState.OPEN:
            _log.warning("worker_circuit_opened", worker=self._worker, reason=reason)

    def ended(self, lease: Lease, outcome: str) -> None:
        """Book the end of a call."""
        self.limiter.release()
        self.stats.in_flight -= 1
        self.stats.calls += 1
        seconds = self._clock.monotonic() - lease.started
        if outcome == "ok":
            known = self.stats.latency_ms_ewma
            self.stats.latency_ms_ewma = known + (seconds * 1e3 - known) * (_EWMA_SHARE if known else 1.0)
        elif outcome != "cancelled":
            self.stats.failures += 1
        if self._observer is not None:
            self._observer.call_ended(self._worker, outcome, seconds)


class Lease:
    """One admitted call. Exactly one of its reports counts; later ones are ignored."""

    __slots__ = ("_admission", "_open", "_tokens", "started")

    def __init__(self, admission: Admission, started: float, tokens: int) -> None:
        self._admission = admission
        self._tokens = tokens
        self._open = True
        self.started = started

    def succeeded(self, *, tokens: int) -> None:
        """The call came through and used `tokens`."""
        if self._open:
            self._open = False
            self._admission.breaker.succeeded()
            self._admission.limiter.settle(estimated_tokens=self._tokens, actual_tokens=tokens)
            self._admission.ended(self, "ok")

    def failed(self, error: BaseException) -> None:
        """The call ended in an error (or was cancelled): decide what that says about the worker."""
        if not self._open:
            return
        self._open = False
        admission = self._admission
        if not isinstance(error, KubefuguError):
            admission.breaker.released()
            admission.ended(self, "cancelled")
            return
        if (pause_s := asked_pause_s(error)) is not None:
            admission.limiter.pause(min(pause_s, _LONGEST_PAUSE_S))
        if self._blames_worker(error):
            admission.breaker_failed(spec_of(error).reason)
        else:
            admission.breaker.released()
        admission.ended(self, spec_of(error).reason)

    def _blames_worker(self, error: KubefuguError) -> bool:
        if isinstance(error, RateLimitedError | WorkerRejectedRequestError | WorkerMisconfiguredError):
            return isinstance(error, WorkerMisconfiguredError)
        if isinstance(error, DeadlineExceededError) and error.metadata.get("limit") == "caller":
            return self._admission._clock.monotonic() - self.started >= _PATIENCE_S
        return True
