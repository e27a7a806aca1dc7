"""`train evolve`: a head, and on request offsets, from an outcome table by sep-CMA-ES."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from kubefugu_trainer.commands.options import Data, Progress, Seed, Threads, Workers, names


def evolve(
    data: Data,
    backbone: Annotated[str, typer.Option("--backbone", help="Hub id, directory, GGUF file or a name of `kubefugu models`.")],
    out: Annotated[Path, typer.Option("--out", help="Run directory; the same arguments continue a run that was cut off.")],
    init: Annotated[
        Path | None, typer.Option("--init", help="Artifact, or run directory, that the search starts from; none: zeros.")
    ] = None,
    generations: Annotated[int, typer.Option("--generations", min=1, help="Generations.")] = 60,
    population: Annotated[int, typer.Option("--population", min=0, help="Candidates a generation; 0: 4 + 3 ln N.")] = 0,
    sigma: Annotated[float, typer.Option("--sigma", help="Step size at the start, in units of --scaling.")] = 0.03,
    batch: Annotated[int, typer.Option("--batch", min=0, help="Questions of a generation; 0: all training questions.")] = 64,
    offsets: Annotated[
        str, typer.Option("--offsets", help="none (head alone), layer (and the adapted layer) or all (and the embedding).")
    ] = "none",
    head_only: Annotated[bool, typer.Option("--head-only", help="The same as --offsets none.")] = False,
    scaling: Annotated[
        str, typer.Option("--scaling", help="Unit of a head coordinate: none (1) or features (spread of logits / rms).")
    ] = "none",
    subset: Annotated[int, typer.Option("--subset", min=0, help="Workers offered per question, drawn anew; 0: all.")] = 0,
    sample: Annotated[bool, typer.Option("--sample", help="Sample workers instead of taking the best.")] = False,
    common_random_numbers: Annotated[
        bool, typer.Option(help="The same questions and noise for all candidates of a generation.")
    ] = True,
    entropy_weight: Annotated[float, typer.Option("--entropy-weight", min=0.0, help="Weight of the choice's entropy.")] = 0.15,
    cost_weight: Annotated[float, typer.Option("--cost-weight", min=0.0, help="Weight of the mean cost in US dollars.")] = 0.0,
    workers: Workers = None,
    input_format: Annotated[str, typer.Option("--format", help="auto, raw or chat.")] = "auto",
    broker: Annotated[
        str | None, typer.Option("--broker", help="Redis URL: candidates are measured by `evaluator` processes.")
    ] = None,
    seed: Seed = 42,
    threads: Threads = 0,
    progress: Progress = "auto",
) -> None:
    """Search a router's head, and on request singular-value offsets, with sep-CMA-ES; writes a run directory."""
    from kubefugu_trainer.evolution.assemble import Order, configuration, execute
    from kubefugu_trainer.evolution.run import Limits
    from kubefugu_trainer.evolution.stopping import STOPPED_EXIT, RunStoppedError, stop_on_signals
    from kubefugu_trainer.runs.progress import reporter

    config = configuration(
        generations=generations, population=population or None, sigma=sigma, seed=seed, batch=batch,
        offsets="none" if head_only else offsets, scaling=scaling, common_random_numbers=common_random_numbers, subset=subset,
        sample=sample, entropy_weight=entropy_weight, cost_weight=cost_weight,
    )  # fmt: skip
    order = Order(
        data=data, backbone=backbone, out=out, init=init, workers=names(workers), input_format=input_format, broker=broker,
        threads=threads,
    )  # fmt: skip
    stop = threading.Event()
    try:
        with stop_on_signals(stop):
            artifact = execute(config, order, reporter=reporter(progress), limits=Limits(stop))
    except RunStoppedError as stopped:
        print(f"kubefugu: {stopped.message}", file=sys.stderr)
        raise typer.Exit(STOPPED_EXIT) from None
    print(artifact)
