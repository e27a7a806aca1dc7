"""`eval-conductor`: fugu-ultra against its alternatives, at equal spend."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from kubefugu_trainer.commands.options import Progress, Workers, names


def eval_conductor(
    pool: Annotated[Path, typer.Option("--pool", help="WorkerPool file whose workers have URLs, e.g. of a running stack.")],
    out: Annotated[Path, typer.Option("--json", help="Report; <report>.journal.jsonl keeps the answers.")],
    url: Annotated[str, typer.Option("--url", help="The gateway's OpenAI API.")] = "http://127.0.0.1:8080/v1",
    tasks: Annotated[
        str, typer.Option("--tasks", help="pairs (two-part questions), default, field names, rg:NAME or question files.")
    ] = "pairs",
    n: Annotated[int, typer.Option("--n", min=2, help="Held-out questions.")] = 100,
    baseline_n: Annotated[
        int, typer.Option("--baseline-n", min=0, help="So many of them for self-consistency and static plans; 0: all.")
    ] = 0,
    workers: Workers = None,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Longest answer of one call.")] = 64,
    max_samples: Annotated[int, typer.Option("--max-samples", min=1, help="Most samples of self-consistency.")] = 16,
    timeout: Annotated[int, typer.Option("--timeout", min=1, help="Seconds for one request.")] = 300,
    single_first: Annotated[bool, typer.Option("--single-first", help="Workers and fugu before fugu-ultra.")] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the questions.")] = 7,
    progress: Progress = "auto",
) -> None:
    """Ask every method the same held-out questions; prints a table with intervals, spend and paired tests."""
    from kubefugu_core.pool import load_pool
    from kubefugu_trainer.equal_spend.methods import ULTRA
    from kubefugu_trainer.equal_spend.report import table
    from kubefugu_trainer.equal_spend.run import Comparison, Evaluation
    from kubefugu_trainer.runs.progress import reporter

    comparison = Comparison(
        tasks=tasks, n=n, baseline_n=baseline_n, seed=seed, max_tokens=max_tokens, max_samples=max_samples, timeout_s=timeout
    )

    async def run() -> str:
        says = reporter(progress)
        chosen = names(workers)
        evaluation = Evaluation(
            comparison, load_pool(pool), url=url, out=out, reporter=says, workers=chosen, single_first=single_first
        )
        return table(await evaluation.run(), against=ULTRA)

    print(asyncio.run(run()))
