"""Progress of the run, written by the training thread and read by the gRPC server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from kubefugu.trainer.v1 import trainer_pb2
from kubefugu_trainer.runs.progress import Reporter


class RunProgress:
    """A trainer.v1.Run behind a lock."""

    def __init__(self, *, run_id: str, algorithm: str, clock: Callable[[], float] = time.time) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._run = trainer_pb2.Run(run_id=run_id, algorithm=algorithm, state=trainer_pb2.RUN_STATE_PREPARING)
        self._run.started.FromMilliseconds(int(clock() * 1000))
        self._stage_began = clock()

    def snapshot(self) -> trainer_pb2.Run:
        """A copy."""
        with self._lock:
            copied = trainer_pb2.Run()
            copied.CopyFrom(self._run)
            return copied

    def update(self, **fields: Any) -> None:
        """Set fields of the message."""
        with self._lock:
            for name, value in fields.items():
                setattr(self._run, name, value)
            self._run.updated.FromMilliseconds(int(self._clock() * 1000))

    def stage(self, name: str, *, total: int, done: int) -> None:
        """A stage of `total` steps begins."""
        self._stage_began = self._clock()
        self.update(message=name, step=done, total_steps=total, eta_seconds=0.0)

    def advance(self, steps: int) -> None:
        """Some steps of the stage are done."""
        now = self.snapshot()
        done = now.step + steps
        elapsed_s = self._clock() - self._stage_began
        left = max(0, now.total_steps - done)
        self.update(step=done, eta_seconds=elapsed_s / done * left if done else 0.0)


class ServedReporter:
    """Reporter that also keeps the served progress up to date."""

    def __init__(self, progress: RunProgress, inner: Reporter, *, on_stage: Callable[[], None] = lambda: None) -> None:
        """`on_stage`: called when a stage is over."""
        self._progress = progress
        self._inner = inner
        self._on_stage = on_stage

    def start(self, stage: str, *, total: int, done: int = 0) -> None:
        """See Reporter."""
        self._progress.stage(stage, total=total, done=done)
        self._inner.start(stage, total=total, done=done)

    def advance(self, steps: int = 1, **fields: Any) -> None:
        """See Reporter."""
        self._progress.advance(steps)
        known = {"best": "best_fitness", "mean": "mean_fitness", "sigma": "sigma"}
        told = {known[name]: float(value) for name, value in fields.items() if name in known}
        if told:
            self._progress.update(**told)
        self._inner.advance(steps, **fields)

    def note(self, text: str) -> None:
        """See Reporter."""
        self._inner.note(text)

    def finish(self) -> None:
        """See Reporter."""
        self._inner.finish()
        self._on_stage()
