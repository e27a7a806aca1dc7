"""Options of live episodes, and `train compare`: artifacts on the same held-out episodes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kubefugu_trainer.commands.options import Progress, Seed, Threads

Pool = Annotated[Path | None, typer.Option("--pool", help="Episodes: WorkerPool file whose workers have URLs.")]
Tasks = Annotated[str, typer.Option("--tasks", help="Episodes: default, field names, json:NAME, rg:NAME or question files.")]
TrainQuestions = Annotated[int, typer.Option("--n", min=1, help="Episodes: training questions.")]
HeldOut = Annotated[int, typer.Option("--held-out", min=2, help="Episodes: held-out questions.")]
TaskSeed = Annotated[int, typer.Option("--task-seed", min=0, help="Episodes: seed that the questions are drawn with.")]
Turns = Annotated[int, typer.Option("--turns", min=1, max=20, help="Episodes: most turns.")]
MaxTokens = Annotated[int, typer.Option("--max-tokens", min=1, help="Episodes: longest reply.")]
WorkerTemperature = Annotated[
    float, typer.Option("--worker-temperature", min=0.0, max=2.0, help="Episodes: of the workers; replies are kept at 0 alone.")
]
Replies = Annotated[
    Path | None, typer.Option("--replies", help="Episodes: file that keeps replies; default: in the run directory.")
]


def compare(
    artifacts: Annotated[
        list[str], typer.Argument(help="NAME=PATH of two or more artifacts or run directories; the first against the others.")
    ],
    pool: Annotated[Path, typer.Option("--pool", help="WorkerPool file whose workers have URLs.")],
    tasks: Tasks = "default",
    n: TrainQuestions = 64,
    held_out: HeldOut = 64,
    task_seed: TaskSeed = 0,
    turns: Turns = 3,
    max_tokens: MaxTokens = 64,
    replies: Annotated[Path, typer.Option("--replies", help="File that keeps replies.")] = Path("replies.sqlite"),
    backbone: Annotated[str, typer.Option("--backbone", help="Default: the first artifact's.")] = "",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
    seed: Seed = 0,
    threads: Threads = 0,
    progress: Progress = "auto",
) -> None:
    """Play the held-out episodes of a run with several artifacts, as served: scores, paired interval and test."""
    from kubefugu_core.errors import DataError
    from kubefugu_trainer.episodes import assemble
    from kubefugu_trainer.runs.files import write_json
    from kubefugu_trainer.runs.progress import reporter

    named = dict(text.split("=", 1) for text in artifacts if "=" in text)
    if len(named) != len(artifacts) or len(named) < 2:
        raise DataError("Name two or more different artifacts as NAME=PATH.", field="artifacts")
    config = assemble.episode_configuration(
        tasks=tasks, train=n, held_out=held_out, task_seed=task_seed, turns=turns, max_tokens=max_tokens
    )
    figures = assemble.compare(
        config, {name: Path(path) for name, path in named.items()}, pool_file=pool, backbone=backbone, replies=replies,
        reporter=reporter(progress), threads=threads, seed=seed,
    )  # fmt: skip
    if json_file is not None:
        write_json(json_file, figures)
    print("\n".join(assemble.table(figures)))
