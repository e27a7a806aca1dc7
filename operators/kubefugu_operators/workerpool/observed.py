"""What a reconciliation of a pool sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from kubefugu_operators.cluster.objects import Body, Ref


class Health(StrEnum):
    """Answer of a worker's endpoint."""

    OK = "Ok"
    UNREACHABLE = "WorkerUnreachable"
    KEY_REFUSED = "KeyRefused"
    FAILING = "WorkerFailing"


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe of one worker."""

    health: Health
    latency_ms: float = 0.0
    """Of this probe; of a followed one the median of `recent`."""
    message: str = ""
    recent: tuple[float, ...] = ()
    """Latencies of the last successful probes in a row, in ms, oldest first."""


@dataclass(frozen=True, slots=True)
class PoolObserved:
    """A pool and everything around it, as it is now."""

    body: Body
    now: datetime
    children: Mapping[Ref, Body] = field(default_factory=dict)
    """Objects labelled as this pool's."""
    secrets: Mapping[str, Body | None] = field(default_factory=dict)
    """Secrets that the spec references, by name; None where there is none."""
    pods: tuple[Body, ...] = ()
    """Pods of managed workers."""
    executors: tuple[Body, ...] = ()
    """Executor pods that mount this pool."""
    probes: Mapping[str, Probe] = field(default_factory=dict)
    """Last probes by worker name."""
    unanswered: bool = False
    """No probe has answered since this operator began to ask."""
    policy: Body | None = None
    """The referenced RoutingPolicy."""
