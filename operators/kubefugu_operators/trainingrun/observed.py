"""What a reconciliation of a training run sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from kubefugu_operators.cluster.objects import Body, Ref


@dataclass(frozen=True, slots=True)
class RunView:
    """A driver's answer to GetRun."""

    reachable: bool
    state: str = ""
    """preparing, running, evaluating, succeeded, failed or stopped."""
    step: int = 0
    total_steps: int = 0
    mean_fitness: float = 0.0
    best_fitness: float = 0.0
    sigma: float = 0.0
    eta_seconds: float = 0.0
    cost_usd: float = 0.0
    checkpoint: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Collected:
    """A finished run's artifact as its driver hands it out."""

    content: bytes
    sha256: str
    report: str
    """JSON."""


@dataclass(frozen=True, slots=True)
class RunObserved:
    """A run and everything around it, as it is now."""

    body: Body
    now: datetime
    children: Mapping[Ref, Body] = field(default_factory=dict)
    """Objects that the run owns."""
    pool: Body | None = None
    """The referenced WorkerPool."""
    data: Body | None = None
    """The ConfigMap that spec.data names."""
    pods: tuple[Body, ...] = ()
    """The driver's pods, oldest first."""
    evaluators: tuple[Body, ...] = ()
    """The evaluators' pods."""
    view: RunView | None = None
    """Last answer of the driver."""
    unanswered: bool = False
    """The driver has not answered since this operator began to ask."""
    collected: Collected | None = None
    """The artifact, where the driver has one and it is not stored yet."""
    policy: Body | None = None
    """The RoutingPolicy to publish to."""

    def child(self, kind: str, name: str) -> Body | None:
        """A child by kind and name."""
        return self.children.get(Ref(kind, self.body["metadata"]["namespace"], name))
