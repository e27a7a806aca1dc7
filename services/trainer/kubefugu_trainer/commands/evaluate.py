"""`eval`: an artifact against its baselines on held-out rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kubefugu_trainer.commands.options import Data, Progress, Seed, Threads, Workers, names


def evaluate(
    data: Data,
    artifact: Annotated[Path, typer.Option("--artifact", help="Artifact file, or the run directory that holds it.")],
    json: Annotated[Path | None, typer.Option("--json", help="Write every method's figures to this file.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Write a picture (PNG) to this file.")] = None,
    workers: Workers = None,
    split: Annotated[str, typer.Option("--split", help="Rows that are evaluated: test or valid.")] = "test",
    backbone: Annotated[
        str | None, typer.Option("--backbone", help="Where the artifact's backbone is; default: by its name.")
    ] = None,
    robustness: Annotated[int, typer.Option("--robustness", min=0, help="Questions that are disturbed; 0: none.")] = 100,
    seed: Seed = 42,
    dtype: Annotated[
        str, typer.Option("--dtype", help="Of the backbone: float32, bfloat16, or auto (as the artifact was trained).")
    ] = "auto",
    threads: Threads = 0,
    progress: Progress = "auto",
) -> None:
    """Compare a router with random, best single, best per label, kNN, ridge, MLP and the oracle on the same held-out rows."""
    from rich.console import Console

    from kubefugu_core.errors import DataError
    from kubefugu_core.settings import cache_home
    from kubefugu_routing.policy import load_artifact
    from kubefugu_trainer.evaluation import report
    from kubefugu_trainer.evaluation.run import Evaluation, EvaluationConfig, artifact_file, backbone_reference
    from kubefugu_trainer.features.extract import FeatureSource
    from kubefugu_trainer.outcomes.reader import read_table
    from kubefugu_trainer.runs.files import write_json
    from kubefugu_trainer.runs.progress import reporter

    if split not in ("test", "valid"):
        raise DataError(
            f"--split takes test or valid, not {split!r}: the other rows are what the baselines learn on.", field="split"
        )
    says = reporter(progress)
    file = artifact_file(artifact)
    loaded = load_artifact(file)
    table = read_table(data)
    for sentence in table.notes:
        says.note(sentence)
    # What was trained is what is measured; a head that does not say was trained in float32.
    told = str(loaded.training.get("feature_dtype", "float32")) if dtype == "auto" else dtype
    source = FeatureSource(
        backbone or backbone_reference(loaded),
        root=cache_home() / "features",
        reporter=says,
        threads=threads or None,
        dtype=told,
    )
    config = EvaluationConfig(split=split, seed=seed, robustness_rows=robustness)
    figures = Evaluation(file, table, source=source, config=config, reporter=says, workers=names(workers)).figures()
    if json is not None:
        write_json(json, figures)
    if plot is not None:
        report.plot(plot, figures)
    report.show(Console(), figures)
