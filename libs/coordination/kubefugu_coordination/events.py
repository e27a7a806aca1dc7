"""What happens while a request runs, as typed events: the executor's stream and the decision record are made from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from kubefugu_coordination.loop.router import Decision
from kubefugu_coordination.spend import Spent
from kubefugu_coordination.workers.reply import TokenUsage
from kubefugu_coordination.workflow.diagnosis import Diagnosis
from kubefugu_core.errors import KubefuguError
from kubefugu_core.pool import Role


class Outcome(StrEnum):
    """How a worker call ended."""

    OK = "ok"
    DECLINED = "declined"
    FAILED = "failed"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    WAITING = "waiting"
    """A workflow step's worker asked for tools; the step goes on when their results are there."""


class StopReason(StrEnum):
    """Why a request ended with an answer."""

    SINGLE_TURN = "single_turn"
    """One turn was asked for, or the policy has no roles."""
    ACCEPTED = "accepted"
    """A verifier accepted."""
    MAX_TURNS = "max_turns"
    TOOL_CALLS = "tool_calls"
    """A solver calls the client's tools."""
    BUDGET = "budget"
    """The cost cap or the deadline left no room for another turn."""
    TURN_FAILED = "turn_failed"
    """A later turn failed; the latest solver response is the answer."""
    PASS_THROUGH = "pass_through"  # noqa: S105 - no password
    """A worker was called by its own name."""
    WORKFLOW = "workflow"
    """A planned workflow ended."""


class RoleSource(StrEnum):
    """Where the role of a turn comes from."""

    POLICY = "policy"
    THINKER = "thinker"
    """The preceding thinker suggested it."""
    NO_RESPONSE_YET = "no_response_yet"
    """A verifier was picked before there was anything to verify."""
    ONLY_TURN = "only_turn"
    """The last turn without a response must solve."""
    FALLBACK = "fallback"
    """No routing decision could be had."""


@dataclass(frozen=True, slots=True)
class Routed:
    """A routing decision was taken, or could not be (`degraded` says why)."""

    turn: int
    worker: str
    role: Role
    role_source: RoleSource
    policy_version: str = ""
    router_ms: float = 0.0
    decision: Decision | None = None
    degraded: str = ""


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """A worker call starts."""

    turn: int
    attempt: int
    worker: str
    role: Role
    policy_version: str = ""


@dataclass(frozen=True, slots=True)
class Delta:
    """Complete SSE events for the client."""

    sse: bytes


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """A worker call ended."""

    turn: int
    attempt: int
    worker: str
    role: Role
    outcome: Outcome
    usage: TokenUsage = field(default_factory=TokenUsage)
    cost_usd: float = 0.0
    duration_ms: float = 0.0
    first_token_ms: float | None = None
    error: KubefuguError | None = None
    suggested_role: Role | None = None
    text: str = ""
    """The reply, kept in records only where content is switched on."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Sign of life."""

    message: str


@dataclass(frozen=True, slots=True)
class Planned:
    """A workflow was planned."""

    plan_json: bytes
    planner: str
    version: str = ""
    """Version of the trained Conductor that planned; empty for any other planner."""
    path: str = ""
    """Where the workflow hangs: "" for the request's own, "2." for one that step 2 became, "2.0." for one below that."""
    notes: tuple[Diagnosis, ...] = ()
    """What was changed in the planner's output; after a repair also what was wrong with the first one."""
    repaired: bool = False
    usage: TokenUsage = field(default_factory=TokenUsage)
    cost_usd: float = 0.0
    duration_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class PlanFailed:
    """No valid plan came; at the top level the request falls back to the loop."""

    error: KubefuguError
    path: str = ""
    usage: TokenUsage = field(default_factory=TokenUsage)
    cost_usd: float = 0.0
    duration_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A workflow step's worker call starts."""

    step: int
    worker: str
    path: str = ""
    """See Planned."""
    at_ms: float = 0.0
    """Milliseconds since the workflow's request began."""


@dataclass(frozen=True, slots=True)
class StepEnded:
    """A workflow step's worker call ended."""

    step: int
    worker: str
    outcome: Outcome
    usage: TokenUsage = field(default_factory=TokenUsage)
    cost_usd: float = 0.0
    duration_ms: float = 0.0
    error: KubefuguError | None = None
    path: str = ""
    """See Planned."""
    tool_calls: int = 0
    """Tool calls that the step waits for."""
    text: str = ""
    """The reply, kept in records only where content is switched on."""


@dataclass(frozen=True, slots=True)
class Parked:
    """The workflow waits for tool results of the client."""

    workflow_id: str
    tool_calls: int
    expires_in_s: float


@dataclass(frozen=True, slots=True)
class Resumed:
    """A parked workflow goes on with its tool results."""

    workflow_id: str
    plan_json: bytes
    planner: str
    decisions: tuple[str, ...]
    """Decision ids of the requests that began it, oldest first."""
    done_steps: tuple[int, ...]
    """Steps whose results were there already."""


@dataclass(frozen=True, slots=True)
class Done:
    """The request ended with an answer. `completion_json` is empty for a streamed one."""

    completion_json: bytes
    spent: Spent
    worker: str
    role: Role
    policy_version: str
    turns: int
    stop_reason: StopReason


Event: TypeAlias = (
    Routed
    | TurnStarted
    | Delta
    | TurnEnded
    | Progress
    | Planned
    | PlanFailed
    | StepStarted
    | StepEnded
    | Parked
    | Resumed
    | Done
)
