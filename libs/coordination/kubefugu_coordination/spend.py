"""What a request has spent, and what it may spend."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kubefugu_coordination.workers.reply import TokenUsage


@dataclass(frozen=True, slots=True)
class Spent:
    """Totals of a request. Orchestration counts are included in the totals."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    orchestration_input_tokens: int = 0
    orchestration_output_tokens: int = 0
    cost_usd: float = 0.0
    estimated: bool = False
    """True: some worker reported no usage and its tokens were estimated."""


@dataclass(slots=True)
class Ledger:
    """Every worker call of a request, in the order of their ends."""

    calls: list[TokenUsage] = field(default_factory=list)
    cost_usd: float = 0.0

    def book(self, usage: TokenUsage, cost_usd: float) -> int:
        """Add a call; returns its number, to name the answer's call later."""
        self.calls.append(usage)
        self.cost_usd += cost_usd
        return len(self.calls) - 1

    def spent(self, *, answer: int | None) -> Spent:
        """Totals; every call but number `answer` is orchestration."""
        prompt = sum(call.prompt_tokens for call in self.calls)
        completion = sum(call.completion_tokens for call in self.calls)
        own = self.calls[answer] if answer is not None else TokenUsage()
        return Spent(
            prompt_tokens=prompt,
            completion_tokens=completion,
            orchestration_input_tokens=prompt - own.prompt_tokens,
            orchestration_output_tokens=completion - own.completion_tokens,
            cost_usd=self.cost_usd,
            estimated=any(call.estimated for call in self.calls),
        )


def usage_object(spent: Spent, *, reported: dict[str, Any] | None = None) -> dict[str, Any]:
    """OpenAI's usage object; `reported` is the answering worker's own, whose details are kept."""
    details = {}
    for name in ("prompt_tokens_details", "completion_tokens_details"):
        known = (reported or {}).get(name)
        details[name] = dict(known) if isinstance(known, dict) else {}
    details["prompt_tokens_details"]["orchestration_input_tokens"] = spent.orchestration_input_tokens
    details["completion_tokens_details"]["orchestration_output_tokens"] = spent.orchestration_output_tokens
    return {
        "prompt_tokens": spent.prompt_tokens,
        "completion_tokens": spent.completion_tokens,
        "total_tokens": spent.prompt_tokens + spent.completion_tokens,
        **details,
    }
