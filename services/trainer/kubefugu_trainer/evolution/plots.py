"""Pictures of an evolution run, and one page that holds them."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from kubefugu_trainer.runs.files import replace_file
from kubefugu_trainer.supervised.plots import save

Record = dict[str, Any]


def write(folder: Path, records: Sequence[Record], workers: Sequence[str], figures: Mapping[str, Any]) -> None:
    """Write fitness, sigma, worker_share, roles (episodes) and groups (where there are labels) as PNG, and index.html.

    `records`: the generations' figures; `figures`: the held-out ones.
    """
    pictures = {
        "fitness.png": _fitness(records),
        "sigma.png": _sigma(records),
        "worker_share.png": _shares(records, "shares", workers, "Worker choice"),
    }
    if records[0].get("roles"):
        pictures["roles.png"] = _shares(records, "roles", ("solver", "thinker", "verifier"), "Role choice")
    if figures.get("groups"):
        pictures["groups.png"] = _groups(figures["groups"])
    for name, figure in pictures.items():
        save(folder / name, figure)
    with replace_file(folder / "index.html") as file:
        file.write(_page(folder, list(pictures)).encode())


def _generations(records: Sequence[Record]) -> np.ndarray[Any, Any]:
    return np.array([record["generation"] for record in records])


def _fitness(records: Sequence[Record]) -> Figure:
    figure, axes = plt.subplots(figsize=(6, 4))
    values = [np.asarray(record["fitness"], dtype=np.float64) for record in records]
    x = _generations(records)
    axes.plot(x, [v.mean() for v in values], label="mean of the candidates")
    axes.fill_between(x, [v.min() for v in values], [v.max() for v in values], alpha=0.2, label="worst to best candidate")
    axes.plot(x, [float(np.mean(record["score"])) for record in records], linestyle="--", label="mean score alone")
    axes.set(xlabel="generation", ylabel="fitness", title="Fitness (training questions)")
    axes.legend()
    return figure


def _sigma(records: Sequence[Record]) -> Figure:
    figure, axes = plt.subplots(figsize=(6, 4))
    axes.semilogy(_generations(records), [record["sigma"] for record in records])
    axes.set(xlabel="generation", ylabel="sigma", title="Step size")
    return figure


def _shares(records: Sequence[Record], member: str, names: Sequence[str], title: str) -> Figure:
    figure, axes = plt.subplots(figsize=(6, 4))
    shares = np.array([record[member] for record in records], dtype=np.float64)
    axes.stackplot(_generations(records), shares.T, labels=list(names))
    axes.set(xlabel="generation", ylabel="share", title=title, ylim=(0, 1))
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _groups(groups: Mapping[str, Mapping[str, float]]) -> Figure:
    """Held-out accuracy of each label, start beside result."""
    figure, axes = plt.subplots(figsize=(6, 0.4 * len(groups) + 1.5))
    names = list(groups)
    series = [name for name in next(iter(groups.values())) if name != "items"]
    places = np.arange(len(names))
    height = 0.8 / len(series)
    for i, name in enumerate(series):
        axes.barh(places + i * height, [groups[label][name] for label in names], height=height, label=name)
    axes.set(xlabel="mean score, held-out questions", title="Accuracy by group", xlim=(0, 1))
    axes.set_yticks(places + 0.4 - height / 2, [f"{label} ({int(groups[label]['items'])})" for label in names])
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _page(folder: Path, names: Sequence[str]) -> str:
    images = "\n".join(
        f'<p><img alt="{html.escape(name)}" src="data:image/png;base64,'
        f'{base64.b64encode((folder / name).read_bytes()).decode()}"></p>'
        for name in names
    )
    return f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Evolution run</title>\n{images}\n</html>\n'
