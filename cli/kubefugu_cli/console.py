"""What the commands print with: one console for answers, one for everything else, and exit codes.

0 done; 1 it failed, a sentence on stderr says why; 2 the command line is wrong (typer's).
"""

from __future__ import annotations

import functools
import json
import sys
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


@functools.cache
def out() -> Console:
    """Standard output: answers and tables."""
    from rich.console import Console

    return Console(highlight=False)


@functools.cache
def err() -> Console:
    """Standard error: progress, notes, failures."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def note(message: str) -> None:
    """A sentence on standard error that is no failure."""
    err().print(message, style="yellow", markup=False, soft_wrap=True)


def fail(message: str, *, code: int = 1) -> NoReturn:
    """Say why on standard error and end."""
    err().print(f"kubefugu: {message}", style="red", markup=False, soft_wrap=True)
    sys.exit(code)


def new_table(first: str, *columns: str, title: str = "") -> Table:
    """A table that fits narrow terminals; its first column names things and is never cut."""
    from rich import box
    from rich.table import Column, Table

    return Table(
        Column(first, no_wrap=True), *columns, title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )


def print_json(document: Any) -> None:
    """A document on standard output, for programs."""
    print(json.dumps(document, indent=2, ensure_ascii=False))


def age(seconds: float) -> str:
    """A duration in the two largest units: 42 s, 3 min 5 s, 2 h 7 min, 3 d 4 h."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"
