"""Learning curves of a Conductor run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from kubefugu_trainer.grpo.checkpoints import FOUND, WARM
from kubefugu_trainer.supervised.plots import save

Record = dict[str, Any]
_WINDOW = 5


def write_plots(folder: Path, records: Sequence[Record]) -> None:
    """Write warm_start.png, found_plans.png and grpo.png, as far as there are records of them."""
    for stage in (WARM, FOUND):
        taught = [record for record in records if record["stage"] == stage]
        if taught:
            save(folder / f"{stage.replace(' ', '_')}.png", _taught(stage, _last_of_each_step(taught)))
    rollouts = _last_of_each_step([record for record in records if record["stage"] == "rollouts"])
    if rollouts:
        save(folder / "grpo.png", _grpo(rollouts))


def _last_of_each_step(records: Sequence[Record]) -> list[Record]:
    """A step that was repeated after a kill counts once."""
    return [record for _, record in sorted({int(record["step"]): record for record in records}.items())]


def _smooth(values: Sequence[float]) -> np.ndarray[Any, Any]:
    padded = np.concatenate([np.full(_WINDOW - 1, values[0]), np.asarray(values, dtype=np.float64)])
    return np.convolve(padded, np.ones(_WINDOW) / _WINDOW, mode="valid")


def _taught(stage: str, records: Sequence[Record]) -> Figure:
    figure, axes = plt.subplots(figsize=(6, 4))
    axes.plot([record["step"] for record in records], [record["loss"] for record in records])
    axes.set(xlabel="step", ylabel="loss (nats a token)", title=f"Supervised fine-tuning: {stage}")
    return figure


def _grpo(records: Sequence[Record]) -> Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    steps = [record["step"] for record in records]
    for name, label in (("reward", "mean reward"), ("right", "right answers"), ("valid", "valid plans")):
        values = [record[name] for record in records]
        line = left.plot(steps, _smooth(values), label=label)[0]
        left.plot(steps, values, color=line.get_color(), alpha=0.25, linewidth=0.8)
    left.set(xlabel="step", ylim=(0, 1.03), title=f"Sampled plans of training questions (mean of {_WINDOW} steps)")
    left.legend()
    for name, label in (("zero_variance", "groups without variance"), ("lossy", "plans that lose results")):
        right.plot(steps, _smooth([record[name] for record in records]), label=label)
    right.set(xlabel="step", ylim=(-0.03, 1.03), title="What the steps could learn from")
    right.legend()
    return figure
