"""What a workflow may spend and has spent: steps, tokens, cost and depth, its recursive workflows included.

Wall time is not here: it is the request's deadline, which travels down with every call.
"""

from __future__ import annotations

from dataclasses import dataclass

from kubefugu_core.errors import BudgetExceededError


@dataclass(frozen=True, slots=True)
class Spend:
    """Tokens and money of some calls."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0

    def __add__(self, other: Spend) -> Spend:
        return Spend(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cost_usd + other.cost_usd,
        )

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.prompt_tokens + self.completion_tokens

    def to_json(self) -> dict[str, int | float]:
        """As it stands in decision records."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "cost_usd": round(self.cost_usd, 9),
        }


NOTHING_SPENT = Spend()


@dataclass(frozen=True, slots=True)
class WorkflowBudget:
    """Bounds of one request; 0 means unbounded, except for `max_depth`, where it means no recursion."""

    max_steps: int = 20
    """Steps of all workflows of the request together."""
    max_tokens: int = 0
    """Tokens of all calls, input and output."""
    max_cost_usd: float = 0.0
    """Cost of all calls."""
    max_depth: int = 1
    """Levels of workflows below the first one."""


class Ledger:
    """Books a request's steps and calls against its budget. One per request, shared by its recursive workflows."""

    def __init__(self, budget: WorkflowBudget, *, spent: Spend | None = None, steps: int = 0) -> None:
        self.budget = budget
        self.spent = spent or Spend()
        self.steps = steps

    def charge(self, spend: Spend) -> None:
        """Add what a call has spent."""
        self.spent += spend

    def admit_step(self) -> None:
        """Count one more step. Raises BudgetExceededError where none is left or the tokens or the money are used up."""
        budget, spent = self.budget, self.spent
        if budget.max_steps and self.steps >= budget.max_steps:
            raise BudgetExceededError(f"The budget of {budget.max_steps} steps is used up.", metadata={"budget": "steps"})
        if budget.max_tokens and spent.total_tokens >= budget.max_tokens:
            raise BudgetExceededError(f"The budget of {budget.max_tokens} tokens is used up.", metadata={"budget": "tokens"})
        if budget.max_cost_usd and spent.cost_usd >= budget.max_cost_usd:
            raise BudgetExceededError(f"The budget of {budget.max_cost_usd:g} USD is used up.", metadata={"budget": "cost"})
        self.steps += 1

    def may_recurse(self, depth: int) -> bool:
        """True: a workflow at `depth` (0 for the first) may start another one below itself."""
        left = not self.budget.max_steps or self.steps < self.budget.max_steps
        return depth < self.budget.max_depth and left
