"""A tiny random decoder that is trained, by the trainer's own code, to write one plan: a real artifact in seconds."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from kubefugu_coordination.workflow.offer import JOIN, OfferedWorker
from kubefugu_coordination.workflow.planner_prompt import PromptStyle
from kubefugu_trainer.grpo.config import ConductorConfig
from kubefugu_trainer.grpo.items import Item
from kubefugu_trainer.runs.progress import SilentReporter
from kubefugu_trainer.tasks.question import Phrasing, Question
from kubefugu_trainer.tasks.verifiers import Contains
from support.backbones import make_tiny

WORKERS = (OfferedWorker("alpha"), OfferedWorker("beta"), JOIN)
TASK = "Find A and B."
PLAN = 'model_id: [0, 1, 2]\nsubtasks: ["A", "B", "Both"]\naccess_list: [[], [], [0, 1]]'


def item(task: str = TASK, *, number: int = 0, accepted: str = "A is 1.", max_steps: int = 3) -> Item:
    """A planning task over two workers."""
    verifier = Contains(accepted=(accepted,))
    question = Question(prompt=task, field="alpha+beta", topic="test", phrasing=Phrasing.SEEN, verifier=verifier)
    return Item(number=number, question=question, workers=WORKERS, max_steps=max_steps, style=PromptStyle.STEPS)


def tiny_backbone(folder: Path) -> Path:
    """A Llama of two layers with a real tokenizer."""
    make_tiny(folder, "llama", tied=True, with_tokenizer=True, num_hidden_layers=2, initializer_range=0.02)
    return folder


def tiny_config(backbone: Path, **members: Any) -> ConductorConfig:
    """Full training of everything, a few steps."""
    values: dict[str, Any] = {
        "backbone": str(backbone), "adapter": "full", "warm_examples": 8, "warm_epochs": 40, "warm_batch": 8, "warm_lr": 1e-2,
        "max_steps": 3, "max_tokens": 120, "save_every": 1000, "seed": 1,
    }  # fmt: skip
    return ConductorConfig(**(values | members))


def teach(folder: Path, *, plan: str = PLAN, backbone: Path | None = None, **members: Any) -> tuple[Path, Path]:
    """Train on the one plan, from a new backbone or from one that is there; returns backbone and artifact."""
    from kubefugu_trainer.grpo.model import load_trainable, write_artifact
    from kubefugu_trainer.grpo.warm import warm_start

    backbone = backbone or tiny_backbone(folder / "backbone")
    config = tiny_config(backbone, **members)
    base, model = load_trainable(config, device="cpu", threads=1)
    ended = warm_start(
        base,
        model,
        [item()] * 8,
        [plan] * 8,
        config=config,
        folder=folder / "checkpoints",
        stop=threading.Event(),
        reporter=SilentReporter(),
        record=lambda _: None,
        use_cpu=True,
    )
    assert ended
    artifact = folder / "conductor.safetensors"
    write_artifact(artifact, model, base, config, training={}, metrics={})
    return backbone, artifact
