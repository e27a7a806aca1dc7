"""The seam between those who need a plan and the Conductor: the executor's gRPC client and the service itself implement it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from kubefugu_coordination.clock import Deadline
from kubefugu_coordination.workers.reply import TokenUsage
from kubefugu_coordination.workflow.diagnosis import Diagnosis
from kubefugu_coordination.workflow.offer import OfferedWorker
from kubefugu_coordination.workflow.plan import DEFAULT_MAX_STEPS, Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanningRequest:
    """What is to be planned, over whom."""

    messages: Sequence[Mapping[str, Any]]
    """The client's conversation."""
    workers: Sequence[OfferedWorker]
    """The workers offered to the planner, in the order of their ids: the request's allowed, healthy subset."""
    max_steps: int = DEFAULT_MAX_STEPS
    planner: str = ""
    """Worker that plans; empty: the Conductor's own."""
    denied: Sequence[str] = ()
    """Workers that must not see the conversation, so must not plan."""
    allow_recursion: bool = False
    """True: the Conductor itself is offered as a worker, behind the others."""
    max_output_tokens: int = 0
    """Bound of each planner call's output; 0: the Conductor's."""
    memory: str = ""
    """Tool calls of earlier workflows of the conversation, as text."""
    tenant: str = ""
    seed: int | None = None
    """Seed of the planner's sampling; None: the planner's own choice."""
    conversation_key: str = ""
    """Affinity of the conversation: it stays with one version of a trained Conductor while a canary goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planning:
    """A plan and what it took."""

    plan: Plan
    notes: tuple[Diagnosis, ...] = ()
    """Changes made to the accepted output; after a repair also what was wrong with the first one."""
    repaired: bool = False
    planner: str = ""
    version: str = ""
    """Version of the trained Conductor that planned; empty for any other planner."""
    usage: TokenUsage = field(default_factory=TokenUsage)
    """Tokens of all planner calls."""
    cost_usd: float = 0.0


class PlannerPort(Protocol):
    """Plans workflows."""

    async def plan(self, request: PlanningRequest, *, deadline: Deadline) -> Planning:
        """A valid plan. Raises InvalidPlanError with every diagnosis, worker errors, DeadlineExceededError."""
        ...
