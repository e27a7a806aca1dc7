"""Configuration of an evolution run; its JSON is frozen into the run directory."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class EvolutionConfig(BaseModel):
    """What a run does. Defaults are the paper's (TRINITY, section 3.3; ALGORITHMS 4.2) where it gives them."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    generations: int = Field(default=60, ge=1)
    """Generations."""
    population: int | None = Field(default=None, ge=4)
    """Candidates a generation; None: 4 + floor(3 ln N)."""
    sigma: float = Field(default=0.03, gt=0)
    """Step size at the start, in units of `scaling`."""
    seed: int = Field(default=42, ge=0)
    """Seed of the run's one generator."""
    batch: int = Field(default=64, ge=0)
    """Questions of a generation; 0: all training questions."""
    offsets: Literal["none", "layer", "all"] = "none"
    """Which singular-value offsets move beside the head: none, the adapted layer's seven matrices, or those and the embedding
    (nothing can be shared between candidates then: the full price)."""
    scaling: Literal["none", "features"] = "none"
    """Unit of a head coordinate: one, or what changes the logits of the start by their own spread (1 / rms of the feature)."""
    common_random_numbers: bool = True
    """False: every candidate gets questions, subsets and noise of its own (for comparison; it learns badly)."""
    subset: int = Field(default=0, ge=0)
    """k of the n workers that each question of a generation may be given to, drawn anew each generation; 0: all of them."""
    sample: bool = False
    """True: workers are sampled from the softmax with the generation's noise, as the authors do; False: argmax, as served."""
    entropy_weight: float = Field(default=0.15, ge=0)
    """Weight of the entropy (nats) of worker choice."""
    cost_weight: float = Field(default=0.0, ge=0)
    """Weight of the mean cost (US dollars a question)."""
