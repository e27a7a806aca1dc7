"""What the loop needs of a router: a Protocol, the question and the decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from kubefugu_coordination.clock import Deadline
from kubefugu_core.options import SamplingOptions
from kubefugu_core.pool import Role


@dataclass(frozen=True, slots=True)
class Offer:
    """A worker that may be chosen, and the roles that it may take in this turn."""

    name: str
    model: str
    roles: tuple[Role, ...]


@dataclass(frozen=True, slots=True)
class RouteQuery:
    """One turn's question. `transcript` holds (role, text), oldest first; it is the observation."""

    transcript: Sequence[tuple[str, str]]
    offers: Sequence[Offer]
    conversation_key: str = ""
    policy_version: str = ""
    """Pins a version; "" leaves it to the router."""
    sampling: SamplingOptions | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """An offered worker as the policy sees it."""

    worker: str
    probability: float
    logit: float | None = None
    """None where the policy has no row for it."""
    trained: bool = True


@dataclass(frozen=True, slots=True)
class RoleScore:
    """A role as the policy sees it."""

    role: Role
    logit: float
    probability: float


@dataclass(frozen=True, slots=True)
class Shadow:
    """What a shadow policy would have decided."""

    policy_version: str
    worker: str
    role: Role


@dataclass(frozen=True, slots=True)
class Decision:
    """A routing decision."""

    policy_version: str
    worker: str
    role: Role
    workers: tuple[Score, ...] = ()
    """Best first: the order of failover."""
    roles: tuple[RoleScore, ...] = ()
    """Empty where the policy has no role rows."""
    input_tokens: int = 0
    cached_tokens: int = 0
    truncated: bool = False
    dropped_tokens: int = 0
    shadows: tuple[Shadow, ...] = ()
    engine_ms: float = 0.0
    canary: bool = False


class Router(Protocol):
    """Decides one turn."""

    async def route(self, query: RouteQuery, *, deadline: Deadline) -> Decision:
        """Raises UnavailableError or DeadlineExceededError where there is no decision, PolicyNotFoundError for a wrong pin."""
        ...
