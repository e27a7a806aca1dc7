"""`add-worker` and `select-workers`: rows of a trained artifact, without training it again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kubefugu_trainer.commands.options import Progress, Seed, Threads

Artifact = Annotated[Path, typer.Option("--artifact", help="Artifact file, or the run directory that holds it.")]
Out = Annotated[Path, typer.Option("--out", help="Artifact file to write.")]


def add_worker(
    artifact: Artifact,
    worker: Annotated[str, typer.Option("--worker", help="Name of the worker that is added.")],
    out: Out,
    data: Annotated[
        Path | None, typer.Option("--data", help="Outcome table with scores of this worker and of some that have a row.")
    ] = None,
    model: Annotated[str, typer.Option("--model", help="Its model id; default: the table's or the pool's.")] = "",
    description: Annotated[str, typer.Option("--description", help="What it is good at, where there are no outcomes.")] = "",
    pool: Annotated[Path | None, typer.Option("--pool", help="WorkerPool file with descriptions of the workers.")] = None,
    backbone: Annotated[
        str | None, typer.Option("--backbone", help="Where the artifact's backbone is; default: by its name.")
    ] = None,
    seed: Seed = 42,
    threads: Threads = 0,
    progress: Progress = "auto",
) -> None:
    """Give a worker a row from its outcomes, or from its description; no other row is touched, and the artifact says so."""
    from kubefugu_core.errors import DataError
    from kubefugu_core.pool import load_pool
    from kubefugu_core.settings import cache_home
    from kubefugu_routing.policy import load_artifact
    from kubefugu_trainer.evaluation.run import artifact_file, backbone_reference
    from kubefugu_trainer.features.extract import FeatureSource
    from kubefugu_trainer.outcomes.reader import read_table
    from kubefugu_trainer.runs.artifacts import write_artifact
    from kubefugu_trainer.runs.progress import reporter
    from kubefugu_trainer.supervised.extend import Extension, NewWorker

    loaded = load_artifact(artifact_file(artifact))
    table = None if data is None else read_table(data)
    workers = {} if pool is None else {item.name: item for item in load_pool(pool).spec.workers}
    if worker in workers:
        description, model = description or workers[worker].description, model or workers[worker].model
    new = NewWorker(name=worker, model=model, description=description)
    if table is None and not (description.strip() and workers):
        raise DataError("Name a table with the worker's outcomes (--data), or a pool with descriptions (--pool).", field="data")
    source = FeatureSource(
        backbone or backbone_reference(loaded), root=cache_home() / "features", reporter=reporter(progress),
        threads=threads or None, dtype=str(loaded.training.get("feature_dtype", "float32")),
    )  # fmt: skip
    extension = Extension(loaded, source=source, seed=seed)
    if table is not None:
        wider = extension.from_outcomes(new, table)
    else:
        wider = extension.from_description(new, {name: item.description for name, item in workers.items()})
    write_artifact(out, wider)
    print(f"{out}: {worker} has a row from its {wider.training['added'][worker]['fitted_from']}.")


def select_workers(
    artifact: Artifact,
    workers: Annotated[str, typer.Option("--workers", help="Workers whose rows are kept, comma-separated, in this order.")],
    out: Out,
) -> None:
    """Take rows out of an artifact or bring them into another order; what the kept rows say stays bit-equal."""
    from kubefugu_routing.policy import load_artifact
    from kubefugu_trainer.commands.options import names
    from kubefugu_trainer.evaluation.run import artifact_file
    from kubefugu_trainer.runs.artifacts import write_artifact
    from kubefugu_trainer.supervised.rows import with_rows

    narrower = with_rows(load_artifact(artifact_file(artifact)), names(workers) or ())
    write_artifact(out, narrower)
    print(f"{out}: {', '.join(row.name for row in narrower.workers)}")
