"""Everything that decides a Conductor run's result."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from kubefugu_coordination.workflow.planner_prompt import PromptStyle


class ConductorConfig(BaseModel):
    """Defaults are for a small decoder on a CPU; the paper's (7B, G=64, 4 questions, 200 steps, lr 1e-6) are for GPUs."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    backbone: str
    """Hub id, directory, GGUF file or a name of `kubefugu models`."""
    tasks: str = "pairs"
    """`pairs`, `mixed` (pairs and single questions), or task sets as `kubefugu outcomes collect` takes them."""
    questions: int = Field(default=400, ge=4)
    """Training questions."""
    held_out: int = Field(default=100, ge=2)
    """Held-out questions of the evaluation before and after."""
    measure_sampled: bool = True
    """Held-out plans are written at the rollouts' temperature too, not only greedily, as they are served."""
    offer_all: bool = False
    """Held-out questions are offered all workers, as serving does, instead of subsets."""
    seed: int = 42
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the frozen weights; what is trained is float32."""

    adapter: Literal["lora", "full"] = "lora"
    """What is trained."""
    rank: int = Field(default=16, ge=1, le=512)
    """Rank of the LoRA factors."""
    alpha: int = Field(default=32, gt=0)
    """LoRA's scale is alpha / rank."""
    layers: int = Field(default=0, ge=0)
    """So many layers from the top get LoRA factors; 0: all."""

    style: PromptStyle = PromptStyle.STEPS
    """Prompt that it is trained on, and later served with."""
    max_steps: int = Field(default=5, ge=1, le=20)
    """Most steps of a plan."""
    max_tokens: int = Field(default=160, ge=16, le=4096)
    """Longest plan."""
    least_workers: int = Field(default=3, ge=1)
    """k-of-n pools: fewest workers offered with a question."""
    most_workers: int = Field(default=6, ge=1)
    """k-of-n pools: most workers offered with a question."""
    gamma: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of questions at which the Conductor is offered to itself: fine-tuning on recursion (0.2 in the paper)."""

    warm_examples: int = Field(default=256, ge=0)
    """Valid plans of the format warm start; 0: none."""
    warm_epochs: int = Field(default=2, ge=1)
    """Passes over them."""
    warm_batch: int = Field(default=8, ge=1)
    """Plans a step."""
    warm_lr: float = Field(default=5e-4, gt=0)
    """Learning rate of the warm start."""

    search_tries: int = Field(default=0, ge=0)
    """Random plans that are executed for each training question; the right ones are taught before GRPO. 0: none."""
    search_questions: int = Field(default=0, ge=0)
    """So many of the training questions, the first ones; 0: all."""
    search_epochs: int = Field(default=2, ge=1)
    """Passes over the plans that were found."""

    steps: int = Field(default=60, ge=0)
    """GRPO steps."""
    simple_steps: int = Field(default=0, ge=0)
    """The first of them are about questions of one sentence alone: who does what is learned where plans are short, before plans
    of several steps, all of whose choices must be right, can earn anything."""
    questions_per_step: int = Field(default=4, ge=1)
    """Questions a step."""
    group: int = Field(default=8, ge=2)
    """Plans a question (G)."""
    micro_batch: int = Field(default=8, ge=1)
    """Plans in one pass forward and backward; divides questions_per_step * group."""
    iterations: int = Field(default=1, ge=1)
    """Passes over each batch of plans (mu)."""
    lr: float = Field(default=1e-4, gt=0)
    """Learning rate of GRPO, cosine to 0."""
    temperature: float = Field(default=1.0, gt=0)
    """Sampling temperature of rollouts."""
    answer_tokens: int = Field(default=0, ge=0)
    """Longest reply of a worker in a rollout; 0: as long as it likes."""
    failover: bool = False
    """A worker that declines is replaced in rollouts as it is in serving. Off: naming the right one is what earns."""
    cost_weight: float = Field(default=0.0, ge=0)
    """Reward that one US dollar of worker calls costs."""
    call_weight: float = Field(default=0.0, ge=0)
    """Reward that one worker call costs."""
    oversample: int = Field(default=2, ge=1, le=16)
    """So many times the questions of a step are sampled; the groups that disagree most are learned from. Sampling is cheap
    beside learning, and a group without variance teaches nothing."""
    contested: bool = True
    """Prefer questions whose last group disagreed over those whose plans were all right or all wrong."""
    save_every: int = Field(default=5, ge=1)
    """Steps between checkpoints."""
