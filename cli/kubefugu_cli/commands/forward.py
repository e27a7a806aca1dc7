"""`train`, `eval` and `outcomes` are the trainer's: the arguments go there unread, so that this command needs no ML package."""

from __future__ import annotations

import os
import sys

import typer

_FORWARDED = {
    "train": "Train routers and Conductors (kubefugu train --help).",
    "eval": "Evaluate a head artifact on an outcome table (kubefugu eval --help).",
    "eval-conductor": "Compare fugu-ultra with its alternatives at equal spend (kubefugu eval-conductor --help).",
    "outcomes": "Measure outcome tables from live workers (kubefugu outcomes --help).",
}


def trainer_command(name: str, arguments: list[str]) -> list[str]:
    """The command line of the trainer."""
    return [sys.executable, "-m", "kubefugu_trainer", name, *arguments]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for name, text in _FORWARDED.items():
        app.command(
            name,
            help=text,
            add_help_option=False,
            context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
        )(_forward)


def _forward(context: typer.Context) -> None:
    from importlib.util import find_spec

    from kubefugu_cli.console import fail

    if find_spec("kubefugu_trainer") is None:
        fail("The trainer is not installed: pip install 'kubefugu[train]', or `make install-dev` in a checkout.")
    command = trainer_command(str(context.info_name), context.args)
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 - our own interpreter; signals and exit code are the trainer's
