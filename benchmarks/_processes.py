"""Processes that a benchmark starts and whose CPU time it reads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


def cpu_s(process: psutil.Process) -> float:
    """User and system time of a process so far, in seconds."""
    times = process.cpu_times()
    return times.user + times.system


@contextmanager
def running(*command: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A child process until the block ends."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KUBEFUGU_")}
    with log.open("wb") as stderr:
        process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, stderr=stderr, env=environment)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
