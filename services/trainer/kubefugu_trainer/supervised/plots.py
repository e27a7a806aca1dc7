"""Pictures of a supervised run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from kubefugu_trainer.runs.files import replace_file
from kubefugu_trainer.supervised.config import SupervisedConfig
from kubefugu_trainer.supervised.folds import GradientFold
from kubefugu_trainer.supervised.search import Choice


def write(folder: Path, *, choice: Choice, folds: Sequence[GradientFold], config: SupervisedConfig) -> None:
    """Write learning_curves.png and candidates.png."""
    save(folder / "learning_curves.png", _curves(choice, folds))
    save(folder / "candidates.png", _candidates(choice, config))


def save(path: Path, figure: Figure) -> None:
    """Write a figure, complete or absent, and let go of it."""
    with replace_file(path) as file:
        figure.savefig(file, format="png", dpi=120, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)


def _curves(choice: Choice, folds: Sequence[GradientFold]) -> Figure:
    figure, axes = plt.subplots(figsize=(6, 4))
    for number, fold in enumerate(folds):
        curve = fold.curves[:, choice.setting]
        axes.plot(np.arange(1, len(curve) + 1), curve, label=f"fold {number}")
    axes.set(xlabel="epoch", ylabel="expected reward on validation rows", title="Learning curves of the chosen setting")
    axes.legend()
    return figure


def _candidates(choice: Choice, config: SupervisedConfig) -> Figure:
    figure, axes = plt.subplots(figsize=(6, 4))
    for tau in config.taus:
        rows = [row for row in choice.table if row.get("tau") == tau]
        axes.semilogx(
            [float(r["penalty"]) for r in rows], [float(r["reward"]) for r in rows], marker="o", label=f"KL, tau {tau:g}"
        )
    strength = choice.mix.strength
    ridge = [r for r in choice.table if r["kind"] == "ridge" and r.get("strength") == strength]
    axes.semilogx([float(r["penalty"]) for r in ridge], [float(r["reward"]) for r in ridge], marker="s", label="least squares")
    shares = [float(r["reward"]) for r in choice.table if r["kind"] == "mix" and r.get("strength") == strength]
    if shares:
        axes.axhline(max(shares), linestyle="--", color="tab:green", label="least squares, rewards mixed with means of kinds")
    axes.axhline(choice.reward, linestyle=":", color="grey", label=f"chosen: {choice.kind}")
    axes.set(xlabel="penalty", ylabel="out-of-fold reward of the argmax", title="Candidates")
    axes.legend()
    return figure
