"""`down`, and `up` beside a running stack, with a supervisor of little real processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.pools import pool_of, worker
from support.stacks import alive, component, is_up, plan, supervisor_process
from support.waiting import until
from typer.testing import CliRunner

from kubefugu_cli.main import app
from kubefugu_cli.stack.launch import end_stack
from kubefugu_cli.stack.layout import StackLayout
from kubefugu_cli.stack.model import StackState, read_document, write_document
from kubefugu_cli.stack.running import living, running_state
from kubefugu_cli.stack.stop import stop_stack


def wait_until(condition: Callable[[], object], what: str) -> None:
    asyncio.run(until(condition, what=what))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KUBEFUGU_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def pool_file(tmp_path: Path) -> Path:
    pool = pool_of(worker("remote", "http://127.0.0.1:9/v1"))
    path = tmp_path / "pool.yaml"
    path.write_text(json.dumps(pool.model_dump(mode="json", by_alias=True, exclude_unset=True)))
    return path


def test_down_ends_every_process_and_the_second_one_finds_nothing(home: Path) -> None:
    layout = StackLayout.of(home)
    with supervisor_process(layout, plan(component("one"), component("two"))):
        wait_until(lambda: is_up(layout), "the stack is up")
        state = running_state(layout)
        assert state is not None
        pids = [ref.pid for ref in living(state)]
        assert len(pids) == 4  # supervisor, guardian, two components
        stopped = stop_stack(layout)
        assert stopped.was_running
        assert (stopped.ended, stopped.left) == (4, ())
        assert not any(alive(pid) for pid in pids)
        assert running_state(layout) is None
    assert CliRunner().invoke(app, ["down"]).output == "kubefugu is not running.\n"


def test_down_ends_what_a_killed_supervisor_and_guardian_left(home: Path) -> None:
    layout = StackLayout.of(home)
    with supervisor_process(layout, plan(component("one"))) as supervisor:
        wait_until(lambda: is_up(layout), "the stack is up")
        state = read_document(layout.state_file, StackState)
        assert state is not None
        assert state.guardian is not None
        os.kill(state.guardian.pid, signal.SIGKILL)
        os.kill(supervisor.pid, signal.SIGSTOP)  # hangs: neither it nor the kernel ends the component
        supervisor.kill()
        supervisor.wait()
    stopped = stop_stack(layout)
    assert not stopped.was_running
    assert stopped.left == ()
    assert not any(alive(one.pid) for one in state.components)


def test_a_supervisor_that_has_not_yet_said_that_it_runs_is_ended_too(home: Path) -> None:
    layout = StackLayout.of(home)
    young = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    end_stack(layout, young)
    assert young.returncode == -signal.SIGTERM
    layout.create()
    write_document(layout.plan_file, plan(component("one")))
    young = subprocess.Popen(
        [sys.executable, "-m", "kubefugu_cli.stack.supervisor", str(layout.root)], stderr=subprocess.DEVNULL
    )
    wait_until(layout.state_file.exists, "the supervisor runs")
    layout.state_file.unlink()
    end_stack(layout, young)
    assert young.returncode is not None
    last = read_document(layout.state_file, StackState)
    assert last is None or not living(last)


def test_a_second_up_says_where_the_stack_is(home: Path, pool_file: Path) -> None:
    layout = StackLayout.of(home)
    stack = plan(component("one"), url="http://127.0.0.1:8123", pool=str(pool_file))
    with supervisor_process(layout, stack) as supervisor:
        wait_until(lambda: is_up(layout), "the stack is up")
        runner = CliRunner()
        for arguments in ([], ["--pool", str(pool_file)], ["--port", "8123"]):
            again = runner.invoke(app, ["up", *arguments])
            assert (again.exit_code, "http://127.0.0.1:8123" in again.output) == (0, True), again.output
        other = runner.invoke(app, ["up", "--pool", "default"])
        assert other.exit_code == 1
        assert "kubefugu down" in other.output
        assert runner.invoke(app, ["up", "--port", "8124"]).exit_code == 1
        assert supervisor.poll() is None
        status = runner.invoke(app, ["status"])
        assert status.exit_code == 0
        assert "one" in status.output


def test_a_port_in_use_is_a_sentence(home: Path, pool_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = CliRunner().invoke(app, ["up", "--pool", str(pool_file), "--port", str(port)])
    assert done.exit_code == 1
    assert f"Port {port} is in use" in " ".join(done.output.split())
    assert running_state(StackLayout.of(home)) is None
