"""A real Triton server from the package nvidia-pytriton, over the repository's own model repository."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from kubefugu_router.triton_server import REPOSITORY, command, packaged_server, stock_server
from support.ports import free_port


@dataclass
class Triton:
    """A running server."""

    process: subprocess.Popen[bytes]
    grpc_port: int
    http_port: int
    metrics_port: int
    log: Path

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    def stub_pids(self) -> list[int]:
        """Processes that run model.py."""
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False).stdout
        return [int(line) for line in found.split()]


@dataclass(frozen=True)
class Staged:
    """A running server and the folder that it shares with a router service."""

    server: Triton
    folder: Path


def with_queue(repository: Path, size: int, target: Path) -> Path:
    """A copy of the model repository whose queue holds `size` requests."""
    shutil.copytree(repository, target)
    config = target / "router" / "config.pbtxt"
    changed = config.read_text().replace("max_queue_size: 512", f"max_queue_size: {size}")
    assert f"max_queue_size: {size}" in changed
    config.write_text(changed)
    return target


@contextmanager
def triton(
    folder: Path,
    environment: Mapping[str, str],
    *,
    start_s: float = 300.0,
    ports: tuple[int, int, int] | None = None,
    repository: Path = REPOSITORY,
) -> Iterator[Triton]:
    """Start a server over services/router/model_repository and wait until its model is ready; it is gone on leaving."""
    if stock_server() is None and packaged_server() is None:
        pytest.skip("needs a Triton server: pip install --no-deps nvidia-pytriton==0.7.0")
    grpc_port, http_port, metrics_port = ports or (free_port(), free_port(), free_port())
    made = command(
        work_dir=folder,
        grpc_port=grpc_port,
        http_port=http_port,
        metrics_port=metrics_port,
        repository=repository,
        exit_timeout_s=5,
        environment={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "triton.log"
    with log.open("wb") as output:
        process = subprocess.Popen(made.arguments, env=made.environment, stdout=output, stderr=output, start_new_session=True)
    running = Triton(process, grpc_port, http_port, metrics_port, log)
    try:
        _wait_ready(running, start_s)
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(8)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def _wait_ready(running: Triton, start_s: float) -> None:
    deadline = time.monotonic() + start_s
    url = f"http://127.0.0.1:{running.http_port}/v2/models/router/ready"
    while time.monotonic() < deadline:
        if running.process.poll() is not None:
            raise AssertionError(f"Triton ended:\n{running.log.read_text()[-3000:]}")
        with suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(url, timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"Triton was not ready:\n{running.log.read_text()[-3000:]}")
