"""Fetching models with a progress bar."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from kubefugu_cli.console import err
from kubefugu_core.models import entry, fetch, is_fetched


def fetch_models(names: Sequence[str]) -> list[Path]:
    """Bring models into the cache, one bar each; those that are there already cost nothing and show nothing.

    Raises what `kubefugu_core.models.fetch` raises.
    """
    for name in names:
        entry(name)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    paths = []
    with Progress(*columns, console=err()) as progress:
        for name in names:
            if is_fetched(name):
                paths.append(fetch(name))
                continue
            paths.append(_fetch_shown(name, progress))
    return paths


def _fetch_shown(name: str, progress: Progress) -> Path:
    task = progress.add_task(f"fetching {name}", total=entry(name).download_bytes)
    return fetch(name, progress=lambda done, total: progress.update(task, completed=done, total=total))
