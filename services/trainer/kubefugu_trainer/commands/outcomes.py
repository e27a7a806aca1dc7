"""`outcomes collect`: an outcome table measured from live workers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from kubefugu_trainer.commands.options import Data, Progress, Seed, Workers, names

app = typer.Typer(help="Outcome tables: measured from live workers, or imported from public corpora.", no_args_is_help=True)


@app.command()
def collect(
    pool: Annotated[Path, typer.Option("--pool", help="WorkerPool file whose workers have URLs.")],
    out: Annotated[
        Path, typer.Option("--out", help="Table to write (.parquet or .jsonl); <out>.journal.jsonl keeps the answers.")
    ],
    tasks: Annotated[
        str, typer.Option("--tasks", help="default, field names, rg:NAME or question files, comma-separated.")
    ] = "default",
    n: Annotated[int, typer.Option("--n", min=1, help="Number of questions.")] = 1000,
    repeats: Annotated[int, typer.Option("--repeats", min=1, max=100, help="Answers of each worker to each question.")] = 1,
    split: Annotated[
        str, typer.Option("--split", help="auto (70 % train, 30 % test), or train, valid, test for all.")
    ] = "auto",
    workers: Workers = None,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Longest answer.")] = 128,
    temperature: Annotated[float, typer.Option("--temperature", min=0.0, max=2.0, help="Sampling temperature.")] = 0.7,
    max_cost: Annotated[
        float | None, typer.Option("--max-cost", min=0.0, help="US dollars that all answers together may cost.")
    ] = None,
    replies: Annotated[
        Path | None, typer.Option("--replies", help="Reply cache of `train evolve` to read and fill (temperature 0 only).")
    ] = None,
    seed: Seed = 0,
    progress: Progress = "auto",
) -> None:
    """Ask every worker every question and score the answers. The same command goes on where an earlier one ended."""
    from kubefugu_core.pool import load_pool
    from kubefugu_trainer.outcomes.measure import Plan, measure
    from kubefugu_trainer.runs.progress import reporter

    plan = Plan(
        tasks=tasks, n=n, repeats=repeats, split=split, workers=names(workers), max_tokens=max_tokens, temperature=temperature,
        max_cost_usd=max_cost, seed=seed,
    )  # fmt: skip
    summary = asyncio.run(measure(load_pool(pool), plan, out=out, reporter=reporter(progress), replies=replies))
    print(summary)


@app.command("import")
def import_(
    sources: Annotated[list[Path], typer.Argument(help="Files of the corpus, or folders that hold them.")],
    fmt: Annotated[str, typer.Option("--format", help="routerbench, mmlupro, zeroeval or routellm.")],
    out: Annotated[Path, typer.Option("--out", help="Table to write (.parquet or .jsonl).")],
    workers: Workers = None,
    coverage: Annotated[
        float, typer.Option("--coverage", min=0.0, max=1.0, help="Share of the questions that a worker must have answered.")
    ] = 0.95,
) -> None:
    """Make an outcome table from a public corpus in its own format; 70 % of the questions are for training, by their hash."""
    from kubefugu_trainer.outcomes.importers import import_table

    table = import_table(fmt, sources, out, workers=names(workers), coverage=coverage)
    for sentence in table.notes:
        print(sentence)
    print(f"{out}: {len(table)} questions, {len(table.workers)} workers, {len(table.rows('train'))} for training.")


@app.command()
def strengths(
    data: Data,
    out: Annotated[Path, typer.Option("--json", help="File for the executor's STRENGTHS_FILE.")],
    least: Annotated[int, typer.Option("--least", min=1, help="Fewest questions of a group that say anything.")] = 10,
) -> None:
    """Mean measured score of each worker per group: what the Conductor's planner is told of the workers."""
    from kubefugu_trainer.outcomes.reader import read_table
    from kubefugu_trainer.outcomes.strengths import strengths_of
    from kubefugu_trainer.runs.files import write_json

    found = strengths_of(read_table(data), least=least)
    write_json(out, found)
    print(f"{out}: {sum(len(groups) for groups in found.values())} scores of {len(found)} workers")
