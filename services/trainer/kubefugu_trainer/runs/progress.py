"""Progress for people (a rich bar on a terminal) and for programs (JSON lines); both on stderr, results stay on stdout."""

from __future__ import annotations

import sys
import time
from typing import Any, Protocol

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_LINE_EVERY_S = 2.0


class Reporter(Protocol):
    """Told about the progress of one stage after another."""

    def start(self, stage: str, *, total: int, done: int = 0) -> None:
        """A stage of `total` steps begins."""
        ...

    def advance(self, steps: int = 1, **fields: Any) -> None:
        """Some steps are done; `fields` are shown beside."""
        ...

    def note(self, text: str) -> None:
        """A sentence for people."""
        ...

    def finish(self) -> None:
        """The stage ended."""
        ...


class SilentReporter:
    """Says nothing."""

    def start(self, stage: str, *, total: int, done: int = 0) -> None:
        """See Reporter."""

    def advance(self, steps: int = 1, **fields: Any) -> None:
        """See Reporter."""

    def note(self, text: str) -> None:
        """See Reporter."""

    def finish(self) -> None:
        """See Reporter."""


class BarReporter:
    """A rich progress bar."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def start(self, stage: str, *, total: int, done: int = 0) -> None:
        """See Reporter."""
        self.finish()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, TextColumn("{task.fields[extra]}"), console=self._console, transient=False)
        self._task = self._progress.add_task(stage, total=total, completed=done, extra="")
        self._progress.start()

    def advance(self, steps: int = 1, **fields: Any) -> None:
        """See Reporter."""
        if self._progress is not None and self._task is not None:
            extra = " ".join(f"{name}={value}" for name, value in fields.items())
            self._progress.update(self._task, advance=steps, extra=extra)

    def note(self, text: str) -> None:
        """See Reporter."""
        self._console.print(text, highlight=False)

    def finish(self) -> None:
        """See Reporter."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


class LineReporter:
    """JSON lines: the start and end of each stage, and its progress every two seconds at most."""

    def __init__(self) -> None:
        self._stage, self._total, self._done, self._last = "", 0, 0, 0.0

    def start(self, stage: str, *, total: int, done: int = 0) -> None:
        """See Reporter."""
        self._stage, self._total, self._done, self._last = stage, total, done, time.monotonic()
        self._write("start", {})

    def advance(self, steps: int = 1, **fields: Any) -> None:
        """See Reporter."""
        self._done += steps
        if time.monotonic() - self._last >= _LINE_EVERY_S:
            self._last = time.monotonic()
            self._write("progress", fields)

    def note(self, text: str) -> None:
        """See Reporter."""
        self._write("note", {"text": text})

    def finish(self) -> None:
        """See Reporter."""
        if self._stage:
            self._write("end", {})
            self._stage = ""

    def _write(self, event: str, fields: dict[str, Any]) -> None:
        record = {"event": event, "stage": self._stage, "done": self._done, "total": self._total, **fields}
        sys.stderr.buffer.write(orjson.dumps(record, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n")
        sys.stderr.flush()


def reporter(kind: str) -> Reporter:
    """`auto` (a bar on a terminal, else lines), `bar`, `json` or `none`."""
    if kind == "none":
        return SilentReporter()
    if kind == "bar" or (kind == "auto" and sys.stderr.isatty()):
        return BarReporter(Console(stderr=True))
    return LineReporter()
