"""`driver`: what the operator's Jobs run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer


def driver(
    config: Annotated[Path, typer.Option("--config", help="config.json of the run's snapshot.")],
    listen: Annotated[str, typer.Option("--listen", help="host:port of the progress endpoint.")] = "127.0.0.1:50054",
    hold: Annotated[bool, typer.Option("--hold", help="Stay until the artifact has been collected.")] = False,
    hold_seconds: Annotated[float, typer.Option("--hold-seconds", help="Stay at most this long.")] = 86_400.0,
    termination_log: Annotated[Path, typer.Option("--termination-log", help="Where the report goes.")] = Path(
        "/dev/termination-log"
    ),
) -> None:
    """Train as a cluster's snapshot says: serve progress, leave a report, hand out the artifact."""
    from kubefugu_core.telemetry import configure_logging
    from kubefugu_trainer.driver.main import drive

    configure_logging(service="trainer")
    seconds = hold_seconds if hold else 0.0
    raise typer.Exit(asyncio.run(drive(config, listen=listen, hold_s=seconds, termination_log=termination_log)))
