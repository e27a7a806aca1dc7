"""The operator as a process of its own, as a pod runs it: tests end it, kill it, start it again, and ask its metrics."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.apiserver import ApiServer
from support.ports import free_port

_PASSES = re.compile(rb'^kubefugu_operator_reconcile_total\{kind="(\w+)",outcome="(\w+)"\} (\S+)', re.MULTILINE)
_DEPTH = re.compile(rb"^kubefugu_operator_queue_depth (\S+)", re.MULTILINE)


@dataclass
class OperatorProcess:
    """A running operator."""

    process: subprocess.Popen[bytes]
    port: int

    def metrics(self) -> bytes:
        """The exposition text; empty while it does not listen yet. Raises where the process has ended."""
        if self.process.poll() is not None:
            raise AssertionError(f"the operator ended with {self.process.returncode}")
        with (
            contextlib.suppress(urllib.error.URLError, OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer,
        ):
            return bytes(answer.read())
        return b""

    def passes(self) -> dict[str, int]:
        """Finished passes by kind, whatever their outcome."""
        found: dict[str, int] = {}
        for kind, _, count in _PASSES.findall(self.metrics()):
            found[kind.decode()] = found.get(kind.decode(), 0) + int(float(count))
        return found

    def queue_depth(self) -> int:
        """Objects that wait for a pass."""
        found = _DEPTH.search(self.metrics())
        return int(float(found[1])) if found else 0

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        self.process.wait(timeout=30)


@contextlib.contextmanager
def operator_process(server: ApiServer, namespace: str, *flags: str, log: Path | None = None) -> Iterator[OperatorProcess]:
    """Start an operator for one namespace; it is ended with SIGTERM where the test has not ended it."""
    port = free_port()
    command = [
        sys.executable, "-m", "kubefugu_operators", "--namespaces", namespace, "--kubeconfig", str(server.kubeconfig),
        "--http-host", "127.0.0.1", "--http-port", str(port), *flags,
    ]  # fmt: skip
    with (log or Path("/dev/null")).open("ab") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink)
    running = OperatorProcess(process, port)
    try:
        deadline = time.monotonic() + 60
        while not running.metrics():
            assert time.monotonic() < deadline, "the operator does not listen"
            time.sleep(0.1)
        yield running
    finally:
        if process.poll() is None:
            try:
                running.end()
            except subprocess.TimeoutExpired:
                running.end(signal.SIGKILL)
