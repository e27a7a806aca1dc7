"""Small outcome tables for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from kubefugu_trainer.outcomes.table import OutcomeTable


def row(prompt: str = "What is it?", split: str = "train", **columns: Any) -> dict[str, Any]:
    """One JSON-lines row with two workers; `columns` use __ for the colon (score__alpha=0.5)."""
    base: dict[str, Any] = {"prompt": prompt, "split": split, "score:alpha": 1.0, "score:beta": 0.0}
    return base | {name.replace("__", ":"): value for name, value in columns.items()}


def write_rows(path: Path, *rows: dict[str, Any]) -> Path:
    """Write JSON lines."""
    path.write_text("".join(json.dumps(line) + "\n" for line in rows), encoding="utf-8")
    return path


WORDS = {"red": ("crimson", "scarlet", "ruby"), "blue": ("azure", "navy", "cobalt"), "green": ("olive", "emerald", "lime")}


def colour_table(count: int = 240, *, seed: int = 0, noise: float = 0.1, costs: bool = False) -> OutcomeTable:
    """Questions about colours; the worker named like the colour is right, save for noise. A third is the test split."""
    rng = np.random.default_rng(seed)
    workers = tuple(WORDS)
    kinds = [workers[int(rng.integers(len(workers)))] for _ in range(count)]
    prompts = [f"Tell me about {WORDS[kind][int(rng.integers(3))]} number {i}." for i, kind in enumerate(kinds)]
    scores = np.array([[float((worker == kind) != (rng.random() < noise)) for worker in workers] for kind in kinds])
    return OutcomeTable(
        workers=workers,
        messages=tuple((("user", prompt),) for prompt in prompts),
        splits=tuple("test" if i % 3 == 0 else "train" for i in range(count)),
        scores=scores,
        groups=tuple(kinds),
        slices=tuple("even" if i % 2 == 0 else "odd" for i in range(count)),
        costs=np.tile([0.001, 0.002, 0.004], (count, 1)) if costs else None,
        provenance={"models": {worker: f"{worker}-model" for worker in workers}, "kinds": {k: k for k in workers}},
    )
