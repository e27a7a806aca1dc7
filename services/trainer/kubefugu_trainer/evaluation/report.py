"""Shows an evaluation: table for people, JSON for programs, a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from rich.console import Console
from rich.table import Table

from kubefugu_trainer.supervised.plots import save

Figures = Mapping[str, Mapping[str, Any]]
_COLOURS = {"router": "tab:blue", "oracle": "tab:grey", "oracle_crossfit": "tab:grey"}


def show(console: Console, figures: Figures) -> None:
    """Print one line a method, and the router's tests below."""
    with_cost = any(values["cost"] is not None for values in figures.values())
    table = Table(title=f"Held-out accuracy, n = {figures['router']['n']}", title_justify="left")
    for name in ("method", "accuracy %", "95 % interval", "regret", "ECE", *(["cost, USD"] if with_cost else [])):
        table.add_column(name, justify="left" if name == "method" else "right", no_wrap=True)
    for name, values in figures.items():
        low, high = values["ci95"]
        cells = [
            name, f"{100 * values['accuracy']:.1f}", f"{100 * low:.1f} - {100 * high:.1f}", f"{values['regret']:.3f}",
            f"{values['ece']:.3f}" if "ece" in values else "",
        ]  # fmt: skip
        cost = [] if not with_cost else ["" if values["cost"] is None else f"{values['cost']:.3g}"]
        table.add_row(*cells, *cost, style="bold" if name == "router" else None)
    console.print(table)
    router = figures["router"]
    for other in ("best_single", "knn", "best_per_label"):
        if f"p_vs_{other}" in router:
            test = "McNemar" if router[f"mcnemar_p_vs_{other}"] is not None else "paired bootstrap"
            gain = 100 * router[f"gain_vs_{other}"]
            console.print(f"router - {other}: {gain:+.1f} points, p = {router[f'p_vs_{other}']:.2g} ({test})", highlight=False)
    for name, values in router.get("right_kind", {}).items():
        console.print(f"right kind of worker, {name}: {100 * values['share']:.1f} % of {values['n']}", highlight=False)
    for kind, values in router.get("robustness", {}).items():
        same, accuracy = 100 * values["same_route"], 100 * values["accuracy"]
        console.print(f"under {kind}: same worker {same:.1f} %, accuracy {accuracy:.1f} % (n = {values['n']})", highlight=False)


def plot(path: Path, figures: Figures) -> None:
    """A bar for each method with its interval, and the router's accuracy by label beside it."""
    labels = figures["router"].get("per_group", {})
    figure, panels = plt.subplots(1, 2 if labels else 1, figsize=(11 if labels else 6, 4), squeeze=False)
    axes = panels[0][0]
    names = list(figures)
    middle = [100 * figures[name]["accuracy"] for name in names]
    errors = [
        [100 * max(0.0, figures[n]["accuracy"] - figures[n]["ci95"][0]) for n in names],
        [100 * max(0.0, figures[n]["ci95"][1] - figures[n]["accuracy"]) for n in names],
    ]
    axes.barh(names, middle, xerr=errors, color=[_COLOURS.get(name, "tab:orange") for name in names], capsize=3)
    axes.invert_yaxis()
    axes.set(xlabel="accuracy, %", title="Held-out accuracy with 95 % intervals")
    if labels:
        axes = panels[0][1]
        keys = list(labels)
        axes.barh(
            [f"{key} ({labels[key]['n']})" for key in keys], [100 * labels[key]["accuracy"] for key in keys], color="tab:blue"
        )
        axes.plot([100 * labels[key]["best_single"] for key in keys], range(len(keys)), "kx", label="best single worker")
        axes.invert_yaxis()
        axes.legend()
        axes.set(xlabel="accuracy, %", title="Router by label")
    figure.tight_layout()
    save(path, figure)
