"""`train supervised`: a head from an outcome table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kubefugu_trainer.commands.options import Data, Dtype, Progress, Seed, Threads, Workers, names, numbers


def supervised(
    data: Data,
    backbone: Annotated[str, typer.Option("--backbone", help="Hub id, directory, GGUF file or a name of `kubefugu models`.")],
    out: Annotated[Path, typer.Option("--out", help="Run directory; the same arguments continue a run that was cut off.")],
    workers: Workers = None,
    input_format: Annotated[str, typer.Option("--format", help="auto, raw or chat.")] = "auto",
    seed: Seed = 42,
    folds: Annotated[int, typer.Option("--folds", min=2, max=20, help="Validation folds carved from the training rows.")] = 5,
    taus: Annotated[str | None, typer.Option("--taus", help="Temperatures that are tried, comma-separated.")] = None,
    penalties: Annotated[str | None, typer.Option("--penalties", help="Penalties that are tried, comma-separated.")] = None,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Most epochs of a fit.")] = 40,
    cost_weight: Annotated[
        float, typer.Option("--cost-weight", min=0.0, help="Score that the dearest worker's cost is worth.")
    ] = 0.0,
    wording_rows: Annotated[
        int, typer.Option("--wording-rows", min=0, help="Training questions that are read in disturbed wordings, too; 0: none.")
    ] = 150,
    svf: Annotated[
        bool, typer.Option("--svf", help="Move the singular values of a layer together with the head, where that helps.")
    ] = False,
    svf_rows: Annotated[
        int, typer.Option("--svf-rows", min=20, help="Most training questions of --svf; their hidden states are in memory.")
    ] = 400,
    dtype: Dtype = "float32",
    threads: Threads = 0,
    progress: Progress = "auto",
) -> None:
    """Fit a router's head to measured outcomes (KL to softmax(score / tau)); writes a run directory with the artifact."""
    from pydantic import ValidationError

    from kubefugu_core.errors import DataError
    from kubefugu_core.settings import cache_home
    from kubefugu_trainer.features.extract import FeatureSource
    from kubefugu_trainer.outcomes.reader import read_table
    from kubefugu_trainer.runs.directory import RunDirectory
    from kubefugu_trainer.runs.progress import reporter
    from kubefugu_trainer.supervised.config import SupervisedConfig, SvfConfig
    from kubefugu_trainer.supervised.run import SupervisedRun, training_rows

    grid = {
        name: value
        for name, value in (("taus", numbers(taus, option="--taus")), ("penalties", numbers(penalties, option="--penalties")))
        if value is not None
    }
    try:
        config = SupervisedConfig.model_validate(
            {
                "data": str(data),
                "backbone": backbone,
                "workers": names(workers),
                "input_format": input_format,
                "seed": seed,
                "folds": folds,
                "epochs": epochs,
                "cost_weight": cost_weight,
                "wording_rows": wording_rows,
                **grid,
            }
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{field}: {first['msg']}", field=field) from error
    says = reporter(progress)
    table = read_table(data, workers=config.workers)
    for sentence in table.notes:
        says.note(sentence)
    training_rows(table)  # refused before a backbone is loaded
    source = FeatureSource(backbone, root=cache_home() / "features", reporter=says, threads=threads or None, dtype=dtype)
    frozen = {
        **config.model_dump(mode="json", exclude={"data", "backbone"}),
        "algorithm": "supervised",
        "data_sha256": table.sha256,
        "backbone_revision": source.backbone.info.revision,
        "feature_dtype": source.backbone.info.dtype,
    }
    offsets = SvfConfig(rows=svf_rows) if svf else None
    if offsets is not None:
        frozen["svf"] = offsets.model_dump(mode="json")
    run = RunDirectory(out, config=frozen)
    try:
        artifact = SupervisedRun(config, table, source=source, run=run, reporter=says, svf=offsets).execute()
    finally:
        run.close()
    print(artifact)
