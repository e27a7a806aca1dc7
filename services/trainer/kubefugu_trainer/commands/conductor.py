"""`train conductor`: a planner by format warm start and GRPO against a live pool."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Annotated, Any

import typer

from kubefugu_trainer.commands.options import Progress, Seed, Threads, Workers, names


def conductor(
    pool: Annotated[Path, typer.Option("--pool", help="WorkerPool file whose workers have URLs, e.g. of a running stack.")],
    backbone: Annotated[str, typer.Option("--backbone", help="Hub id, directory, GGUF file or a name of `kubefugu models`.")],
    out: Annotated[Path, typer.Option("--out", help="Run directory; the same arguments continue a run that was cut off.")],
    tasks: Annotated[
        str,
        typer.Option(
            "--tasks",
            help="pairs (two-part questions), mixed (and single ones), default, field names, rg:NAME or question files.",
        ),
    ] = "pairs",
    workers: Workers = None,
    init: Annotated[Path | None, typer.Option("--init", help="Artifact to go on from (e.g. for --gamma).")] = None,
    questions: Annotated[int, typer.Option("--questions", min=4, help="Training questions.")] = 400,
    held_out: Annotated[int, typer.Option("--held-out", min=2, help="Held-out questions, measured before and after.")] = 100,
    measure_sampled: Annotated[bool, typer.Option(help="Measure sampled plans too, not only greedy ones.")] = True,
    adapter: Annotated[str, typer.Option("--adapter", help="lora or full.")] = "lora",
    rank: Annotated[int, typer.Option("--rank", min=1, help="Rank of the LoRA factors.")] = 16,
    layers: Annotated[int, typer.Option("--layers", min=0, help="LoRA on so many layers from the top; 0: all.")] = 0,
    dtype: Annotated[str, typer.Option("--dtype", help="float32 or bfloat16, of the frozen weights.")] = "float32",
    style: Annotated[
        str, typer.Option("--style", help="steps or full: the planner's prompt, in training and serving.")
    ] = "steps",
    max_steps: Annotated[int, typer.Option("--max-steps", min=1, max=20, help="Most steps of a plan.")] = 5,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=16, help="Longest plan.")] = 160,
    least_workers: Annotated[int, typer.Option("--least-workers", min=1, help="Fewest workers offered.")] = 3,
    most_workers: Annotated[int, typer.Option("--most-workers", min=1, help="Most workers offered.")] = 6,
    gamma: Annotated[
        float, typer.Option("--gamma", min=0.0, max=1.0, help="Share of questions at which it may name itself (recursion).")
    ] = 0.0,
    warm_examples: Annotated[int, typer.Option("--warm-examples", min=0, help="Plans of the warm start; 0: none.")] = 256,
    warm_epochs: Annotated[int, typer.Option("--warm-epochs", min=1, help="Passes over them.")] = 2,
    warm_batch: Annotated[int, typer.Option("--warm-batch", min=1, help="Plans in one step of the warm start.")] = 8,
    warm_lr: Annotated[float, typer.Option("--warm-lr", help="Learning rate of the warm start.")] = 5e-4,
    search_tries: Annotated[
        int,
        typer.Option("--search-tries", min=0, help="Random plans tried for each question; right ones are taught."),
    ] = 0,
    search_questions: Annotated[
        int, typer.Option("--search-questions", min=0, help="So many of the training questions; 0: all.")
    ] = 0,
    search_epochs: Annotated[int, typer.Option("--search-epochs", min=1, help="Passes over the plans that were found.")] = 2,
    steps: Annotated[int, typer.Option("--steps", min=0, help="GRPO steps.")] = 60,
    questions_per_step: Annotated[int, typer.Option("--questions-per-step", min=1, help="Questions a step.")] = 4,
    group: Annotated[int, typer.Option("--group", min=2, help="Plans a question.")] = 8,
    micro_batch: Annotated[int, typer.Option("--micro-batch", min=1, help="Plans in one pass.")] = 8,
    iterations: Annotated[int, typer.Option("--iterations", min=1, help="Passes over each batch of plans.")] = 1,
    lr: Annotated[float, typer.Option("--lr", help="Learning rate of GRPO.")] = 1e-4,
    temperature: Annotated[float, typer.Option("--temperature", help="Sampling temperature of rollouts.")] = 1.0,
    answer_tokens: Annotated[int, typer.Option("--answer-tokens", min=0, help="Longest reply in a rollout; 0: unbounded.")] = 0,
    failover: Annotated[bool, typer.Option(help="Replace a worker that declines in rollouts too, as serving does.")] = False,
    simple_steps: Annotated[
        int, typer.Option("--simple-steps", min=0, help="First GRPO steps, about questions of one sentence.")
    ] = 0,
    cost_weight: Annotated[float, typer.Option("--cost-weight", min=0.0, help="Reward that one US dollar costs.")] = 0.0,
    call_weight: Annotated[float, typer.Option("--call-weight", min=0.0, help="Reward that one worker call costs.")] = 0.0,
    oversample: Annotated[
        int, typer.Option("--oversample", min=1, help="Sample so many times the questions, learn from the contested.")
    ] = 2,
    contested: Annotated[bool, typer.Option(help="Prefer questions whose last group disagreed.")] = True,
    grpo_minutes: Annotated[
        float,
        typer.Option("--grpo-minutes", min=0.0, help="GRPO's last step is the one that ends after so long; 0: all steps."),
    ] = 0.0,
    broker: Annotated[
        str | None, typer.Option("--broker", help="Redis URL: plans are executed by `evaluator` processes.")
    ] = None,
    save_every: Annotated[int, typer.Option("--save-every", min=1, help="Steps between checkpoints.")] = 5,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda or auto.")] = "auto",
    seed: Seed = 42,
    threads: Threads = 0,
    progress: Progress = "auto",
) -> None:
    """Train a planner (Conductor): valid plans first, then GRPO with plans that the serving code executes against the pool."""
    settings: dict[str, Any] = {
        name: value
        for name, value in locals().items()
        if name not in ("pool", "out", "workers", "init", "device", "threads", "progress", "grpo_minutes", "broker")
    }
    _run(
        settings, pool=pool, out=out, workers=names(workers), init=init, device=device, threads=threads, progress=progress,
        grpo_minutes=grpo_minutes, broker=broker,
    )  # fmt: skip


def _run(
    settings: dict[str, Any],
    *,
    pool: Path,
    out: Path,
    workers: tuple[str, ...] | None,
    init: Path | None,
    device: str,
    threads: int,
    progress: str,
    grpo_minutes: float,
    broker: str | None,
) -> None:
    from pydantic import ValidationError

    from kubefugu_core.errors import DataError
    from kubefugu_core.pool import load_pool
    from kubefugu_trainer.evolution.stopping import STOPPED_EXIT, RunStoppedError, stop_on_signals
    from kubefugu_trainer.grpo.config import ConductorConfig
    from kubefugu_trainer.grpo.model import found_device
    from kubefugu_trainer.grpo.run import ConductorRun, Surroundings
    from kubefugu_trainer.runs.directory import RunDirectory
    from kubefugu_trainer.runs.progress import reporter

    try:
        config = ConductorConfig.model_validate(settings)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{field}: {first['msg']}", field=field) from error
    live = load_pool(pool)
    frozen = {
        **config.model_dump(mode="json"),
        "algorithm": "conductor",
        "workers": list(workers) if workers else None,
        "pool": [[spec.name, spec.model] for spec in live.spec.workers],
        "init": str(init) if init else None,
    }
    stop = threading.Event()
    run = RunDirectory(out, config=frozen)
    try:
        with stop_on_signals(stop):
            says = reporter(progress)
            artifact = ConductorRun(
                config, live, run=run, reporter=says, stop=stop, workers=workers, init=init,
                around=Surroundings(
                    device=found_device(device), threads=threads or None, grpo_minutes=grpo_minutes, broker=broker
                ),
            ).execute()  # fmt: skip
    except RunStoppedError as stopped:
        print(f"kubefugu: {stopped.message}", file=sys.stderr)
        raise typer.Exit(STOPPED_EXIT) from None
    finally:
        run.close()
    print(artifact)
