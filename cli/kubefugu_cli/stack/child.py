"""Turns itself into another program that dies with its parent. Runs as a script with the standard library alone.

    child.py PARENT_PID COMMAND ARGUMENT...

On Linux the kernel is asked for SIGKILL at the parent's end (prctl(2), PR_SET_PDEATHSIG, kept over execve) before the command
is executed; elsewhere the guardian alone does this work. A `preexec_fn` would do the same, but runs Python between fork and
exec of a process that has threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the kernel, check that the parent still lives, become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it ended before it could be asked
        sys.exit(1)
    try:
        os.execvp(command[0], command)  # noqa: S606 - a command of ours, no shell wanted
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
