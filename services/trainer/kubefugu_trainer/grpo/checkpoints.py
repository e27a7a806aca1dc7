"""Checkpoints of Hugging Face's Trainer made safe: a marker says that one is complete, SIGTERM saves at the end of a step.

The Trainer writes its files one by one into `checkpoint-N`; a process killed meanwhile leaves a directory that loads wrongly or
not at all. Only a directory with our marker counts.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from kubefugu_trainer.runs.files import write_json
from kubefugu_trainer.runs.progress import Reporter

MARKER = "complete.json"
WARM, FOUND = "warm start", "found plans"
"""Names of the supervised stages in metrics and progress."""
_PREFIX = "checkpoint-"


def latest(folder: Path) -> Path | None:
    """The newest complete checkpoint; broken ones are removed on the way."""
    found = sorted(folder.glob(f"{_PREFIX}*"), key=lambda path: int(path.name.removeprefix(_PREFIX)), reverse=True)
    for path in found:
        if (path / MARKER).is_file():
            return path
        shutil.rmtree(path, ignore_errors=True)
    return None


def newest(folder: Path) -> Path | None:
    """The complete checkpoint that was written last, in any folder below; changes nothing."""
    found = [path for path in folder.glob(f"**/{_PREFIX}*/{MARKER}") if path.is_file()]
    return max(found, key=lambda path: path.stat().st_mtime_ns).parent if found else None


class SafeCheckpoints(TrainerCallback):
    """Writes markers, keeps the two newest checkpoints, ends the training at a step's end: `stop` is set, or it is `over`."""

    def __init__(
        self,
        folder: Path,
        stop: threading.Event,
        *,
        save_every: int,
        over: Callable[[], bool] = lambda: False,
        saved: Callable[[Path], None] = lambda _: None,
    ) -> None:
        """`over`: true when nothing may be spent any more. `saved` hears of each complete checkpoint."""
        self._folder = folder
        self._over = over
        self._saved = saved
        self._stop = stop
        self._save_every = save_every

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Save where it is time; save and end where a signal came."""
        if state.global_step % self._save_every == 0 or state.global_step >= state.max_steps:
            control.should_save = True
        if self._stop.is_set() or self._over():
            control.should_save = True
            control.should_training_stop = True
        return control

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Everything is written: mark it."""
        folder = self._folder / f"{_PREFIX}{state.global_step}"
        write_json(folder / MARKER, {"step": state.global_step})
        marked = sorted(
            (path for path in self._folder.glob(f"{_PREFIX}*") if (path / MARKER).is_file()),
            key=lambda path: int(path.name.removeprefix(_PREFIX)),
        )
        for old in marked[:-2]:
            shutil.rmtree(old, ignore_errors=True)
        self._saved(folder)
        return control


class Progress(TrainerCallback):
    """Tells the reporter and the run's metrics about every step."""

    def __init__(self, stage: str, reporter: Reporter, record: Callable[[dict[str, Any]], None]) -> None:
        self._stage = stage
        self._reporter = reporter
        self._record = record

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A bar of all steps, those of an earlier process included."""
        self._reporter.start(self._stage, total=state.max_steps, done=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """One line of metrics for each step."""
        figures = {name: value for name, value in (logs or {}).items() if isinstance(value, int | float)}
        if "loss" in figures:
            self._record({"stage": self._stage, "step": state.global_step, **figures})
            shown = {name: round(figures[name], 4) for name in ("loss", "reward") if name in figures}
            self._reporter.advance(1, **shown)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The stage is over."""
        self._reporter.finish()
