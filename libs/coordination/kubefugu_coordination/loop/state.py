"""The coordination loop as a state machine, without any I/O (TRINITY, arXiv 2512.04695, section 3; ALGORITHMS.md section 2).

Each turn: `offered_roles` -> the router decides -> `role_for` -> a worker replies -> `solved`, `advised` or `judged`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kubefugu_coordination.events import RoleSource, StopReason
from kubefugu_coordination.loop.parsing import Suggestion, accepts, suggestion_of, thought_of
from kubefugu_core.pool import Role

ALL_ROLES = (Role.SOLVER, Role.THINKER, Role.VERIFIER)


@dataclass(frozen=True, slots=True)
class LoopRules:
    """What differs between serving and training."""

    max_turns: int = 5
    verifier_without_response_ends: bool = False
    """Training: a verifier picked before any response ends the episode (with reward 0). Serving: it becomes a solver turn."""


@dataclass(slots=True)
class LoopState:
    """Where a request stands."""

    rules: LoopRules
    turn: int = 0
    """Turns that have begun."""
    thoughts: list[str] = field(default_factory=list)
    response: str | None = None
    """The latest solver response."""
    suggestion: Suggestion | None = None
    """Handed over by the preceding thinker, for the next turn only."""
    stop: StopReason | None = None
    ended_without_response: bool = False

    single_turn: bool = False
    """True: no turn follows the current one, whatever the rules say."""

    @property
    def is_last_turn(self) -> bool:
        """True: no turn follows the current one."""
        return self.single_turn or self.turn >= self.rules.max_turns

    def begin_turn(self) -> None:
        """Count the turn that starts now."""
        self.turn += 1

    def policy_has_no_roles(self) -> None:
        """The product variant: without role rows nobody would ever verify, so the first solver turn is the only one."""
        if self.response is None:
            self.single_turn = True

    def offered_roles(self) -> tuple[Role, ...]:
        """Roles that the router may choose from in the current turn.

        A thinker's suggested role overrides the choice once, and the last turn without a response has to solve: then only that
        role is offered, so that workers which may not take it are masked with it. A thinker has no use in the last turn.
        """
        if self.suggestion is not None and not self._has_to_solve(self.suggestion.role):
            return (self.suggestion.role,)
        if self.response is None and (self.is_last_turn or self.suggestion is not None):
            return (Role.SOLVER,)
        return (Role.SOLVER, Role.VERIFIER) if self.is_last_turn else ALL_ROLES

    def _has_to_solve(self, role: Role) -> bool:
        """True: `role` would leave the request without a response, or has nothing to verify."""
        if self.response is not None or role is Role.SOLVER:
            return False
        return self.is_last_turn or (role is Role.VERIFIER and not self.rules.verifier_without_response_ends)

    def role_for(self, routed: Role) -> tuple[Role, RoleSource] | None:
        """The role of this turn, given the router's; None ends the episode (training's rule for an early verifier)."""
        role, source = routed, RoleSource.POLICY
        if self.suggestion is not None:
            role, source = self.suggestion.role, RoleSource.THINKER
        if self._has_to_solve(role):
            early = role is Role.VERIFIER and not self.is_last_turn
            return Role.SOLVER, RoleSource.NO_RESPONSE_YET if early else RoleSource.ONLY_TURN
        if role is Role.VERIFIER and self.response is None:
            self.ended_without_response = True
            return None
        return role, RoleSource.ONLY_TURN if self.rules.max_turns == 1 else source

    def solved(self, reply: str, *, calls_tools: bool = False) -> None:
        """A solver replied. Its reply is the latest response; its thought joins the observation."""
        self.suggestion = None
        self.response = reply
        if thought := thought_of(reply):
            self.thoughts.append(thought)
        if calls_tools:
            self.stop = StopReason.TOOL_CALLS
        elif self.is_last_turn:
            self.stop = StopReason.SINGLE_TURN if self.turn == 1 else StopReason.MAX_TURNS

    def advised(self, reply: str) -> Suggestion | None:
        """A thinker replied: it may steer the next turn, but what it wrote is never the answer."""
        self.suggestion = suggestion_of(reply)
        if self.is_last_turn:
            self.stop = StopReason.MAX_TURNS
        return self.suggestion

    def judged(self, reply: str) -> bool:
        """A verifier replied; returns whether it accepts."""
        self.suggestion = None
        accepted = accepts(reply)
        if accepted:
            self.stop = StopReason.ACCEPTED
        elif self.is_last_turn:
            self.stop = StopReason.MAX_TURNS
        return accepted
