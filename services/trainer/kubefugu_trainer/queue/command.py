"""`evaluator`: a process that measures candidates of evolution runs and executes plans of Conductor runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def evaluator(
    broker: Annotated[str, typer.Option("--broker", envvar="KUBEFUGU_TRAINER_BROKER", help="Redis URL of the runs' broker.")],
    device: Annotated[
        str, typer.Option("--device", envvar="KUBEFUGU_TRAINER_DEVICE", help="cpu, cuda, cuda:N or auto.")
    ] = "cpu",
    grace_s: Annotated[
        float, typer.Option("--grace-seconds", min=0.0, help="After SIGTERM, how long the task in hand may take.")
    ] = 10.0,
    keys_dir: Annotated[
        Path | None,
        typer.Option("--keys-dir", envvar="KUBEFUGU_TRAINER_KEYS_DIR", help="Directory with one key file per worker name."),
    ] = None,
    log_level: Annotated[str, typer.Option("--log-level", help="debug, info, warning or error.")] = "warning",
) -> None:
    """Work for training runs that were begun with --broker, until SIGTERM; as many processes as there are cores or GPUs."""
    os.environ.setdefault("REMAP_SIGTERM", "SIGQUIT")  # soft shutdown on SIGTERM; Celery reads it when imported
    from kubefugu_coordination.workers.endpoint import KeySource
    from kubefugu_core.errors import UnavailableError
    from kubefugu_core.telemetry import configure_logging
    from kubefugu_trainer.queue.app import connect, shown
    from kubefugu_trainer.queue.mailbox import BrokerError
    from kubefugu_trainer.queue.worker import serve

    configure_logging(service="trainer")
    try:
        connect(broker).ping()
    except (BrokerError, ValueError) as error:
        raise UnavailableError(f"The broker {shown(broker)} cannot be reached ({error}).", field="broker") from error
    keys = KeySource(keys_dir=keys_dir) if keys_dir is not None else None
    raise typer.Exit(serve(broker, device=device, log_level=log_level, grace_s=grace_s, keys=keys))
