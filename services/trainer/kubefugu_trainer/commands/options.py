"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kubefugu_core.errors import DataError

Data = Annotated[Path, typer.Option("--data", help="Outcome table, parquet or JSON lines.")]
Workers = Annotated[str | None, typer.Option("--workers", help="Only these workers, comma-separated, in this order.")]
Progress = Annotated[str, typer.Option("--progress", help="auto, bar, json or none; written to standard error.")]
Threads = Annotated[int, typer.Option("--threads", min=0, help="Threads of the backbone; 0: torch's default.")]
Dtype = Annotated[
    str,
    typer.Option(
        "--dtype", help="Of the backbone: float32 (as routers on a CPU serve), bfloat16, or auto (whichever is faster)."
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything that is drawn.")]


def names(text: str | None) -> tuple[str, ...] | None:
    """`a,b,c` as a tuple; None stays None. Raises DataError for an empty list."""
    if text is None:
        return None
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found:
        raise DataError("--workers names no worker.", field="workers")
    return found


def numbers(text: str | None, *, option: str) -> tuple[float, ...] | None:
    """`0.1,1` as positive floats; None stays None. Raises DataError."""
    if text is None:
        return None
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise DataError(f"{option} takes numbers separated by commas, not {text!r}.", field=option) from None
    if not all(0 < value < float("inf") for value in found):
        raise DataError(f"{option} takes positive numbers, not {text!r}.", field=option)
    return found
