"""The whole local stack, started by `kubefugu up` as a user would, in a cache folder of its own that shares the models."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from kubefugu_cli.stack.layout import StackLayout
from kubefugu_cli.stack.model import StackState
from kubefugu_cli.stack.processes import free_ports
from kubefugu_cli.stack.running import running_state
from kubefugu_core.models import fetch
from kubefugu_core.settings import cache_home

_SHARED_FOLDERS = ("models", "backbones", "digests")
"""What the cache holds by checksum and may be shared; nothing of it is downloaded or dequantised twice."""


@dataclass(frozen=True)
class LocalStack:
    """A stack, running or not."""

    home: Path
    port: int
    environment: Mapping[str, str]
    said: str = ""
    """What `kubefugu up` printed on standard output."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def layout(self) -> StackLayout:
        return StackLayout.of(self.home)

    @property
    def state(self) -> StackState:
        state = running_state(self.layout)
        assert state is not None, "the stack does not run"
        return state

    def kubefugu(self, *arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """Run the command against this stack."""
        return subprocess.run(
            self.command(*arguments), capture_output=True, text=True, timeout=timeout_s, env=self.environment, check=False
        )

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "kubefugu_cli", *arguments]

    def processes(self) -> list[psutil.Process]:
        """Every process that was started with this stack's cache folder: the children of children too."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("KUBEFUGU_HOME") == str(self.home) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found


def make_stack(home: Path) -> LocalStack:
    """A cache folder that shares what is expensive with the machine's own."""
    fetch("smollm2-135m-instruct")
    home.mkdir(parents=True)
    for name in _SHARED_FOLDERS:
        (cache_home() / name).mkdir(parents=True, exist_ok=True)
        (home / name).symlink_to(cache_home() / name)
    environment = {**os.environ, "KUBEFUGU_HOME": str(home), "COLUMNS": "200"}
    return LocalStack(home=home, port=free_ports(1)[0], environment=environment)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """The default pool, up. Two `up` at the same time make one stack."""
    made = make_stack(tmp_path_factory.mktemp("default") / "home")
    up = made.command("up", "--port", str(made.port))
    twins = [
        subprocess.Popen(up, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=made.environment) for _ in "ab"
    ]
    try:
        said = sorted((twin.communicate(timeout=300) for twin in twins), key=lambda streams: len(streams[0]))
        assert [twin.returncode for twin in twins] == [0, 0], said
        assert "is up already" in said[0][0], said
        yield LocalStack(home=made.home, port=made.port, environment=made.environment, said=said[1][0])
    finally:
        for twin in twins:
            twin.kill()
            twin.wait()
        down = made.kubefugu("down")
    assert down.returncode == 0, down.stdout + down.stderr
    assert made.processes() == []
