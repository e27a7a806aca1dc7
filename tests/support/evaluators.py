"""Evaluator processes and the Redis between them and a driver."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from support.evolution import TrainerProcess, wait_until
from support.redis import listens


class RedisServer:
    """A redis-server of our own on a unix socket, without persistence."""

    def __init__(self, folder: Path) -> None:
        binary = shutil.which("redis-server")
        if binary is None:
            pytest.skip("needs the program redis-server (Debian package redis-server), which is not installed")
        self._socket = folder / "r.sock"
        self._command = [binary, "--port", "0", "--unixsocket", str(self._socket), "--save", "", "--dir", str(folder)]
        self.url = f"unix://{self._socket}"
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen([*self._command, "--appendonly", "no"], stdout=subprocess.DEVNULL)
        wait_until(lambda: listens(self._socket), what="redis-server")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._socket.unlink(missing_ok=True)


def evaluator(redis: RedisServer, folder: Path, number: int, environment: Mapping[str, str] | None = None) -> TrainerProcess:
    arguments = ["evaluator", "--broker", redis.url, "--grace-seconds", "1"]
    return TrainerProcess(arguments, log=folder / f"evaluator-{number}.log", home=folder / "home", environment=environment)


@contextmanager
def evaluators(
    redis: RedisServer, folder: Path, count: int, *, environment: Mapping[str, str] | None = None
) -> Iterator[list[TrainerProcess]]:
    """Evaluator processes, ended at the block's end by SIGTERM."""
    made = [evaluator(redis, folder, i, environment) for i in range(count)]
    try:
        yield made
    finally:
        for process in made:
            kill_tree(process, signal.SIGTERM)
        for process in made:
            process.wait()


def kill_tree(process: TrainerProcess, number: signal.Signals) -> None:
    """The process; with SIGKILL its pool's child too, as the loss of a pod does."""
    if process.returncode is not None:
        return
    children = psutil.Process(process.pid).children(recursive=True) if number is signal.SIGKILL else []
    process.signal(number)
    for child in children:
        child.kill()


def ready(processes: list[TrainerProcess]) -> None:
    for process in processes:
        wait_until(
            lambda process=process: "evaluator_ready" in process.output or process.returncode is not None, what="evaluator"
        )
        assert process.returncode is None, process.output
