"""`chat`, `route` and `plan`: ask the stack, or ask why it would decide as it does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kubefugu_cli.commands.options import ApiKey, Json, Router, StackName, Url
from kubefugu_cli.stack.layout import DEFAULT_NAME

Effort = Annotated[str, typer.Option("--effort", help="reasoning_effort: low, medium or high.")]
Question = Annotated[str, typer.Argument(metavar="QUESTION")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(chat)
    app.command()(route)
    app.command()(plan)


def chat(
    message: Annotated[str, typer.Argument(metavar="[MESSAGE]", help="Ask this and end; without it, talk.")] = "",
    model: Annotated[str, typer.Option("--model", "-m", help="fugu, fugu-ultra or a worker's name.")] = "fugu",
    system: Annotated[str, typer.Option("--system", help="System prompt.")] = "",
    effort: Effort = "",
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=0, help="Upper bound of an answer; 0: none.")] = 0,
    url: Url = "",
    api_key: ApiKey = "",
    name: StackName = DEFAULT_NAME,
    json_output: Json = False,
) -> None:
    """Talk to the models, or ask one question; shows which worker answered."""
    from kubefugu_cli import chatting
    from kubefugu_cli.commands.options import gateway_url

    options = {"reasoning_effort": effort or None, "max_tokens": max_tokens or None}
    chatting.run(
        message=message,
        model=model,
        system=system,
        options={key: value for key, value in options.items() if value is not None},
        url=gateway_url(url, name),
        api_key=api_key,
        json_output=json_output,
    )


def route(
    question: Question,
    explain: Annotated[
        bool, typer.Option("--explain", help="Tokens, logits, probabilities, masked rows, other policies.")
    ] = False,
    allow: Annotated[list[str] | None, typer.Option("--allow", help="Only these workers; repeatable.")] = None,
    version: Annotated[str, typer.Option("--version", help="Policy version; default: the active one.")] = "",
    pool_file: Annotated[str, typer.Option("--pool", help="Pool file; default: that of the running stack.")] = "",
    router: Router = "",
    name: StackName = DEFAULT_NAME,
    json_output: Json = False,
) -> None:
    """Ask the router which worker it would choose, without asking the worker."""
    from kubefugu_cli import explaining
    from kubefugu_cli.commands.options import service_target

    target = service_target(router, name, "router")
    reply = explaining.ask(target, question, pool=explaining.pool_of(pool_file, name), allow=allow or [], version=version)
    if json_output:
        explaining.show_json(reply)
    elif explain:
        explaining.show(reply)
    else:
        explaining.show_short(reply)


def plan(
    question: Question,
    explain: Annotated[bool, typer.Option("--explain", help="What was wrong with the planner's output, and its cost.")] = False,
    pool_file: Annotated[str, typer.Option("--pool", help="Pool file; default: that of the running stack.")] = "",
    planner: Annotated[str, typer.Option("--planner", help="Worker that plans; default: the Conductor's.")] = "",
    svg: Annotated[str, typer.Option("--svg", metavar="FILE", help="Draw the workflow into a file.")] = "",
    conductor: Annotated[
        str,
        typer.Option("--conductor", envvar="KUBEFUGU_CONDUCTOR_TARGET", help="gRPC address; default: the local stack's."),
    ] = "",
    name: StackName = DEFAULT_NAME,
    json_output: Json = False,
) -> None:
    """Ask the Conductor for a workflow, without running it."""
    from kubefugu_cli import explaining, planning
    from kubefugu_cli.commands.options import service_target

    target = service_target(conductor, name, "conductor")
    reply = planning.ask(target, question, pool=explaining.pool_of(pool_file, name), planner=planner)
    planning.show(reply, explain=explain, json_output=json_output)
    if svg:
        planning.draw(reply, Path(svg), title=question)
