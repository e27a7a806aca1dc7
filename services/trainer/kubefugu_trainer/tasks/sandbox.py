"""Runs a model's program against unit tests in a locked process (`jail.py`), and says what came of it."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from kubefugu_core.errors import DataError

_JAIL = Path(__file__).with_name("jail.py")


class Outcome(StrEnum):
    """What came of a program."""

    PASSED = "passed"
    FAILED = "failed"
    """A test failed, the program raised, was refused something, or ended before its tests did."""
    TIMEOUT = "timeout"
    """It used up its processor or wall-clock time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one program may use."""

    cpu_s: int = 5
    wall_s: float = 20.0
    memory_bytes: int = 512 << 20
    """Address space, the interpreter's own included."""


DEFAULT_BOUNDS = Bounds()


def run(code: str, tests: str, *, bounds: Bounds = DEFAULT_BOUNDS) -> Outcome:
    """Run `code`, then `tests` in its names. Never raises for what the program does.

    Raises DataError where this machine can't lock a process (no seccomp filters, or another processor than x86-64 and arm64).
    """
    nonce = secrets.token_hex(16)
    job = json.dumps({"code": code, "tests": tests, "nonce": nonce}).encode(errors="surrogatepass")
    read_end, write_end = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_JAIL), str(write_end), str(bounds.cpu_s), str(bounds.memory_bytes)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=(write_end,), cwd="/",
            env={"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}, start_new_session=True,
        )  # fmt: skip
    except BaseException:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
    try:
        timed_out = _wait(process, job, bounds.wall_s)
        verdict = os.read(read_end, 64)
    finally:
        os.close(read_end)
    if verdict == b"unsupported":
        raise DataError("Code tasks need a Linux kernel with seccomp filters on x86-64 or arm64.", field="tasks")
    if timed_out or process.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return Outcome.TIMEOUT
    return Outcome.PASSED if verdict == nonce.encode() and process.returncode == 0 else Outcome.FAILED


def _wait(process: subprocess.Popen[bytes], job: bytes, wall_s: float) -> bool:
    """Hand over the job and wait; True where the time was up. Whatever happens, the process is gone afterwards."""
    try:
        process.communicate(job, timeout=wall_s)
    except subprocess.TimeoutExpired:
        return True
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
    return False
