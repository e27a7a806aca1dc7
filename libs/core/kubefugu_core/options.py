"""The `kubefugu` object of a request (`extra_body` of the OpenAI SDK): validated once, used by gateway and executor."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Mode(StrEnum):
    """How a request is answered."""

    FUGU = "fugu"
    """The coordination loop."""
    FUGU_ULTRA = "fugu-ultra"
    """A planned workflow."""
    WORKER = "worker"
    """One named worker, passed through."""


class SamplingOptions(BaseModel):
    """Draw worker and role from the policy instead of taking the best."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float = Field(default=1.0, gt=0, le=100, allow_inf_nan=False)
    """Softmax temperature; 1 is the policy as trained."""
    seed: int = Field(ge=0, lt=2**63)
    """Seed of this request's own generator."""


class KubefuguOptions(BaseModel):
    """Options of one request. Budgets can lower the pool's, not raise them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    allow: tuple[str, ...] | None = Field(default=None, min_length=1, max_length=256)
    """Only these workers may be used; absent: all of the pool."""
    deny: tuple[str, ...] = Field(default=(), max_length=256)
    """These workers are not used."""
    max_turns: int | None = Field(default=None, ge=1, le=20)
    """Upper bound of turns; overrides what reasoning_effort implies."""
    max_steps: int | None = Field(default=None, ge=1, le=20)
    """Upper bound of workflow steps."""
    max_cost_usd: float | None = Field(default=None, gt=0, le=1e6, allow_inf_nan=False)
    """Upper bound of this request's cost."""
    sampling: SamplingOptions | None = None
    """Absent: argmax."""
    policy_version: str | None = Field(default=None, min_length=1, max_length=128)
    """Pin a policy version."""
    conversation: str | None = Field(default=None, min_length=1, max_length=256)
    """Explicit conversation id: affinity and memory."""
    planner: str | None = Field(default=None, min_length=1, max_length=63)
    """Worker that plans (fugu-ultra)."""
    progress: bool = False
    """True: typed progress events in the stream, not only SSE comments."""
    explain: bool = False
    """True: the routing decision is put into the response's `kubefugu` object."""


EFFORT_TURNS = {"none": 1, "minimal": 1, "low": 1, "medium": 3, "high": 5, "xhigh": 5, "max": 5}
"""Turns for each value of reasoning_effort; absent means 1."""
