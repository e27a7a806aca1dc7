"""Ends the stack's processes when the supervisor is killed. Runs as a script with the standard library alone.

The supervisor writes `+PGID` and `-PGID` lines to this process's standard input as its children come and go, and `bye` at a
regular end. When the pipe closes without `bye`, the supervisor was killed: every process group that is left gets SIGKILL.
On Linux the children also ask the kernel for that (PR_SET_PDEATHSIG); the guardian reaches their own children as well.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TextIO


def guard(lines: TextIO) -> set[int]:
    """Read to the end of the pipe; returns the process groups that have to be ended."""
    groups: set[int] = set()
    for line in lines:
        word = line.strip()
        if word == "bye":
            return set()
        if word.startswith("+"):
            groups.add(int(word[1:]))
        elif word.startswith("-"):
            groups.discard(int(word[1:]))
    return groups


def main() -> None:
    """Guard standard input."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for group in guard(sys.stdin):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
