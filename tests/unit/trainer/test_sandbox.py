"""Programs under test in their jail: what passes, what is stopped, and that the filter is what stops it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from kubefugu_trainer.tasks.files import read_questions
from kubefugu_trainer.tasks.sandbox import Bounds, Outcome, run
from kubefugu_trainer.tasks.verify_code import CodeTests
from kubefugu_trainer.tasks.verify_tools import ToolCalls, written

SHORT = Bounds(cpu_s=1, wall_s=10)
REFUSED = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def refused(call, *arguments):
    ctypes.set_errno(0)
    return getattr(libc, call)(*arguments) == -1 and ctypes.get_errno() == errno.EPERM
"""


def test_a_right_program_passes_and_a_wrong_one_fails() -> None:
    assert run("def f(x):\n    return x + 1", "assert f(1) == 2") is Outcome.PASSED
    assert run("def f(x):\n    return x", "assert f(1) == 2") is Outcome.FAILED
    assert run("def f(x:", "") is Outcome.FAILED
    pure = "import math, re, collections, datetime\nx = datetime.datetime.strptime('2020-02-01', '%Y-%m-%d').day"
    assert run(pure, "assert x == 1 and math.gcd(4, 6) == 2") is Outcome.PASSED


@pytest.mark.parametrize(
    "call",
    [
        "'socket', 2, 1, 0", "'socketpair', 1, 1, 0, 0", "'fork'", "'vfork'", "'open', b'/etc/passwd', 0", "'kill', 1, 0",
        "'unlink', b'/tmp/x'", "'execv', b'/bin/true', None", "'ptrace', 0, 0, 0, 0", "'unshare', 0x10000000",
        "'syscall', 425, 8, 0", "'prctl', 22, 1, 0, 0, 0", "'chmod', b'/tmp', 0o777",
    ],
)  # fmt: skip
def test_system_calls_of_another_kind_are_refused(call: str) -> None:
    assert run(REFUSED, f"assert refused({call})") is Outcome.PASSED


def test_the_tests_of_the_filter_can_fail() -> None:
    assert run(REFUSED, "assert refused('getpid')") is Outcome.FAILED
    script = REFUSED + "assert not refused('socket', 2, 1, 0)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize(
    ("program", "outcome"),
    [
        ("while True: pass", Outcome.TIMEOUT),
        ("import time\ntime.sleep(60)", Outcome.TIMEOUT),
        ("x = bytearray(2 << 30)", Outcome.FAILED),
        ("x = []\nwhile True: x.append(' ' * 1000000)", Outcome.FAILED),
        ("import os\nwhile True: os.fork()", Outcome.FAILED),
        ("import threading\nthreading.Thread(target=print).start()", Outcome.FAILED),
        ("import os\nos._exit(0)", Outcome.FAILED),
        ("raise SystemExit(0)", Outcome.FAILED),
        ("def f(): return f()\nf()", Outcome.FAILED),
        ("import signal\nsignal.signal(signal.SIGXCPU, lambda *_: None)\nwhile True: pass", Outcome.TIMEOUT),
        ("open('/proc/self/mem', 'wb')", Outcome.FAILED),
        ("import socket\nsocket.socket()", Outcome.FAILED),
        ("print('x' * 10000000)", Outcome.PASSED),
    ],
)
def test_what_a_program_may_not_do_ends_in_time_and_passes_nothing(program: str, outcome: Outcome) -> None:
    bounds = Bounds(cpu_s=1, wall_s=1.5) if "sleep" in program else Bounds(cpu_s=1, wall_s=90)
    assert run(program, "", bounds=bounds) is outcome


def _children() -> set[int]:
    """Processes of this one, those included that ended and were not waited for."""
    return {child.pid for child in psutil.Process().children()}


def test_no_process_and_no_descriptor_is_left() -> None:
    before, children = len(os.listdir("/proc/self/fd")), _children()
    for program in ("x = 1", "import os\nos._exit(3)", "while True: pass"):
        run(program, "", bounds=SHORT)
    assert len(os.listdir("/proc/self/fd")) <= before
    assert _children() <= children


def test_it_needs_no_privileges() -> None:
    """In a process without a single capability and with no_new_privs, as in a restricted pod."""
    setpriv = "/usr/bin/setpriv"
    if os.geteuid() != 0 or not Path(setpriv).exists():
        pytest.skip("needs root and setpriv to give privileges away")
    check = "from kubefugu_trainer.tasks.sandbox import run; print(run('x = 1', 'assert x == 1'))"
    command = [setpriv, "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", sys.executable, "-c", check]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "passed", done.stderr


def test_programs_are_found_in_replies() -> None:
    truth = CodeTests(tests="assert add(2, 3) == 5", bounds=SHORT)
    assert truth.score("", "Sure:\n```python\ndef add(a, b):\n    return a + b\n```\nThat is it.") == 1
    assert truth.score("", "def add(a, b): return a + b") == 1
    assert truth.score("", "```python\ndef add(a, b):\n    return a - b\n```") == 0
    assert truth.score("", "I can't.") == 0
    completed = CodeTests(tests="assert add(2, 3) == 5", prelude="def add(a, b):\n", bounds=SHORT)
    assert completed.score("", "    return a + b") == 1
    assert completed.score("", "```python\ndef add(a, b):\n    return a + b\n```") == 1


def test_tool_calls_are_compared_as_calls() -> None:
    truth = ToolCalls(calls=(("weather", json.dumps({"city": "Paris", "days": {"any": [1, 2]}})),))
    good = [{"type": "function", "function": {"name": "weather", "arguments": '{"city": "paris", "days": 2}'}}]
    assert truth.score("", written(good)) == 1
    assert truth.score("", '{"name": "weather", "arguments": {"city": "Paris", "days": 1}}') == 1
    assert truth.score("", '[{"name": "weather", "parameters": {"city": "Paris", "days": 1.0}}]') == 1
    for wrong in (
        "", "weather in Paris", '{"name": "weather", "arguments": {"city": "Paris"}}', written(good * 2),
        '{"name": "weather", "arguments": {"city": "Paris", "days": 3}}', '{"name": "wether", "arguments": {}}',
        '{"name": "weather", "arguments": {"city": "Paris", "days": 1, "unit": "C"}}',
        '{"name": "weather", "arguments": {"city": "Paris", "days": true}}', '{"name": "weather", "arguments": "no"}',
    ):  # fmt: skip
        assert truth.score("", wrong) == 0, wrong


def test_question_files_with_code_and_tools(tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    lines = [
        {"prompt": "Write add.", "kind": "code", "tests": "assert add(1, 1) == 2"},
        {
            "prompt": "def one():\n",
            "entry_point": "one",
            "test": "def check(f):\n    assert f() == 1",
            "task_id": "HumanEval/0",
        },
        {"prompt": "Call f.", "kind": "tools", "tools": [tool], "answer": {"name": "f", "arguments": {"x": 1}}},
        {
            "prompt": "Name the capital of Peru. What is 2 + 3?",
            "kind": "parts",
            "parts": [
                {"prompt": "Name the capital of Peru.", "answer": "Lima", "kind": "contains"},
                {"prompt": "What is 2 + 3?", "answer": "5"},
            ],
        },
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    add, one, call, both = read_questions(path)
    assert add.score("def add(a, b): return a + b") == 1
    assert one.score("    return 1") == 1
    assert one.score("    return 2") == 0
    assert call.score('{"name": "f", "arguments": {"x": 1}}') == 1
    assert json.loads(call.tools) == [tool]
    assert [both.score(reply) for reply in ("Lima. 5.", "Lima.", "It is 5.")] == [1, 0, 0]
