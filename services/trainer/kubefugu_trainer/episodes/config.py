"""What an episode is; its JSON is frozen into the run directory and sent to evaluators."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class EpisodeConfig(BaseModel):
    """Questions, turns and worker calls of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    tasks: str
    """Task sets, as `outcomes collect` takes them."""
    train: int = Field(default=64, ge=1)
    """Questions that are searched on."""
    held_out: int = Field(default=64, ge=2)
    """Questions that the result is measured on; none of them is a training question."""
    task_seed: int = Field(default=0, ge=0)
    """Seed that the questions are drawn with."""
    turns: int = Field(default=3, ge=1, le=20)
    """K: most turns of an episode."""
    max_tokens: int = Field(default=64, ge=1)
    """Longest reply of a worker."""
    worker_temperature: float = Field(default=0.0, ge=0, le=2)
    """Sampling temperature of the workers; replies are kept on disk at 0 alone."""
    policy_temperature: float = Field(default=0.0, ge=0)
    """Softmax temperature that worker and role are sampled with in training; 0: argmax, as served."""
    turn_weight: float = Field(default=0.10, ge=0)
    """Weight of the share of turns that were left unused, the fitness's turn term."""
    early_verifier_ends: bool = True
    """Training's rule: a verifier before any response ends the episode with reward 0. Held-out episodes follow serving's."""
    role_margin: float = Field(default=0.2, gt=0)
    """Where the start has no role rows: how far `solve first, then verify` is ahead of any other pair in its fitted ones, in
    logits; small, so that the search can leave it."""
