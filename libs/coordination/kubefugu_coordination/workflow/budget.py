"""What a workflow may spend: steps, tokens, cost and depth, its recursive workflows included.

Wall time is not here: it is the request's deadline, which travels down with every call.
"""

from __future__ import annotations

from dataclasses import dataclass

from kubefugu_coordination.spend import Ledger
from kubefugu_core.errors import BudgetExceededError


@dataclass(frozen=True, slots=True)
class WorkflowBudget:
    """Bounds of one request; 0 means unbounded, except for `max_depth`, where it means no recursion."""

    max_steps: int = 20
    """Steps of all workflows of the request together."""
    max_tokens: int = 0
    """Tokens of all calls, input and output."""
    max_cost_usd: float = 0.0
    """Cost of all calls."""
    max_depth: int = 0
    """Levels of workflows below the first one."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What a workflow had used up before it was parked."""

    steps: int = 0
    tokens: int = 0
    cost_usd: float = 0.0


class Meter:
    """Measures a request's ledger against its budget. One per request, shared by its recursive workflows."""

    def __init__(self, budget: WorkflowBudget, ledger: Ledger, carried: Carried | None = None) -> None:
        self.budget = budget
        self.ledger = ledger
        self._carried = carried or Carried()
        self._steps = 0

    def used(self) -> Carried:
        """Everything so far, what was carried over included."""
        spent, before = self.ledger.spent(answer=None), self._carried
        tokens = before.tokens + spent.prompt_tokens + spent.completion_tokens
        return Carried(before.steps + self._steps, tokens, before.cost_usd + spent.cost_usd)

    def left_usd(self) -> float | None:
        """Money that is left; None: unbounded."""
        return self.budget.max_cost_usd - self.used().cost_usd if self.budget.max_cost_usd else None

    def admit_step(self) -> None:
        """Count one more step. Raises BudgetExceededError where none is left or the tokens or the money are used up."""
        budget, used = self.budget, self.used()
        if budget.max_steps and used.steps >= budget.max_steps:
            raise _used_up(f"{budget.max_steps} steps", "steps", "kubefugu.max_steps")
        if budget.max_tokens and used.tokens >= budget.max_tokens:
            raise _used_up(f"{budget.max_tokens} tokens", "tokens", None)
        if budget.max_cost_usd and used.cost_usd >= budget.max_cost_usd:
            raise _used_up(f"{budget.max_cost_usd:g} US dollars", "cost", "kubefugu.max_cost_usd")
        self._steps += 1

    def may_recurse(self, depth: int) -> bool:
        """True: a workflow at `depth` (0 for the first) may start another one below itself."""
        left = not self.budget.max_steps or self.used().steps < self.budget.max_steps
        return depth < self.budget.max_depth and left


def _used_up(what: str, budget: str, field: str | None) -> BudgetExceededError:
    return BudgetExceededError(f"The workflow's budget of {what} is used up.", field=field, metadata={"budget": budget})
