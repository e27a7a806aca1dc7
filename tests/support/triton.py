"""A real Triton server from the package nvidia-pytriton, over the repository's own model repository."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.apiserver import free_port
from support.paths import REPO


@dataclass
class Triton:
    """A running server."""

    process: subprocess.Popen[bytes]
    grpc_port: int
    http_port: int
    log: Path

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    def stub_pids(self) -> list[int]:
        """Processes that run model.py."""
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False).stdout
        return [int(line) for line in found.split()]


def package() -> Path:
    """The server's folder in the package; the test is skipped where it is not installed."""
    spec = importlib.util.find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs a Triton server: pip install --no-deps nvidia-pytriton==0.7.0")
    return Path(next(iter(spec.submodule_search_locations))) / "tritonserver"


def _backends(server: Path, target: Path) -> Path:
    folder = target / "python"
    shutil.copytree(server / "backends" / "python", folder)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = folder / "triton_python_backend_stub"
    shutil.copy(server / "python_backend_stubs" / version / stub.name, stub)
    stub.chmod(0o755)
    return target


@contextmanager
def triton(folder: Path, environment: Mapping[str, str], *, start_s: float = 90.0) -> Iterator[Triton]:
    """Start a server over services/router/model_repository and wait until its model is ready; it is gone on leaving."""
    server = package()
    backends = _backends(server, folder / "backends")
    grpc_port, http_port, metrics_port = free_port(), free_port(), free_port()
    libraries = [str(sysconfig.get_config_var("LIBDIR")), str(server.parents[1] / "nvidia_pytriton.libs")]
    env = {
        **os.environ,
        **environment,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": ":".join(libraries),
        "OMP_NUM_THREADS": "1",
    }
    binary = server / "bin" / "tritonserver"
    binary.chmod(0o755)
    log = folder / "triton.log"
    arguments = [
        str(binary),
        f"--model-repository={REPO / 'services' / 'router' / 'model_repository'}",
        f"--backend-directory={backends}",
        "--model-control-mode=none",
        "--strict-readiness=false",
        "--allow-gpu-metrics=false",
        "--exit-timeout-secs=5",
        *(f"--{name}-address=127.0.0.1" for name in ("http", "grpc", "metrics")),
        f"--http-port={http_port}",
        f"--grpc-port={grpc_port}",
        f"--metrics-port={metrics_port}",
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(arguments, env=env, stdout=output, stderr=output, start_new_session=True)
    running = Triton(process, grpc_port, http_port, log)
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
