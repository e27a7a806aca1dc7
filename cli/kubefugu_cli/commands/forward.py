"""Commands of the trainer, `train`, `eval`, `outcomes` and others: arguments go there unread; no ML package is needed here."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

import typer

_FORWARDED = {
    "train": "Train routers and Conductors (kubefugu train --help).",
    "eval": "Evaluate a head artifact on an outcome table (kubefugu eval --help).",
    "eval-conductor": "Compare fugu-ultra with its alternatives at equal spend (kubefugu eval-conductor --help).",
    "outcomes": "Measure outcome tables from live workers (kubefugu outcomes --help).",
}

POLICY_FORWARDED = {
    "add-worker": "Give a worker a row in a head artifact (kubefugu policy add-worker --help).",
    "select-workers": "Take rows out of a head artifact or re-order them (kubefugu policy select-workers --help).",
}
"""Below `kubefugu policy`: they change artifacts, which needs the backbone."""


def trainer_command(name: str, arguments: list[str]) -> list[str]:
    """The command line of the trainer. -P: what lies in the working directory is no module, whatever it is called."""
    return [sys.executable, "-P", "-m", "kubefugu_trainer", name, *arguments]


def register(app: typer.Typer, commands: Mapping[str, str] = _FORWARDED) -> None:
    """Add commands, name -> help, that go to the trainer's command of that name."""
    for name, text in commands.items():
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
