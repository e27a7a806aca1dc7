"""A tiny router problem on disk: a random decoder with a tokenizer, and a table whose best worker shows in the question."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np

from support.backbones import make_tiny

WORKERS = ("alpha", "beta", "gamma")
_SUBJECTS = ("what is the capital of France", "you route messages to system", "assistant user question Paris")


def write_table(path: Path, *, rows: int = 60, seed: int = 0, test_share: float = 0.3) -> Path:
    """An outcome table, JSON lines: worker i is right on subject i, mostly wrong on the others."""
    rng = np.random.default_rng(seed)
    with path.open("w", encoding="utf-8") as file:
        for row in range(rows):
            subject = int(rng.integers(len(_SUBJECTS)))
            record: dict[str, Any] = {
                "prompt": f"{_SUBJECTS[subject]} {row}?",
                "group": f"g{subject}",
                "split": "test" if row < rows * test_share else "train",
            }
            for worker, name in enumerate(WORKERS):
                record[f"score:{name}"] = 1.0 if worker == subject else float(rng.random() < 0.2)
                record[f"cost:{name}"] = 0.001 * (worker + 1)
            file.write(json.dumps(record) + "\n")
    return path


def write_backbone(folder: Path, *, kind: str = "qwen3") -> Path:
    """A tiny decoder with a tokenizer."""
    return make_tiny(folder, kind, tied=True, with_tokenizer=True).directory


def _forkserver() -> ForkServerContext:
    """Children are forked from one clean process that has the slow imports done; each is a real process, killed for real."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["torch", "transformers.models.qwen3.modeling_qwen3", "scipy.stats", "matplotlib.pyplot", "celery", "redis",
         "kubefugu_trainer.evolution.assemble", "kubefugu_routing.engine", "kubefugu_trainer.driver.grpo", "peft",
         "kubefugu_trainer.grpo.learner"]
    )  # fmt: skip
    return context


def _main(arguments: Sequence[str], log: Path, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.argv = ["kubefugu-trainer", *arguments]
    from kubefugu_trainer.main import main

    main()


class TrainerProcess:
    """`python -m kubefugu_trainer ARGUMENTS` in a forked child; output goes to `log`."""

    def __init__(
        self, arguments: Sequence[str], *, log: Path, home: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """`environment`: further variables."""
        self.log = log
        told = {"KUBEFUGU_HOME": str(home), "OMP_NUM_THREADS": "1", **(environment or {})}
        self._process: ForkServerProcess = _forkserver().Process(target=_main, args=(list(arguments), log, told))
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    @property
    def output(self) -> str:
        return self.log.read_text() if self.log.is_file() else ""

    def signal(self, number: signal.Signals) -> None:
        if self._process.is_alive():
            os.kill(self.pid, number)

    def wait(self, *, timeout_s: float = 120.0) -> int:
        """The exit code, negative for a signal. A process that does not end is killed and fails the test."""
        self._process.join(timeout_s)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
            raise AssertionError(f"did not end within {timeout_s:g} s:\n{self.output}")
        return self._process.exitcode


def wait_until(condition: Any, *, what: str, timeout_s: float = 120.0) -> None:
    """Poll until `condition()` holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.002)
