"""`up`, `down` and `status`: the local stack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kubefugu_cli.commands.options import Json, StackName
from kubefugu_cli.stack.layout import DEFAULT_NAME


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(down)
    app.command()(status)


def up(
    pool: Annotated[str | None, typer.Option("--pool", help="Pool file, or a ready pool's name; default: `default`.")] = None,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port of the gateway.")] = 8080,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay until Ctrl-C, and end the stack then.")] = False,
    question: Annotated[str, typer.Option("--question", help="Asked at the end; empty: nothing is asked.")] = (
        "What is the capital of France?"
    ),
    head: Annotated[Path | None, typer.Option("--head", help="Head artifact of the router; default: the pool's own.")] = None,
    backbone: Annotated[
        str, typer.Option("--backbone", help="Router's backbone: a hub id, a folder, a GGUF file or a packaged model.")
    ] = "smollm2-135m-instruct",
    name: StackName = DEFAULT_NAME,
) -> None:
    """Start the whole stack on this machine and ask it one question."""
    from kubefugu_cli.stack.launch import UpOptions, up_stack
    from kubefugu_core.settings import cache_home

    options = UpOptions(pool=pool, port=port, foreground=foreground, question=question, head=head, backbone=backbone, name=name)
    raise typer.Exit(up_stack(options, home=cache_home()))


def down(name: StackName = DEFAULT_NAME) -> None:
    """End the local stack; safe to repeat."""
    from kubefugu_cli.console import err, fail, out
    from kubefugu_cli.stack.layout import StackLayout
    from kubefugu_cli.stack.stop import stop_stack
    from kubefugu_core.settings import cache_home

    with err().status("ending the local stack"):
        stopped = stop_stack(StackLayout.of(cache_home(), name))
    if stopped.left:
        fail(f"These processes live on: {', '.join(str(pid) for pid in stopped.left)}.")
    if stopped.ended:
        out().print(f"kubefugu is down; {stopped.ended} processes ended.")
    else:
        out().print("kubefugu is not running.")


def status(name: StackName = DEFAULT_NAME, json_output: Json = False) -> None:
    """Show the processes, the workers and the active policy. Exit code 1 where nothing runs."""
    from kubefugu_cli import statuses
    from kubefugu_cli.stack.layout import StackLayout
    from kubefugu_core.settings import cache_home

    raise typer.Exit(statuses.show(StackLayout.of(cache_home(), name), json_output=json_output))
