"""`train evolve`: a head, and on request offsets, by sep-CMA-ES on an outcome table or on live episodes."""

from __future__ import annotations

import sys
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from kubefugu_trainer.commands.episodes import (
    HeldOut,
    MaxTokens,
    Pool,
    Replies,
    Tasks,
    TaskSeed,
    TrainQuestions,
    Turns,
    WorkerTemperature,
)
from kubefugu_trainer.commands.options import Progress, Seed, Threads, Workers, names


def evolve(
    out: Annotated[
        str, typer.Option("--out", help="Run directory or fsspec URL; the same arguments continue a run that was cut off.")
    ],
    data: Annotated[
        Path | None, typer.Option("--data", help="Outcome table, parquet or JSON lines; or --pool for live episodes.")
    ] = None,
    backbone: Annotated[
        str,
        typer.Option("--backbone", help="Hub id, directory, GGUF file or a catalogue name; episodes: as --init."),
    ] = "",
    init: Annotated[
        Path | None, typer.Option("--init", help="Artifact, or run directory, that the search starts from; none: zeros.")
    ] = None,
    pool: Pool = None,
    tasks: Tasks = "default",
    n: TrainQuestions = 64,
    held_out: HeldOut = 64,
    task_seed: TaskSeed = 0,
    turns: Turns = 3,
    max_tokens: MaxTokens = 64,
    worker_temperature: WorkerTemperature = 0.0,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0.0, help="Episodes: worker and role are sampled so in training; 0: argmax.")
    ] = 0.0,
    turn_weight: Annotated[float, typer.Option("--turn-weight", min=0.0, help="Episodes: weight of unused turns.")] = 0.10,
    role_margin: Annotated[
        float, typer.Option("--role-margin", help="Episodes: lead of `solve, then verify` where --init has no role rows.")
    ] = 0.2,
    replies: Replies = None,
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
    status: Annotated[
        str, typer.Option("--status", help="HOST:PORT of an HTTP endpoint with the run's status as JSON; default: none.")
    ] = "",
    seed: Seed = 42,
    threads: Threads = 0,
    progress: Progress = "auto",
) -> None:
    """Search a router's head, and on request singular-value offsets, with sep-CMA-ES; writes a run directory."""
    from kubefugu_core.errors import DataError
    from kubefugu_trainer.evolution.assemble import configuration
    from kubefugu_trainer.evolution.run import Limits
    from kubefugu_trainer.evolution.stopping import STOPPED_EXIT, RunStoppedError, stop_on_signals
    from kubefugu_trainer.runs.mirror import Mirror, is_url
    from kubefugu_trainer.runs.progress import reporter
    from kubefugu_trainer.runs.status import StatusServer

    if (data is None) == (pool is None):
        raise DataError("Either --data TABLE or --pool FILE says what fitness is measured on.", field="data")

    config = configuration(
        generations=generations, population=population or None, sigma=sigma, seed=seed, batch=batch,
        offsets="none" if head_only else offsets, scaling=scaling, common_random_numbers=common_random_numbers, subset=subset,
        sample=sample, entropy_weight=entropy_weight, cost_weight=cost_weight,
    )  # fmt: skip
    stop = threading.Event()
    mirror = Mirror(out) if is_url(out) else None
    folder = mirror.pull() if mirror is not None else Path(out)

    def saved(_: object) -> None:
        if mirror is not None:
            mirror.push()

    try:
        with stop_on_signals(stop), StatusServer(status, folder) if status else nullcontext():
            limits, told = Limits(stop), reporter(progress)
            if data is not None:
                from kubefugu_trainer.evolution.assemble import Order, execute

                if not backbone:
                    raise DataError("--data needs --backbone.", field="backbone")
                order = Order(
                    data=data, backbone=backbone, out=folder, init=init, workers=names(workers), input_format=input_format,
                    broker=broker, threads=threads,
                )  # fmt: skip
                artifact = execute(config, order, reporter=told, limits=limits, on_progress=saved)
            else:
                from kubefugu_trainer.episodes import assemble as live

                if init is None or pool is None:
                    raise DataError("Live episodes start from a stage-1 artifact: --init.", field="init")
                episodes = live.episode_configuration(
                    tasks=tasks, train=n, held_out=held_out, task_seed=task_seed, turns=turns, max_tokens=max_tokens,
                    worker_temperature=worker_temperature, policy_temperature=temperature, turn_weight=turn_weight,
                    role_margin=role_margin,
                )  # fmt: skip
                started = live.EpisodeOrder(
                    pool=pool, init=init, out=folder, backbone=backbone, replies=replies, broker=broker, threads=threads
                )
                artifact = live.execute(config, episodes, started, reporter=told, limits=limits, on_progress=saved)
    except RunStoppedError as stopped:
        print(f"kubefugu: {stopped.message}", file=sys.stderr)
        raise typer.Exit(STOPPED_EXIT) from None
    print(f"{mirror.url}/{artifact.name}" if mirror is not None else artifact)
