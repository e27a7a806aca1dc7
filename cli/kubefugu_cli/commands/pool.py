"""`kubefugu pool`: pool files and their workers."""

from __future__ import annotations

from typing import Annotated

import typer

from kubefugu_cli.commands.options import Json, StackName
from kubefugu_cli.stack.layout import DEFAULT_NAME

app = typer.Typer(help="Pools: check their workers, list the ready ones.", no_args_is_help=True)


@app.command()
def check(
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="Pool file or ready pool; default: the running stack's.")] = "",
    question: Annotated[str, typer.Option("--question", help="What every worker is asked.")] = "What is the capital of France?",
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds that a worker has.")] = 60.0,
    name: StackName = DEFAULT_NAME,
    json_output: Json = False,
) -> None:
    """Call each worker once with a tiny request. Exit code 1 if one fails; a specialist that declines works."""
    from kubefugu_cli import checking

    pool = checking.pool_to_check(file, name)
    results = checking.check_pool(pool, question=question, timeout_s=timeout_s)
    checking.show(pool, results, json_output=json_output)
    if any(not result.works for result in results):
        raise typer.Exit(1)


@app.command("list")
def list_pools() -> None:
    """List the ready pool files."""
    from kubefugu_cli.console import out
    from kubefugu_cli.pools import ready_pools
    from kubefugu_core.pool import load_pool

    for path in sorted(ready_pools().glob("*.yaml")):
        workers = ", ".join(worker.name for worker in load_pool(path).spec.workers)
        out().print(f"{path.stem}: {workers}  ({path})", markup=False, soft_wrap=True)
